"""What a policy sees: the fleet as columns, and everything that is known of it at this moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.fleet import Fleet
from routing.health.ejection import Ejections
from routing.latency.tracker import LatencyTracker
from routing.load.purse import Purse
from routing.load.quota import Quota
from routing.load.slots import Slots
from routing.policy.eligible import Eligibility
from routing.ports import Override
from routing.request import Ask

# Hedges may cost 6 % of the calls that are none; failovers a tenth of the requests, with a reserve for bad minutes.
HEDGE_SHARE, HEDGE_CAP, HEDGE_START = 0.06, 4.0, 2.0
FAILOVER_SHARE, FAILOVER_CAP, FAILOVER_START = 0.10, 20.0, 20.0
MEAN_PROMPT_START, MEAN_PROMPT_WEIGHT = (
    1_000.0,
    0.01,
)  # running mean of prompt tokens: what a hedge's cost is measured in


@dataclass(slots=True)
class View:
    """The state of one router instance. Policies read it; the plan alone changes it."""

    fleet: Fleet
    tracker: LatencyTracker
    slots: Slots
    quota: Quota
    health: Ejections
    disabled: frozenset[int] = frozenset()  # deployments without an endpoint
    hedges: Purse = field(default_factory=lambda: Purse(HEDGE_SHARE, HEDGE_CAP, HEDGE_START))
    failovers: Purse = field(default_factory=lambda: Purse(FAILOVER_SHARE, FAILOVER_CAP, FAILOVER_START))
    mean_prompt: float = MEAN_PROMPT_START
    stickiness_s: float = 0.1  # latency that staying at home may cost
    orders: dict[int, Override] = field(default_factory=dict)  # of operators, by deployment; those that hold now
    eligibility: Eligibility = field(init=False)
    tier: list[int] = field(init=False)
    region: list[str] = field(init=False)
    context_window: list[int] = field(init=False)
    least_window: int = field(init=False)
    price_in: list[float] = field(init=False)
    price_out: list[float] = field(init=False)

    def __post_init__(self) -> None:
        models = [self.fleet.model_of(d) for d in self.fleet.deployments]
        self.eligibility = Eligibility(self.fleet, self.disabled)
        self.tier = [m.quality_tier for m in models]
        self.region = [d.region for d in self.fleet.deployments]
        self.context_window = [m.context_window for m in models]
        self.least_window = min(self.context_window)
        self.price_in = [m.price_in / 1e6 for m in models]
        self.price_out = [m.price_out / 1e6 for m in models]

    @classmethod
    def of(
        cls,
        fleet: Fleet,
        tracker: LatencyTracker | None = None,
        disabled: frozenset[int] = frozenset(),
        stickiness_s: float = 0.1,
    ) -> View:
        """A fresh view of a fleet."""
        deployments = fleet.deployments
        return cls(
            fleet=fleet,
            tracker=tracker or LatencyTracker(fleet),
            slots=Slots([d.concurrency for d in deployments]),
            quota=Quota([d.requests_per_minute for d in deployments], [d.tokens_per_minute for d in deployments]),
            health=Ejections(len(deployments)),
            disabled=disabled,
            stickiness_s=stickiness_s,
        )

    def obey(self, orders: dict[int, Override]) -> None:
        """Take operators' orders in the place of those before: what is closed, shares of load, calls in flight."""
        if orders == self.orders:
            return
        self.orders = orders
        deployments = self.fleet.deployments
        self.slots.limits = Slots([d.concurrency for d in deployments]).limits
        self.quota.nominal = list(self.quota.requests_per_s)
        for d, order in orders.items():
            self.quota.nominal[d] *= order.weight
            if order.limit is not None:
                self.slots.limits[d] = order.limit

    def cost_usd(self, ask: Ask, d: int) -> float:
        """What the prompt and the expected answers cost on deployment d, in US dollars."""
        return ask.tokens_in * self.price_in[d] + ask.answers * ask.expected_tokens * self.price_out[d]

    def hedge_cost(self, tokens_in: int) -> float:
        """What an extra call costs, in calls of a mean prompt: calls and tokens both count against quota.

        At most what the purse can hold: the longest prompts are the slowest, and may be hedged while it is full.
        """
        return min(HEDGE_CAP, 0.5 + 0.5 * tokens_in / self.mean_prompt)

    def saw_prompt(self, tokens_in: int) -> None:
        """Take one prompt into the running mean. One of no tokens is none: a probe's, which nobody hedges."""
        if tokens_in > 0:
            self.mean_prompt += MEAN_PROMPT_WEIGHT * (tokens_in - self.mean_prompt)

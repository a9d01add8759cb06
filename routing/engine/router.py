"""The router: a fleet, what is known of it, and a policy, behind two calls: `route` decides, `exchange` carries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from routing.affinity import Affinity
from routing.engine.clock import Clock
from routing.engine.decision import Decision, decide
from routing.engine.exchange import Exchange
from routing.errors import RouterError
from routing.latency.last_mile import LastMile
from routing.latency.tracker import LatencyTracker
from routing.load.lengths import LONG_ANSWER_TOKENS, Lengths
from routing.policy.seam import Policy
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.ports import Provider
from routing.request import Ask, ChatRequest, Demand, LatencyPriority

EVEN = 50.0  # percentile at which the library's `route` calls a limit met: by the median
AGAINST_HOME = "left_home", "home_out"  # reasons of a decision; others say nothing of the user's home


class LatencyRouter:
    """Routes requests over one fleet. As a library it needs a tracker and nothing else; the app gives it providers."""

    def __init__(
        self,
        tracker: LatencyTracker,
        policy: Policy | None = None,
        view: View | None = None,
        providers: Sequence[Provider | None] = (),
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self.tracker = tracker
        self.fleet = tracker.fleet
        self.view = view or View.of(tracker.fleet, tracker)
        self.policy = policy or SloPolicy()
        self.providers = providers
        self.affinity = Affinity()
        self.last_mile = LastMile()
        self.lengths = Lengths()
        self.clock = clock or Clock()
        self.rng = rng or Random()
        self._regions = frozenset(self.view.region)

    def route(
        self,
        max_latency_ms: float | None = None,
        priority: LatencyPriority = LatencyPriority.TOTAL,
        min_quality_tier: int = 1,
        expected_tokens: float | None = None,
        model: str = "auto",
        user_id: str | None = None,
        allowed_regions: tuple[str, ...] = (),
    ) -> Decision | None:
        """The deployment likeliest to meet the limit; None where none is predicted to meet it at its median.

        `max_latency_ms` limits the time to first token for STREAMING and the whole answer otherwise. Sends nothing.
        Raises UnknownModel for a model that is not in the fleet. A user stays in the region of the first decision
        until another is faster by more than the stickiness allowance, twice in a row.
        """
        models, fallbacks = self.fleet.resolve(model)
        usual = LONG_ANSWER_TOKENS if priority is LatencyPriority.THROUGHPUT else self.lengths.answer(model, None)
        ask = Ask(
            demand=Demand(models, fallbacks, min_quality_tier, allowed_regions),
            priority=priority,
            target_s=None if max_latency_ms is None else max_latency_ms / 1000,
            percentile=EVEN,
            require=max_latency_ms is not None,
            tokens_in=1000,
            expected_tokens=expected_tokens or usual,
            home=self.affinity.home(user_id, self.clock.now()),
        )
        try:
            decision = self.decide(ask)
        except RouterError:
            return None
        self._learn_home(user_id, ask, decision.region, decision.reason)
        return decision

    def decide(self, ask: Ask) -> Decision:
        """Where a request would go now, and why. Raises what it would be refused with; sends nothing."""
        return decide(ask, self.view, self.policy, self.rng, self.clock.now())

    def with_home(self, request: ChatRequest) -> ChatRequest:
        """The request, with its user's home region and way to us in it, where they are known."""
        if request.user_region is None and request.ask.home is not None:
            request.user_region = request.ask.home
            request.ask = self._less_last_mile(request.ask, request.caller)
        home = self.affinity.home(request.user_key, self.clock.now())
        if home is not None:
            request.ask = replace(request.ask, home=home)
        return request

    def _less_last_mile(self, ask: Ask, caller: str) -> Ask:
        """The user's target is counted where the user is: what the way to there takes is not ours. At most half."""
        mile = self.last_mile.of(ask.home, caller, self.clock.now())
        if ask.target_s is None or not mile:
            return ask
        return replace(ask, target_s=max(ask.target_s / 2, ask.target_s - mile))

    def exchange(self, request: ChatRequest, received_at: float) -> Exchange:
        """The exchange of a request, not yet started. `received_at` is on the router's clock."""
        return Exchange(
            self.with_home(request), self.view, self.policy, self.providers, self.clock, self.rng, received_at
        )

    def learn(self, exchange: Exchange) -> None:
        """Take what an ended exchange taught beyond its latency: the user's home, lengths of prompt and answer."""
        plan, request = exchange.plan, exchange.request
        if plan.committed is None:
            return
        region = self.view.region[plan.committed.deployment]
        self._learn_home(request.user_key, request.ask, region, plan.reason)
        usage, tokens = exchange.usage, exchange.answer_tokens
        if usage is not None and tokens is not None:
            expected = request.hints.expected_tokens
            answers = request.ask.answers  # the provider counts them together
            cut = usage.completion_tokens >= request.ask.most_tokens * answers
            each = tokens // answers
            self.lengths.saw(request.model, request.text_bytes, usage.prompt_tokens, each, expected, cut)

    def _learn_home(self, user_key: str | None, ask: Ask, region: str, reason: str) -> None:
        """The user was answered from `region`, for this reason.

        Whom affinity does not know is at home from now on: where the request took them to be, as a detour from there
        counts for a guess as for any home, or else where the answer came from.
        """
        if user_key is None:
            return
        home = ask.home or region
        may_be_home = home == region or self._served_from(home, ask)
        self.affinity.meet(user_key, home if may_be_home else region)
        if reason in AGAINST_HOME:
            self.affinity.left(user_key, home, region, at_once=home not in self._regions)
        elif home == region:
            self.affinity.stayed(user_key, home)

    def _served_from(self, region: str, ask: Ask) -> bool:
        """Whether the region has a deployment of what is asked for, in whatever state."""
        return any(self.view.region[d] == region for d in self.view.eligibility.of(ask.demand).first)

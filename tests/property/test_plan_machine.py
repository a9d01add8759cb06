"""Any events in any order at any time: a plan never leaks a lease, never commits twice, and always comes to its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from routing.errors import (
    AttemptError,
    ConnectFailed,
    ContextTooLong,
    Misconfigured,
    RateLimited,
    RequestRejected,
    ServerError,
)
from routing.outcome import LatencyMeasurement, Verdict
from routing.plan import Action, ClientGone, Ended, Event, Failed, FirstContent, Plan, Progress, Start, Tick, WakeAt
from routing.policy.seam import Choice, Policy
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.unit.fleets import deployment, model, view
from tests.unit.plan.life import Scripted, check, open_attempts

MOST_TICKS = 20  # three tries and a hedge, each with a moment of its own, and the limits
ERRORS: list[AttemptError] = [
    ServerError("500"),
    ConnectFailed("refused"),
    RateLimited("429", 0.3),
    RateLimited("429"),
    ContextTooLong("too long"),
    RequestRejected("no", 400),
    Misconfigured("401"),
]
DEMANDS = [Demand(), Demand(models=("m",), fallbacks=("n",)), Demand(allowed_regions=("us",))]
SECONDS = st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0, 4.0, 30.0])


class Whims(Scripted):
    """Chooses, hedges and waits as chance will have it, within what the seam allows."""

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        shuffled = rng.sample(list(candidates), len(candidates))
        self.hedge_s = rng.choice([None, 0.03, 0.3, 2.0])
        self.patience_s = rng.choice([0.05, 1.0, 10.0, math.inf])
        self.probability = rng.random()
        return super().choose(view, ask, shuffled, left, now, rng, retry)


@dataclass
class Known:
    """A plan, what it asked for, and what was true of its ended attempts when they ended."""

    plan: Plan
    actions: list[Action] = field(default_factory=list)
    verdicts: dict[int, tuple[Verdict | None, float | None]] = field(default_factory=dict)

    @property
    def wake_at(self) -> float:
        return next((a.at for a in reversed(self.actions) if isinstance(a, WakeAt)), math.inf)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    return Ask(
        demand=draw(st.sampled_from(DEMANDS)),
        priority=draw(st.sampled_from(LatencyPriority)),
        streamed=draw(st.booleans()),
        target_s=draw(st.sampled_from([None, 0.2, 1.0, 8.0])),
        deadline_s=draw(st.sampled_from([None, 0.0, 2.0, 20.0])),
        percentile=50.0,
        require=draw(st.booleans()),
        tokens_in=draw(st.sampled_from([0, 1_000, 30_000])),
        hedge=draw(st.sampled_from([True, True, False])),
        client_retry=draw(st.sampled_from([False, False, True])),
        one_try=draw(st.sampled_from([False, False, True])),
    )


class PlanMachine(RuleBasedStateMachine):
    """Several requests at once over one small fleet, with a clock that only events move."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.plans: list[Known] = []

    @initialize(seed=st.integers(0, 2**16), whims=st.booleans())
    def begin(self, seed: int, whims: bool) -> None:
        self.rng = Random(seed)
        self.policy: Policy = Whims() if whims else SloPolicy()
        self.view = view(
            *(deployment(name, concurrency=2) for name in "ab"),
            deployment("c", region="swedencentral", concurrency=3),
            *(deployment(name, model="n", concurrency=2, region="westus") for name in "de"),
            models=[model("m"), model("n", context_window=8_000)],
        )

    # ------------------------------------------------------------------ events
    @precondition(lambda self: len(self.plans) < 5)
    @rule(ask=asks(), waited=SECONDS)
    def start(self, ask: Ask, waited: float) -> None:
        known = Known(Plan(ask, self.view, self.policy, self.rng, self.now - waited))
        self.plans.append(known)
        self.tell(known, Start())

    @precondition(lambda self: self.plans)
    @rule(pick=st.randoms(use_true_random=False), error=st.sampled_from(ERRORS), what=st.integers(0, 9))
    def something_happens(self, pick: Any, error: AttemptError, what: int) -> None:
        known = pick.choice(self.plans)
        if not known.plan.attempts:
            return
        number = pick.choice(known.plan.attempts).number
        events: list[Event] = [FirstContent(number, 0.01, 0.4), Progress(number, 0.02)]
        events += [Ended(number, LatencyMeasurement(2.0, 0.0, 500.0, 900.0, 1_400.0, 40), 40)]
        events += [Failed(number, error)]
        self.tell(known, events[min(what // 2, 3)])

    @precondition(lambda self: self.plans)
    @rule(pick=st.randoms(use_true_random=False), leaves=st.sampled_from([False, False, False, True]))
    def early_tick_or_leave(self, pick: Any, leaves: bool) -> None:
        self.tell(pick.choice(self.plans), ClientGone() if leaves else Tick())

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Every tick that falls into it is delivered, in order."""
        until = self.now + seconds
        for _ in range(5 * MOST_TICKS):
            due = min(self.plans, key=lambda known: known.wake_at, default=None)
            if due is None or due.wake_at > until:
                break
            self.now = max(self.now, due.wake_at)
            self.tick(due)
        else:
            raise AssertionError("ticks do not come to an end")
        self.now = until

    def tell(self, known: Known, event: Event) -> None:
        was_over = known.plan.over
        actions = known.plan.on(event, self.now)
        assert not (was_over and actions), "an ended plan asks for nothing"
        known.actions += actions
        if known.plan.over:
            known.actions.append(WakeAt(math.inf))  # whoever drives it stops its timer
        wakes = [a.at for a in actions if isinstance(a, WakeAt)]
        assert not wakes or wakes[-1] > self.now, "the next tick is always ahead"
        for a in known.plan.attempts:
            if a.verdict is not None:
                assert known.verdicts.setdefault(a.number, (a.verdict, a.ended_at)) == (a.verdict, a.ended_at)

    def tick(self, known: Known) -> None:
        before = len(known.actions)
        self.tell(known, Tick())
        assert len(known.actions) > before, "a tick that was asked for leads to another, or to the end"

    # ------------------------------------------------------------------ what always holds
    @invariant()
    def every_plan_is_sound(self) -> None:
        for known in self.plans:
            check(known.plan, known.actions)

    @invariant()
    def leases_are_those_of_open_attempts(self) -> None:
        if self.plans:
            held = [a.deployment for known in self.plans for a in open_attempts(known.plan)]
            slots = self.view.slots
            assert slots.in_flight == [held.count(d) for d in range(5)]
            assert all(n <= limit for n, limit in zip(slots.in_flight, slots.limits, strict=True))

    @invariant()
    def what_is_learned_stays_finite(self) -> None:
        if self.plans:
            assert all(math.isfinite(x) for belief in self.view.tracker.beliefs for x in belief)
            assert 0 <= self.view.hedges.content <= self.view.hedges.cap
            assert 0 <= self.view.failovers.content <= self.view.failovers.cap

    def teardown(self) -> None:
        """Nothing more comes from any provider: ticks alone bring every plan to its end, or leave an answer flowing."""
        for known in self.plans:
            for _ in range(MOST_TICKS):
                if known.wake_at == math.inf:
                    break
                self.now = max(self.now, known.wake_at)
                self.tick(known)
            plan = known.plan
            assert plan.over or (plan.committed is not None and plan.ask.deadline_s is None)
            self.tell(known, ClientGone())
            assert plan.over
        if self.plans:
            assert self.view.slots.in_flight == [0] * 5


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(max_examples=80, stateful_step_count=40)

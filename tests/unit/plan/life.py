"""One request's life by hand: a policy that does what the test says, and invariants checked after every event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from routing.errors import RouterError
from routing.outcome import LatencyMeasurement
from routing.plan import Action, Attempt, Cancel, Commit, Event, GiveUp, Open, Plan, WakeAt
from routing.policy.seam import Choice, Policy, Score
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.unit.fleets import deployment, view

DONE = LatencyMeasurement(2.0, 0.0, 502.0, 2_000.0, 2_502.0, 101)
MOST_CALLS, MOST_AT_ONCE = 4, 2  # three tries and a hedge; a try and a hedge


class Scripted:
    """Takes candidates in the fleet's order; hedges `hedge_s` after a send, is patient for `patience_s`."""

    name = "scripted"
    cool_down_s = 0.0

    def __init__(self, hedge_s: float | None = None, patience_s: float = math.inf, probability: float = 1.0) -> None:
        self.hedge_s, self.patience_s, self.probability = hedge_s, patience_s, probability
        self.chosen: list[tuple[tuple[int, ...], float | None, bool]] = []  # candidates, time left, retry
        self.told: list[tuple[str, float]] = []  # question, time left

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        self.chosen.append((tuple(candidates), left, retry))
        second = candidates[1] if len(candidates) > 1 else None
        score = self.score(view, ask, candidates, left, now)[0]
        return Choice(score, second, "scripted", 1.0 if left is None else left)

    def score(self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float) -> list[Score]:
        return [Score(d, self.probability, self.probability, 0.5, 2.5, 0.0, 0.0) for d in candidates]

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        self.told.append(("hedge_after", left))
        return None if choice.second is None else self.hedge_s

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        self.told.append(("hedge", left))
        return candidates[0] if candidates else None

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        self.told.append(("patience", left))
        return min(self.patience_s, left)


def open_attempts(plan: Plan) -> list[Attempt]:
    """Those that have no verdict yet."""
    return [a for a in plan.attempts if a.verdict is None]


def check(plan: Plan, actions: Sequence[Action]) -> None:
    """What holds for a plan at any moment. `actions` is all that it has asked for so far."""
    open_ = open_attempts(plan)
    assert min(plan.view.slots.in_flight) >= 0
    assert not (plan.over and open_), "an ended plan holds nothing"
    assert len(open_) <= MOST_AT_ONCE
    assert plan.committed is None or all(a is plan.committed for a in open_)
    assert sum(isinstance(a, Commit) for a in actions) == (plan.committed is not None)
    cancelled = [a.attempt for a in actions if isinstance(a, Cancel)]
    assert len(cancelled) == len(set(cancelled)), "each attempt is closed once"
    assert not set(cancelled) & {a.number for a in open_}
    assert [a.number for a in plan.attempts] == [a.attempt for a in actions if isinstance(a, Open)]
    assert len(plan.attempts) <= MOST_CALLS
    assert sum(a.hedge for a in plan.attempts) <= 1
    assert sum(isinstance(a, GiveUp) for a in actions) <= plan.over
    assert not any(math.isnan(a.at) for a in actions if isinstance(a, WakeAt))


class Life:
    """A plan, and everything that it asked for."""

    def __init__(self, view: View, ask: Ask, policy: Policy, started_at: float = 0.0) -> None:
        self.view, self.policy = view, policy
        self.plan = Plan(ask, view, policy, Random(1), started_at)
        self.actions: list[Action] = []
        self._before = sum(view.slots.in_flight)

    def on(self, event: Event, now: float) -> list[Action]:
        """Tell the plan, and check what must hold after every event."""
        was_over = self.plan.over
        actions = self.plan.on(event, now)
        self.actions += actions
        assert not (was_over and actions), "an ended plan asks for nothing"
        self._check()
        return actions

    def _check(self) -> None:
        check(self.plan, self.actions)
        leased = sum(self.view.slots.in_flight) - self._before
        assert leased == len(open_attempts(self.plan)), "a lease for each open attempt, and no other"

    @property
    def error(self) -> RouterError:
        """What the request ended with."""
        return next(a.error for a in self.actions if isinstance(a, GiveUp))

    @property
    def wake_at(self) -> float:
        """When the plan wants its next tick."""
        return [a.at for a in self.actions if isinstance(a, WakeAt)][-1]

    @property
    def called(self) -> list[str]:
        """Ids of the deployments called so far, in order."""
        fleet = self.view.fleet
        return [fleet.deployments[a.deployment].id for a in self.actions if isinstance(a, Open)]


def ask(
    target_s: float | None = None,
    deadline_s: float | None = None,
    priority: LatencyPriority = LatencyPriority.STREAMING,
    demand: Demand | None = None,
    **changes: Any,
) -> Ask:
    """A streamed request of 1,000 tokens."""
    made = Ask(demand or Demand(), priority, True, target_s, deadline_s, tokens_in=1_000)
    for name, value in changes.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def abc(**changes: Any) -> View:
    """Three equal deployments, and a fourth."""
    return view(*(deployment(name) for name in "abcd"), **changes)


def scripted(
    hedge_s: float | None = None,
    patience_s: float = math.inf,
    probability: float = 1.0,
    on: View | None = None,
    asked: Ask | None = None,
) -> Life:
    """A life over `abc` whose policy does what the test says."""
    return Life(on or abc(), asked or ask(), Scripted(hedge_s, patience_s, probability))

"""Many requests in virtual time: plans driven by an event queue, and deployments that answer by a script."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from routing.errors import AttemptError, RouterError
from routing.outcome import LatencyMeasurement
from routing.plan import (
    Cancel,
    Commit,
    Ended,
    Event,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Plan,
    Start,
    Tick,
    WakeAt,
)
from routing.policy.seam import Policy
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask

TOKENS = 50


@dataclass(slots=True)
class Answer:
    """What a deployment does with one call: content after `first_s` and an end `rest_s` later, or a failure."""

    first_s: float
    rest_s: float = 0.5
    error: AttemptError | None = None  # instead of the content


type Behaviour = Callable[[float], Answer]  # what a deployment does with a call that comes at this time


def steady(rng: Random, median_s: float, spread: float = 0.3) -> Behaviour:
    """Answers with log-normal times to the first token."""
    return lambda _now: Answer(median_s * math.exp(rng.gauss(0.0, spread)))


def failing(error: AttemptError, after_s: float = 0.002) -> Behaviour:
    """Fails at once."""
    return lambda _now: Answer(after_s, error=error)


def between(start: float, end: float, then: Behaviour, otherwise: Behaviour) -> Behaviour:
    """`then` from `start` to `end`, `otherwise` before and after."""
    return lambda now: (then if start <= now < end else otherwise)(now)


@dataclass(slots=True)
class Request:
    """One request and what became of it."""

    plan: Plan
    sent_at: float
    first_at: float | None = None
    ended_at: float | None = None
    deployment: int | None = None  # that answered
    error: RouterError | None = None
    calls: list[tuple[float, int, bool]] = field(default_factory=list)  # when, to whom, hedge
    wake: int = 0

    @property
    def ttft(self) -> float:
        """Seconds to the first content; infinite without any."""
        return math.inf if self.first_at is None else self.first_at - self.sent_at


class World:
    """A view, its deployments, and the requests sent to them."""

    def __init__(self, view: View, behaviours: list[Behaviour], policy: Policy | None = None, seed: int = 1) -> None:
        self.view, self.behaviours, self.policy, self.rng = view, behaviours, policy or SloPolicy(), Random(seed)
        self.requests: list[Request] = []
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, what: Callable[[float], None]) -> None:
        """Do `what` at `when`."""
        heapq.heappush(self._queue, (when, next(self._order), what))

    def send(self, ask: Ask, arrivals: Iterable[float]) -> None:
        """Requests alike, one at each of `arrivals`."""
        for when in arrivals:
            self.at(when, lambda now: self._arrive(ask, now))

    def run(self) -> list[Request]:
        """Until everything has ended. Returns all requests; no lease is left."""
        while self._queue:
            when, _, what = heapq.heappop(self._queue)
            what(when)
        assert self.view.slots.in_flight == [0] * len(self.behaviours)
        assert all(r.plan.over for r in self.requests)
        return self.requests

    def _arrive(self, ask: Ask, now: float) -> None:
        request = Request(Plan(ask, self.view, self.policy, self.rng, now), now)
        self.requests.append(request)
        self._tell(request, Start(), now)

    def _tell(self, request: Request, event: Event, now: float) -> None:
        for action in request.plan.on(event, now):
            match action:
                case Open(number, d, hedge):
                    request.calls.append((now, d, hedge))
                    self._call(request, number, self.behaviours[d](now), now)
                case Commit(number):
                    request.first_at, request.deployment = now, request.plan.attempts[number].deployment
                case WakeAt(when):
                    self._wake(request, when)
                case GiveUp(error):
                    request.error, request.ended_at = error, now
                case Cancel():
                    pass  # what a cancelled call still brings is ignored by the plan

    def _call(self, request: Request, number: int, answer: Answer, now: float) -> None:
        if answer.error is not None:
            failure = Failed(number, answer.error)
            self.at(now + answer.first_s, lambda then: self._tell(request, failure, then))
            return
        first, total = 1000 * answer.first_s, 1000 * (answer.first_s + answer.rest_s)
        ended = Ended(number, LatencyMeasurement(0.0, 0.0, first, 1000 * answer.rest_s, total, TOKENS), TOKENS)
        self.at(now + answer.first_s, lambda then: self._tell(request, FirstContent(number), then))
        self.at(now + answer.first_s + answer.rest_s, lambda then: self._end(request, ended, then))

    def _end(self, request: Request, ended: Ended, now: float) -> None:
        if request.plan.attempts[ended.attempt].verdict is None and not request.plan.over:
            request.ended_at = now
        self._tell(request, ended, now)

    def _wake(self, request: Request, when: float) -> None:
        request.wake += 1
        wake = request.wake
        if when < math.inf:
            self.at(when, lambda now: self._tell(request, Tick(), now) if request.wake == wake else None)


def every(interval_s: float, until_s: float, start_s: float = 0.0) -> list[float]:
    """Evenly spaced arrivals."""
    return [start_s + k * interval_s for k in range(round((until_s - start_s) / interval_s))]


def calls(requests: Iterable[Request], start: float = 0.0, end: float = math.inf) -> Counter[int]:
    """Calls by deployment, of those made between `start` and `end`."""
    return Counter(d for r in requests for when, d, _ in r.calls if start <= when < end)


def share(requests: Iterable[Request], d: int, start: float = 0.0, end: float = math.inf) -> float:
    """The share of all calls between `start` and `end` that went to d."""
    counted = calls(requests, start, end)
    return counted[d] / max(1, counted.total())

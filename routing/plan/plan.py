"""One request's life as a pure state machine: events in, actions out.

    plan.on(Start(), now=0.000)          -> [Open(0, A), WakeAt(0.310)]      A is chosen; the hedge's moment
    plan.on(Tick(), now=0.310)           -> [Open(1, B, hedge=True), ...]    A is late, the purse allows
    plan.on(FirstContent(1), now=0.420)  -> [Commit(1), Cancel(0)]           first content wins
    plan.on(Ended(1, ...), now=2.100)    -> []                               every lease is back

The engine drives it with asyncio and real providers, the simulator with an event queue in virtual time, tests by hand.
Nothing else decides. It holds no clock and no randomness: `now` (seconds) and `rng` are the caller's. It alone takes
and closes leases, and through its lessons tells what happened, so both are right however a request ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from routing.errors import (
    AttemptError,
    AttemptTimedOut,
    ConnectFailed,
    ContextTooLong,
    Misconfigured,
    RateLimited,
    RequestRejected,
    RouterError,
)
from routing.outcome import AttemptRecord, Verdict
from routing.plan import endings
from routing.plan.attempt import Attempt
from routing.plan.candidates import Candidates
from routing.plan.lessons import Lessons
from routing.plan.moves import (
    Action,
    Cancel,
    ClientGone,
    Commit,
    Ended,
    Event,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Progress,
    Start,
    Tick,
    WakeAt,
)
from routing.policy.seam import Choice, Policy, Score
from routing.policy.view import View
from routing.request import Ask, LatencyPriority

MAX_TRIES = 3  # upstream calls of one request, hedges aside
NO_TARGET_PATIENCE = (
    2.0  # without a target of the caller's, a hedge is for the tail: twice the target set for the choice
)
CEILING_S = 200.0  # to the first content, whatever the caller allows: the platform cuts a silent request at 230 s


class Plan:
    """The life of one request."""

    def __init__(self, ask: Ask, view: View, policy: Policy, rng: Random, now: float) -> None:
        self.ask, self.view, self.policy, self.rng = ask, view, policy, rng
        self.started_at = now
        self.attempts: list[Attempt] = []
        self.committed: Attempt | None = None
        self.reason = ""
        self.over = False
        self._target_at = math.inf if ask.target_s is None else now + ask.target_s
        self._deadline_at = math.inf if ask.deadline_s is None else now + ask.deadline_s
        self._hedge_at: float | None = None
        self._hedge_until = math.inf
        self.candidates = Candidates(view, ask)
        self._lessons = Lessons(ask, view, rng, policy.cool_down_s)

    # ------------------------------------------------------------------ events
    def on(self, event: Event, now: float) -> list[Action]:  # noqa: PLR0911  # one return for each kind of event
        """What to do now that `event` has happened. After the plan is over it asks for nothing, and still learns."""
        if self.over and not isinstance(event, Progress):
            return []
        match event:
            case FirstContent(number):
                self._lessons.signals(self.attempts[number], event, now)
                return self._first_content(self.attempts[number], now)
            case Progress(number, pace):
                self._lessons.pace(self.attempts[number], pace, now)
                return []
            case Ended(number):
                return self._ended(self.attempts[number], event, now)
            case Failed(number, error):
                return self._failed(self.attempts[number], error, now)
            case Tick():
                return self._tick(now)
            case Start():
                return self._start(now)
            case ClientGone():
                return self._finish(now, [])

    def _start(self, now: float) -> list[Action]:
        self.view.saw_prompt(self.ask.tokens_in)
        self.view.failovers.pay_in()
        return self._send(now, after=None)

    def _first_content(self, attempt: Attempt, now: float) -> list[Action]:
        if attempt.verdict is not None or self.committed is not None:
            return []
        self.committed, attempt.first_at = attempt, now
        self._lessons.first_content(attempt, now)
        if attempt.hedge:
            self.reason = "hedge_won"
        actions: list[Action] = [Commit(attempt.number)]
        actions += [self._drop(other, now) for other in self._open_attempts() if other is not attempt]
        if self._deadline_at < math.inf:
            actions.append(WakeAt(self._deadline_at))
        return actions

    def _ended(self, attempt: Attempt, ended: Ended, now: float) -> list[Action]:
        if attempt is not self.committed:
            return []
        self._lessons.ended(attempt, ended, now)
        attempt.end(now, Verdict.SUCCESS)
        self.over = True
        return []

    def _failed(self, attempt: Attempt, error: AttemptError, now: float) -> list[Action]:
        if attempt.verdict is not None:
            return []
        attempt.error = error
        attempt.end(now, self._lessons.failed(attempt, error, now))
        if isinstance(error, ContextTooLong):
            self.candidates.too_long_for(attempt.deployment)
        if self.committed is attempt:
            return self._finish(now, [GiveUp(error)])
        if isinstance(error, RequestRejected):
            return self._finish(now, [GiveUp(endings.passed_on(error))])
        if self._open_attempts():
            return []  # a hedge is under way already
        if self.ask.one_try and error.accepted:
            return self._finish(now, [GiveUp(self._final_error(now))])
        return self._send(now, after=error)

    def _tick(self, now: float) -> list[Action]:
        if now >= self._deadline_at:
            return self._finish(now, [GiveUp(endings.too_late("total_timeout"))])
        if self.committed is not None:
            return [WakeAt(self._deadline_at)]
        if now >= self._first_content_limit():
            return self._finish(now, [GiveUp(endings.too_late("ttft_timeout"))])
        actions: list[Action] = []
        for attempt in self._open_attempts():
            if now >= attempt.give_up_at and self._another_try(attempt, now):
                actions.append(Cancel(attempt.number))
                self._lessons.silent(attempt, now)
                actions += self._failed(attempt, _too_slow(attempt), now)
        if not self.over and self._hedge_at is not None and now >= self._hedge_at:
            self._hedge_at = None
            actions += self._hedge(now)
        return actions if self.over else [*actions, WakeAt(self._next_wake())]

    # ------------------------------------------------------------------ sending
    def _send(self, now: float, after: AttemptError | None) -> list[Action]:
        """Choose and open, or give up. `after` is the failure that makes another try necessary."""
        if self._used_up(now, after):
            return self._finish(now, [GiveUp(self._final_error(now))])
        retry = after is not None
        candidates, panic = self.candidates.ready(now)
        if not candidates:
            none = self._final_error(now) if retry else endings.nothing_to_choose(self.view, self.candidates, now)
            return self._finish(now, [GiveUp(none)])
        if retry:
            candidates = self._elsewhere(candidates)
        elif self.ask.require and self.ask.target_s is not None:  # without a target there is nothing to require
            candidates, best = self._meeting(candidates, now)
            if not candidates:
                return self._finish(now, [GiveUp(endings.unattainable(best, self.ask.percentile))])
        return self._choose(candidates, "panic" if panic else "fallback" if retry else "", now, after)

    def _choose(self, candidates: Sequence[int], reason: str, now: float, after: AttemptError | None) -> list[Action]:
        """Send to one of the candidates, and plan the moment of its hedge."""
        paid, left = 0.0 if _free(after) else float(self.view.failovers.take()), self._left(now)
        spread = after is not None or self.ask.client_retry
        choice = self.policy.choose(self.view, self.ask, candidates, left, now, self.rng, spread)
        if left is None and not self.attempts:
            self._hedge_until = now + NO_TARGET_PATIENCE * choice.target_s
        self.reason = reason or choice.reason
        actions = self._open(choice.score, choice.second, now, hedge=False, paid=paid)
        self._hedge_at = self._planned_hedge(choice, now)
        return [*actions, WakeAt(self._next_wake())]

    def _planned_hedge(self, choice: Choice, now: float) -> float | None:
        """When to consider a hedge. One a request, and none once a 429 was seen: it would take somebody else's room."""
        ask = self.ask
        spent = any(a.hedge or isinstance(a.error, RateLimited) for a in self.attempts)
        if spent or not ask.hedge or ask.client_retry or ask.one_try:
            return None
        delay = self.policy.hedge_after(self.view, ask, choice, self._hedge_left(now), now)
        return None if delay is None else now + delay

    def _another_try(self, attempt: Attempt, now: float) -> bool:
        """Whether to give up a call that has been silent for long. Where nothing better is left, late beats never: it
        then gets all the time that there is."""
        model = self.view.fleet.model_of(self.view.fleet.deployments[attempt.deployment])
        longest = attempt.sent_at + model.first_content_timeout_s if self.ask.streamed else math.inf
        longest = min(longest, self._deadline_at, self._first_content_limit())
        silent = AttemptTimedOut("no content within its time")
        nothing_left = self.ask.one_try or self._used_up(now, silent) or not self.candidates.ready(now)[0]
        if nothing_left and attempt.give_up_at < longest:
            attempt.give_up_at = longest
            return False
        return True

    def _used_up(self, now: float, after: AttemptError | None) -> bool:
        """Whether tries, time or the purse for failovers are at their end."""
        tries = sum(not a.hedge for a in self.attempts)
        late = now >= min(self._deadline_at, self._first_content_limit())
        return tries >= MAX_TRIES or late or not (_free(after) or self.view.failovers.holds())

    def _elsewhere(self, candidates: Sequence[int]) -> Sequence[int]:
        """Candidates outside the regions that failed this request, if there are any: what failed may fail together."""
        failed = {
            self.view.region[a.deployment]
            for a in self.attempts
            if not isinstance(a.error, RateLimited | Misconfigured | ContextTooLong)
        }
        return [d for d in candidates if self.view.region[d] not in failed] or candidates

    def _meeting(self, candidates: Sequence[int], now: float) -> tuple[Sequence[int], float]:
        """(candidates that are predicted to meet the target as `require` asks, the best probability of all)."""
        scores = self.policy.score(self.view, self.ask, candidates, self._left(now), now)
        least = self.ask.percentile / 100
        return [s.deployment for s in scores if s.probability >= least], max(s.probability for s in scores)

    def _hedge(self, now: float) -> list[Action]:
        waiting = self._open_attempts()
        candidates, panic = self.candidates.ready(now)
        if len(waiting) != 1 or panic:
            return []
        primary = waiting[0]
        d = self.policy.hedge(
            self.view, self.ask, primary.deployment, now - primary.sent_at, candidates, self._hedge_left(now), now
        )
        if d is None or not self.view.hedges.take(self.view.hedge_cost(self.ask.tokens_in)):
            return []
        score = self.policy.score(self.view, self.ask, (d,), self._hedge_left(now), now)[0]
        return self._open(score, None, now, hedge=True, paid=0.0)

    def _open(self, score: Score, second: int | None, now: float, hedge: bool, paid: float) -> list[Action]:
        d = score.deployment
        lease = self.view.slots.lease(d)
        assert lease is not None, "candidates are never full"
        until = min(self._deadline_at, self._first_content_limit())
        patience = self.policy.patience(self.view, self.ask, d, second, until - now)
        attempt = Attempt(len(self.attempts), d, now, min(now + patience, until), hedge, lease, score, paid)
        self.attempts.append(attempt)
        self.candidates.tried.add(d)
        self.view.tracker.sent(d, now, self.view.quota.cost_s(d, self.ask.reserved_tokens))
        if not hedge:
            self.view.hedges.pay_in(self.view.hedge_cost(self.ask.tokens_in))
        return [Open(attempt.number, d, hedge)]

    # ------------------------------------------------------------------ endings
    def _finish(self, now: float, actions: list[Action]) -> list[Action]:
        """Nothing more is wanted: every open attempt is dropped, every lease closed."""
        cancels: list[Action] = [self._drop(a, now) for a in self._open_attempts()]
        self.over = True
        return actions + cancels  # the reason first, so that it is what a reader of a dropped call sees

    def _drop(self, attempt: Attempt, now: float) -> Action:
        self._lessons.dropped(attempt, now)
        attempt.end(now, Verdict.IGNORED)
        return Cancel(attempt.number)

    def _final_error(self, now: float) -> RouterError:
        errors = [a.error for a in self.attempts if a.error is not None]
        return endings.failed(errors, self.candidates, now, now >= self._deadline_at)

    # ------------------------------------------------------------------ times and purses
    def _open_attempts(self) -> list[Attempt]:
        return [a for a in self.attempts if a.verdict is None]

    def _left(self, now: float) -> float | None:
        return None if self._target_at == math.inf else self._target_at - now

    def _hedge_left(self, now: float) -> float:
        left = self._left(now)
        return self._hedge_until - now if left is None else left

    def _first_content_limit(self) -> float:
        """When the request has waited for its first content long enough."""
        binding = self.ask.require and self.ask.priority is LatencyPriority.STREAMING
        return min(self._target_at if binding else math.inf, self.started_at + CEILING_S)

    def _next_wake(self) -> float:
        moments = [self._deadline_at, self._first_content_limit(), *(a.give_up_at for a in self._open_attempts())]
        if self._hedge_at is not None:
            moments.append(self._hedge_at)
        return min(moments)

    # ------------------------------------------------------------------ for the record
    def records(self) -> list[AttemptRecord]:
        """What was tried, times in ms after the request's arrival."""
        ids = self.view.fleet.deployments
        return [a.record(ids[a.deployment].id, self.started_at) for a in self.attempts]


def _too_slow(attempt: Attempt) -> AttemptError:
    if attempt.way.connecting:
        return ConnectFailed("no connection within its time")
    return AttemptTimedOut("no content within its time")


def _free(after: AttemptError | None) -> bool:
    """A first call is free, and one after a 429, which took nothing from anybody; others pay from the purse."""
    return after is None or isinstance(after, RateLimited)

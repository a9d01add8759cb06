"""What the attempts of a request teach: told to tracker, health, quota and purse, whatever becomes of the request."""

from __future__ import annotations

from random import Random

from routing.errors import (
    AdapterFault,
    AttemptError,
    AttemptTimedOut,
    ConnectFailed,
    ContextTooLong,
    Misconfigured,
    RateLimited,
    RequestRejected,
)
from routing.outcome import Verdict
from routing.plan.attempt import Attempt
from routing.plan.moves import FEWEST_EVENTS, PACE_EVENTS, Ended, FirstContent
from routing.policy.view import View
from routing.request import Ask

OURS = ConnectFailed, Misconfigured, AdapterFault  # failures that say nothing of the deployment to other regions
LATE_CONNECT_S = 0.5  # a call that is dropped while it still connects has failed to, if it had so long: a lost packet


class Lessons:
    """Of one request."""

    def __init__(self, ask: Ask, view: View, rng: Random, cool_down_s: float) -> None:
        self._ask, self._view, self._rng, self._cool_down_s = ask, view, rng, cool_down_s

    def signals(self, attempt: Attempt, seen: FirstContent, now: float) -> None:
        """What an answer's headers told, also of one that came second."""
        if seen.network_s is not None:
            self._view.tracker.saw_network(attempt.deployment, now, seen.network_s)
        if seen.utilisation is not None:
            self._view.quota.saw(attempt.deployment, now, seen.utilisation)

    def first_content(self, attempt: Attempt, now: float) -> None:
        """The first content of the answer that the caller gets."""
        self._view.health.answers(attempt.deployment, now)
        self._view.failovers.refund(attempt.paid)
        if self._ask.streamed:
            self._view.tracker.first_content(attempt.deployment, now, now - attempt.sent_at, self._ask.tokens_in)

    def pace(self, attempt: Attempt, seconds_per_event: float, now: float) -> None:
        """A stream's pace was seen."""
        self._view.tracker.pace(attempt.deployment, now, seconds_per_event)

    def ended(self, attempt: Attempt, ended: Ended, now: float) -> None:
        """The answer came to its end."""
        tracker, d, measured = self._view.tracker, attempt.deployment, ended.measurement
        self._view.health.succeeded(d)
        if not self._ask.streamed:
            tracker.whole(d, now, measured.total_ms / 1000, self._ask.tokens_in, measured.tokens_generated)
        elif ended.counted:
            tracker.saw_tokens(d, measured.tokens_generated, ended.events)
            # a stream of many tokens in few events has shown its pace, too, once their number is known
            many = measured.tokens_generated >= PACE_EVENTS and FEWEST_EVENTS <= ended.events < PACE_EVENTS
            if many and measured.generation_ms > 0:
                tracker.pace(d, now, measured.generation_ms / 1000 / (ended.events - 1))
        tracker.answered(d, now, measured)

    def dropped(self, attempt: Attempt, now: float) -> None:
        """Nobody waits for the attempt any more; it has not failed."""
        if attempt.first_at is None:
            self.silent(attempt, now)
        if attempt.way.connecting and now - attempt.sent_at >= LATE_CONNECT_S:
            self._view.tracker.failed(attempt.deployment, now, rate_limited=False, own=True)

    def silent(self, attempt: Attempt, now: float) -> None:
        """The attempt is given up without any content.

        An answer that comes whole may be silent for long, and nothing but its length: it takes a run of silences to
        blame a deployment for them. One that was never connected to has not been asked.
        """
        if attempt.way.connecting:
            return
        d, age, tokens_in, tracker = attempt.deployment, now - attempt.sent_at, self._ask.tokens_in, self._view.tracker
        if self._ask.streamed:
            tracker.silent(d, now, age, tokens_in)
            return
        length = self._ask.expected_tokens, self._ask.length_spread
        answered_by = tracker.answered_by(d, age, tokens_in, *length)
        hangs = self._view.health.silent(d, answered_by)
        tracker.silent_whole(d, now, age, tokens_in, *length, answered_by, hangs)
        if hangs:
            self._view.health.failed(d, now, self._rng)

    def failed(self, attempt: Attempt, error: AttemptError, now: float) -> Verdict:
        """The attempt failed; returns whether that is held against its deployment."""
        d, health = attempt.deployment, self._view.health
        match error:
            case RequestRejected() | ContextTooLong():
                self._view.failovers.refund(attempt.paid)  # the request's fault: it must not use up others' failovers
                return Verdict.IGNORED
            case AttemptTimedOut() if attempt.first_at is None and health.outlived(d, attempt.sent_at):
                return Verdict.DROPPED  # it has answered since: to count it costs 0.3 points where news are old
            case RateLimited(retry_after_s=hint):
                health.rate_limited(d, now, hint, self._rng, self._cool_down_s)
            case Misconfigured():
                health.misconfigured(d, now)
            case AdapterFault():
                pass  # others of its requests may well be answered
            case _:
                health.failed(d, now, self._rng)
        self._view.tracker.failed(d, now, isinstance(error, RateLimited), isinstance(error, OURS))
        return Verdict.DROPPED

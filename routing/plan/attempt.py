"""One upstream call of a request, from the lease that it holds to its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.errors import AttemptError
from routing.load.slots import Lease
from routing.outcome import AttemptRecord, Verdict
from routing.policy.seam import Score
from routing.ports import Way


@dataclass(slots=True)
class Attempt:
    """One upstream call. Moments in seconds."""

    number: int
    deployment: int
    sent_at: float
    give_up_at: float
    hedge: bool
    lease: Lease
    score: Score  # what was predicted of it
    paid: float = 0.0  # what the failover purse gave for it
    way: Way = field(default_factory=Way)
    first_at: float | None = None
    ended_at: float | None = None
    verdict: Verdict | None = None
    error: AttemptError | None = None

    def end(self, now: float, verdict: Verdict) -> None:
        """It is over, and its lease is given back."""
        self.lease.close()
        self.ended_at, self.verdict = now, verdict

    def record(self, deployment: str, since: float) -> AttemptRecord:
        """What became of it, in ms since the request's arrival."""
        return AttemptRecord(
            deployment=deployment,
            verdict=self.verdict or Verdict.IGNORED,
            hedge=self.hedge,
            sent_ms=1000 * (self.sent_at - since),
            ended_ms=1000 * ((self.ended_at or self.sent_at) - since),
            error=self.error.code if self.error else None,
        )

"""Ejection: a deployment that fails, refuses or is misconfigured is closed for a while."""

from __future__ import annotations

from random import Random

IN_A_ROW = 3  # failures that eject
FIRST_S, LONGEST_S = 5.0, 15.0  # first ejection, doubled at each further failure up to the longest
JITTER = (0.8, 1.2)  # so that instances do not return at the same moment
RATE_LIMIT_DEFAULT_S = 1.0  # a 429 without a hint
RATE_LIMIT_JITTER = (1.0, 1.5)  # never below the provider's hint
MISCONFIGURED_S = 30.0  # a refused credential or a missing deployment does not heal in seconds
MOST_EJECTED = 0.5  # of the fleet: if everything fails, it is not the deployments


class Ejections:
    """Which deployments are closed, until when (seconds on the router's clock), and why."""

    __slots__ = ("closed_until", "in_a_row", "why")

    def __init__(self, size: int) -> None:
        self.closed_until = [0.0] * size
        self.why = [""] * size
        self.in_a_row = [0] * size

    def succeeded(self, d: int) -> None:
        """A call got content."""
        self.in_a_row[d] = 0

    def failed(self, d: int, now: float, rng: Random) -> None:
        """A call failed; the third in a row ejects, unless half of the fleet is out already."""
        self.in_a_row[d] += 1
        excess = self.in_a_row[d] - IN_A_ROW
        if excess >= 0 and self._ejected(now) < MOST_EJECTED * len(self.why):
            self._close(d, now + min(LONGEST_S, FIRST_S * 2 ** min(excess, 8)) * rng.uniform(*JITTER), "ejected")

    def rate_limited(self, d: int, now: float, retry_after_s: float | None, rng: Random) -> None:
        """A call was refused with 429: stay away as long as the provider says. A later hint never shortens it."""
        hint = RATE_LIMIT_DEFAULT_S if retry_after_s is None else retry_after_s
        self._close(d, now + hint * rng.uniform(*RATE_LIMIT_JITTER), "rate_limited")

    def misconfigured(self, d: int, now: float) -> None:
        """The provider refused our credentials or does not know the deployment."""
        self._close(d, now + MISCONFIGURED_S, "misconfigured")

    def _close(self, d: int, until: float, why: str) -> None:
        if until > self.closed_until[d]:
            self.closed_until[d], self.why[d] = until, why

    def _ejected(self, now: float) -> int:
        return sum(until > now and why == "ejected" for until, why in zip(self.closed_until, self.why, strict=True))

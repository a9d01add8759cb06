"""Ejection: a deployment that fails, refuses or is misconfigured is closed for a while."""

from __future__ import annotations

import math
from random import Random

IN_A_ROW = 3  # failures that eject
FIRST_S, LONGEST_S = 5.0, 15.0  # first ejection, doubled at each further failure up to the longest
JITTER = (0.8, 1.2)  # so that instances do not return at the same moment
RATE_LIMIT_DEFAULT_S = 1.0  # a 429 without a hint
RATE_LIMIT_JITTER = (1.0, 1.5)  # never below the provider's hint
CHANCE = 1e-3  # rarer than that, and silence is no bad luck: three in a row where nine of ten had answered
MISCONFIGURED_S = 30.0  # a refused credential or a missing deployment does not heal in seconds
MOST_EJECTED = 0.5  # of the fleet at once: if everything fails, it is not the deployments


class Ejections:
    """Which deployments are closed, until when (seconds on the router's clock), and why.

    `refused_until` is when a 429 asked to come back: kept apart, so that an ejection on top of it does not hide it.
    """

    __slots__ = ("answered_at", "chance", "closed_until", "in_a_row", "refused_until", "why")

    def __init__(self, size: int) -> None:
        self.closed_until = [0.0] * size
        self.refused_until = [0.0] * size
        self.why = [""] * size
        self.in_a_row = [0] * size
        self.answered_at = [-math.inf] * size  # when first content came last
        self.chance = [1.0] * size  # of the silences since then, if nothing were wrong

    def answers(self, d: int, now: float) -> None:
        """First content came. It clears nothing yet: a deployment whose streams all break later is no good one."""
        self.answered_at[d], self.chance[d] = now, 1.0

    def silent(self, d: int, answered_by_now: float) -> bool:
        """A call was dropped before its answer came, by when it had come with this probability.

        Returns whether it and the silences before it, with no answer between them, are too many to be chance.
        """
        self.chance[d] *= 1 - answered_by_now
        return self.chance[d] < CHANCE

    def outlived(self, d: int, sent_at: float) -> bool:
        """Whether the deployment has answered since: what was sent before and is still silent is old news of it."""
        return self.answered_at[d] > sent_at

    def succeeded(self, d: int) -> None:
        """An answer came to its proper end."""
        self.in_a_row[d] = 0

    def failed(self, d: int, now: float, rng: Random) -> None:
        """A call failed; the third in a row ejects, unless more than half of the fleet would then be out."""
        self.in_a_row[d] += 1
        excess = self.in_a_row[d] - IN_A_ROW
        if excess >= 0 and 1 + self._others_ejected(d, now) <= MOST_EJECTED * len(self.why):
            self._close(d, now + min(LONGEST_S, FIRST_S * 2 ** min(excess, 8)) * rng.uniform(*JITTER), "ejected")

    def rate_limited(self, d: int, now: float, retry_after_s: float | None, rng: Random, least_s: float = 0.0) -> None:
        """A call was refused with 429: stay away as long as the provider says. A later hint never shortens it.

        A policy may want `least_s` at least. That is no word of the provider's: panic routing ignores it.
        """
        hint = RATE_LIMIT_DEFAULT_S if retry_after_s is None else retry_after_s
        until = now + hint * rng.uniform(*RATE_LIMIT_JITTER)
        self.refused_until[d] = max(self.refused_until[d], until)
        self._close(d, max(until, now + least_s), "rate_limited")

    def misconfigured(self, d: int, now: float) -> None:
        """The provider refused our credentials or does not know the deployment."""
        self._close(d, now + MISCONFIGURED_S, "misconfigured")

    def _close(self, d: int, until: float, why: str) -> None:
        if until > self.closed_until[d]:
            self.closed_until[d], self.why[d] = until, why

    def _others_ejected(self, d: int, now: float) -> int:
        out = [until > now and why == "ejected" for until, why in zip(self.closed_until, self.why, strict=True)]
        return sum(out) - out[d]

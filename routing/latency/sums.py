"""Exponentially decayed counts and sums: everything learned of a deployment is one, so merging is addition.

Each column decays with its own time constant. The sums are kept as of one moment, `at`; reading them later or adding to
them first ages them, so no weight ever grows.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

# A count is followed by what is summed under it. x: residual of ln(TTFT); y: ln(pace / prior).
N, X, WIDE_N, WIDE_XX, PACE_N, PACE_Y, SLOW_N, SLOW_Y, ANSWERS, FAILURES, SENT, OWN_ANSWERS, OWN_FAILURES = range(13)
TAU_S = (60.0, 60.0, 600.0, 600.0, 30.0, 30.0, 600.0, 600.0, 10.0, 10.0, 10.0, 10.0, 10.0)
COLUMNS = len(TAU_S)
OWN = OWN_ANSWERS, OWN_FAILURES  # of one region's own making, its network and credentials: no other region's business
_MIDDLE, _WIDE = 60.0, 600.0


class DecayedSums:
    """The sums of one deployment. `values` are true at `at` (seconds)."""

    __slots__ = ("at", "values")

    def __init__(self, at: float = 0.0, values: Iterable[float] | None = None) -> None:
        self.at = at
        self.values = array("d", bytes(8 * COLUMNS) if values is None else values)

    def age(self, now: float) -> array[float]:
        """Bring the sums to `now` and return them. A clock that steps back ages nothing."""
        past = now - self.at
        if past > 0:
            v = self.values
            # WIDE, then its roots: e^(-t/60), e^(-t/30) and e^(-t/10) are powers of e^(-t/60)
            wide, middle = math.exp(-past / _WIDE), math.exp(-past / _MIDDLE)
            fast = middle * middle
            fastest = fast * fast * fast
            v[N] *= middle
            v[X] *= middle
            v[WIDE_N] *= wide
            v[WIDE_XX] *= wide
            v[PACE_N] *= fast
            v[PACE_Y] *= fast
            v[SLOW_N] *= wide
            v[SLOW_Y] *= wide
            v[ANSWERS] *= fastest
            v[FAILURES] *= fastest
            v[SENT] *= fastest
            v[OWN_ANSWERS] *= fastest
            v[OWN_FAILURES] *= fastest
            self.at = now
        return self.values

    def merged(self, other: DecayedSums) -> DecayedSums:
        """The sum of both, as of the later moment. Commutative and associative up to rounding."""
        now = max(self.at, other.at)
        a, b = DecayedSums(self.at, self.values), DecayedSums(other.at, other.values)
        return DecayedSums(now, [x + y for x, y in zip(a.age(now), b.age(now), strict=True)])

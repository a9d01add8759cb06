"""A mergeable histogram with buckets that grow by a constant factor: measured percentiles, with a bounded error.

The bucket scheme is that of DDSketch (Masson, Rim and Lee, VLDB 2019): a value in (g^(i-1), g^i] is told as
2 g^i / (g + 1), which is off by at most (g - 1) / (g + 1), here 5 %. Counts decay by growing the weight of new samples
(forward decay, Cormode et al., ICDE 2009) and rescaling long before a weight could overflow.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Self

RELATIVE_ERROR = 0.05
GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
SMALLEST, LARGEST = 1.0, 600_000.0  # ms, or tokens/s: what is outside counts as the nearest bucket
TAU_S = 600.0
_LOG_GROWTH = math.log(GROWTH)
BUCKETS = math.ceil(math.log(LARGEST / SMALLEST) / _LOG_GROWTH) + 1
LEAST = 1e-4  # of a sample: what has faded to less is not passed on
_RESCALE_AT = 30.0  # e^30 fits a 32-bit float with room for 10^25 samples


class DecayedHistogram:
    """Decayed counts of one quantity, of the buckets between the least and the greatest that was seen; 0.2 kB."""

    __slots__ = ("counts", "first", "origin")

    def __init__(self, origin: float = 0.0) -> None:
        self.origin = origin
        self.first = 0  # bucket of counts[0]
        self.counts = array("f")

    def add(self, value: float, now: float) -> None:
        """Count one sample of `value` seen at `now` (s). A value that is not finite and positive is not counted."""
        if not 0 < value < math.inf:
            return
        exponent = (now - self.origin) / TAU_S
        if exponent > _RESCALE_AT:
            self._rescale(now)
            exponent = 0.0
        bucket = min(max(math.ceil(math.log(value / SMALLEST) / _LOG_GROWTH), 0), BUCKETS - 1)
        self._reach(bucket, bucket + 1)
        self.counts[bucket - self.first] += math.exp(exponent)

    def count(self, now: float) -> float:
        """How many samples it still holds at `now`, each faded with its age."""
        return float(sum(self.counts)) * math.exp(-(now - self.origin) / TAU_S)

    def quantile(self, q: float) -> float | None:
        """The value below which the share `q` of the samples lies, within 5 %; None without samples."""
        total = sum(self.counts)
        if total <= 0:
            return None
        rest = q * total
        last = 0
        for bucket, weight in enumerate(self.counts, self.first):
            if weight > 0:
                last = bucket
                rest -= weight
                if rest <= 0:
                    break
        return float(SMALLEST * 2 * GROWTH**last / (GROWTH + 1))

    def merge(self, other: DecayedHistogram) -> None:
        """Add another's samples to this one."""
        if not other.counts:
            return
        if other.origin > self.origin:
            self._rescale(other.origin)
        factor = math.exp((other.origin - self.origin) / TAU_S)
        self._reach(other.first, other.first + len(other.counts))
        for place, weight in enumerate(other.counts, other.first - self.first):
            self.counts[place] += weight * factor

    def bins(self, now: float) -> dict[int, float]:
        """Bucket -> decayed count at `now`, without the empty ones."""
        factor = math.exp(-max(0.0, now - self.origin) / TAU_S)
        return {
            bucket: weight * factor for bucket, weight in enumerate(self.counts, self.first) if weight * factor >= LEAST
        }

    @classmethod
    def of(cls, bins: Mapping[int, float], at: float) -> Self:
        """The histogram that has these counts at `at`. Buckets that this scheme does not have are left out."""
        made = cls(at)
        known = [bucket for bucket in bins if 0 <= bucket < BUCKETS]
        if known:
            made._reach(min(known), max(known) + 1)
        for bucket in known:
            made.counts[bucket - made.first] = bins[bucket]
        return made

    def _reach(self, first: int, end: int) -> None:
        """Make room for the buckets from `first` on, before `end`."""
        if not self.counts:
            self.first = first
        before, after = self.first - first, end - self.first - len(self.counts)
        if before > 0 or after > 0:  # sums of arrays and not `extend`, which would take room in advance
            self.counts = _empty(before) + self.counts + _empty(after)
            self.first = min(first, self.first)

    def _rescale(self, now: float) -> None:
        factor = math.exp(-(now - self.origin) / TAU_S)
        for place, weight in enumerate(self.counts):
            self.counts[place] = weight * factor
        self.origin = now


def _empty(buckets: int) -> array[float]:
    return array("f", bytes(4 * max(0, buckets)))

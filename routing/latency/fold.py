"""Adding up what many instances learned of one deployment, straight from their numbers: no sketch per instance."""

from __future__ import annotations

import math

from routing.latency.histogram import TAU_S
from routing.latency.network import STALE_S
from routing.latency.sums import COLUMNS, DecayedSums
from routing.ports import Learned


class Fold:
    """A running sum of totals, true at `now`. The order in which they come does not matter."""

    __slots__ = ("_bins", "_newest_at", "_now", "_round_trip_s", "_sums")

    def __init__(self, now: float) -> None:
        self._now = now
        self._sums = [0.0] * COLUMNS
        self._bins: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self._newest_at: float | None = None
        self._round_trip_s: float | None = None

    def add(self, learned: Learned) -> None:
        """Add one instance's total, faded to `now`."""
        aged = DecayedSums(learned.at, learned.sums).age(self._now)
        self._sums = [a + b for a, b in zip(self._sums, aged, strict=True)]
        factor = math.exp(-max(0.0, self._now - learned.at) / TAU_S)
        for bins, added in zip(self._bins, (learned.ttft_ms, learned.total_ms), strict=True):
            for bucket, count in added.items():
                bins[bucket] = bins.get(bucket, 0.0) + count * factor
        if learned.newest_at is not None:
            self._newest_at = max(learned.newest_at, self._newest_at or 0.0)
        # The least wins, so one of an instance that has died would win for as long as its total is read
        if learned.round_trip_s is not None and self._now - learned.at <= STALE_S:
            self._round_trip_s = min(learned.round_trip_s, self._round_trip_s or math.inf)

    def learned(self) -> Learned:
        """The sum."""
        return Learned(self._now, self._sums, *self._bins, self._newest_at, self._round_trip_s)

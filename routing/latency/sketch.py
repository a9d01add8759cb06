"""All that is learned of one deployment, as one mergeable whole: what instances share."""

from __future__ import annotations

from typing import Self

from routing.latency.histogram import DecayedHistogram
from routing.latency.sums import OWN, DecayedSums
from routing.ports import Learned


class Sketch:
    """Decayed sums for the prediction, histograms for people; 0.6 kB. Merging is addition: order does not matter."""

    __slots__ = ("newest_at", "sums", "total_ms", "ttft_ms")

    def __init__(self, now: float = 0.0) -> None:
        self.sums = DecayedSums(now)
        self.ttft_ms = DecayedHistogram(now)
        self.total_ms = DecayedHistogram(now)
        self.newest_at: float | None = None  # of the newest sample in it

    def merge(self, other: Sketch) -> None:
        """Add what another holds."""
        self.sums = self.sums.merged(other.sums)
        self.ttft_ms.merge(other.ttft_ms)
        self.total_ms.merge(other.total_ms)
        if other.newest_at is not None:
            self.newest_at = max(other.newest_at, self.newest_at or other.newest_at)

    def learned(self, now: float, round_trip_s: float | None = None) -> Learned:
        """The same as numbers that are true at `now`. A sketch of a later moment keeps its own."""
        now = max(now, self.sums.at)
        return Learned(
            at=now,
            sums=list(self.sums.age(now)),
            ttft_ms=self.ttft_ms.bins(now),
            total_ms=self.total_ms.bins(now),
            newest_at=self.newest_at,
            round_trip_s=round_trip_s,
        )

    @classmethod
    def of(cls, learned: Learned) -> Self:
        """The sketch that these numbers describe."""
        made = cls(learned.at)
        made.sums = DecayedSums(learned.at, learned.sums)
        made.ttft_ms = DecayedHistogram.of(learned.ttft_ms, learned.at)
        made.total_ms = DecayedHistogram.of(learned.total_ms, learned.at)
        made.newest_at = learned.newest_at
        return made

    def merge_model_part(self, learned: Learned) -> None:
        """Add what another origin region learned of the model; what it observed, network and all, is its own."""
        sums = DecayedSums(learned.at, learned.sums)
        for column in OWN:
            sums.values[column] = 0.0
        self.sums = self.sums.merged(sums)

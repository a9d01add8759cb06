"""All that is learned of one deployment, as one mergeable whole: what instances share."""

from __future__ import annotations

from routing.latency.histogram import DecayedHistogram
from routing.latency.sums import DecayedSums


class Sketch:
    """Decayed sums for the prediction, histograms for people; 2 kB. Merging is addition: order does not matter."""

    __slots__ = ("newest_at", "sums", "tokens_per_s", "total_ms", "ttft_ms")

    def __init__(self, now: float = 0.0) -> None:
        self.sums = DecayedSums(now)
        self.ttft_ms = DecayedHistogram(now)
        self.total_ms = DecayedHistogram(now)
        self.tokens_per_s = DecayedHistogram(now)
        self.newest_at: float | None = None  # of the newest sample in it

    def merge(self, other: Sketch) -> None:
        """Add what another holds."""
        self.sums = self.sums.merged(other.sums)
        self.ttft_ms.merge(other.ttft_ms)
        self.total_ms.merge(other.total_ms)
        self.tokens_per_s.merge(other.tokens_per_s)
        if other.newest_at is not None:
            self.newest_at = max(other.newest_at, self.newest_at or other.newest_at)

"""LiteLLM's lowest-latency rule (router_strategy/lowest_latency.py): the mean of each deployment's last ten values.

The values are times to first token for who wants that, seconds a token otherwise. A deployment without values counts
as zero, so it is tried first; a time-out counts as 1,000. Chance decides among those within (1 + buffer) of the lowest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from routing.outcome import LatencyMeasurement
from routing.policy.baseline import PATIENCE_S, Learning, first_counts
from routing.policy.view import View
from routing.request import Ask

KEPT = 10
TIMED_OUT = 1_000.0
COOL_DOWN_S = 5.0  # DEFAULT_COOLDOWN_TIME_SECONDS (litellm/constants.py)
NEARLY = 0.99  # a moment of this process's own wait may be missing


class LowestLatency(Learning):
    """Keeps twenty numbers a deployment."""

    name = "litellm"
    cool_down_s = COOL_DOWN_S
    buffer = 0.0

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        size = len(view.tier)
        self._first: list[deque[float]] = [deque(maxlen=KEPT) for _ in range(size)]
        self._per_token: list[deque[float]] = [deque(maxlen=KEPT) for _ in range(size)]

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        lists = self._first if first_counts(ask) else self._per_token
        means = [_mean(lists[d] or self._per_token[d]) for d in candidates]
        limit = (1 + self.buffer) * min(means)
        return rng.choice([d for d, mean in zip(candidates, means, strict=True) if mean <= limit])

    def saw_first(self, d: int, now: float, ttft: float) -> None:
        """See the base."""
        self._first[d].append(ttft)

    def saw_answer(self, d: int, now: float, measurement: LatencyMeasurement) -> None:
        """See the base."""
        self._per_token[d].append(measurement.total_ms / 1000 / max(1, measurement.tokens_generated))

    def saw_silence(self, d: int, now: float, age: float) -> None:
        """A time-out of our own is told as silence that lasted as long as our patience."""
        if age >= NEARLY * PATIENCE_S:
            self._first[d].append(TIMED_OUT)
            self._per_token[d].append(TIMED_OUT)


class LowestLatencyBuffered(LowestLatency):
    """With a buffer of one half."""

    name = "litellm_buffer"
    buffer = 0.5


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values) if values else 0.0

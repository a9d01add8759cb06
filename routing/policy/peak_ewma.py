"""Peak EWMA (Finagle, Linkerd): rises at once to a worse value, decays to a better one; times calls in flight + 1.

Without decay on read: Finagle's `get()` observes a latency of zero, so that a value fades while nothing is sent. That
faithful form is far worse here: whoever was slow looks fast as soon as it has been left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from routing.policy.two_latencies import TwoLatencies
from routing.policy.view import View
from routing.request import Ask

TAU_S = 10.0


class PeakEwma(TwoLatencies):
    """The best of all candidates. Keeps four numbers a deployment."""

    name = "peak_ewma"

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self._at = [[0.0] * len(view.tier) for _ in self.latency]

    def observe(self, d: int, which: int, now: float, seconds: float) -> None:
        """See the base."""
        before = self.latency[which][d]
        kept = math.exp(-max(0.0, now - self._at[which][d]) / TAU_S)
        self._at[which][d] = now
        self.latency[which][d] = seconds if seconds > before else before * kept + seconds * (1 - kept)

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        latency, in_flight = self.of(ask), view.slots.in_flight
        return min(candidates, key=lambda d: latency[d] * (in_flight[d] + 1))


class PeakEwmaOfTwo(PeakEwma):
    """The better of two by chance."""

    name = "peak_ewma_p2c"

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        drawn = rng.sample(candidates, 2) if len(candidates) > 2 else candidates
        return super().pick(view, ask, drawn, now, rng)

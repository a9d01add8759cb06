"""Prequal's hot-cold rule (Wydrowski et al., NSDI 2024): of the candidates that are not hot, the fastest.

Prequal probes servers for their load; models cannot be probed for it, so the share of the quota in use stands for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from routing.policy.two_latencies import TwoLatencies
from routing.policy.view import View
from routing.request import Ask

HOT_QUANTILE = 0.84
KEPT = 8  # latencies, whose median counts


class Prequal(TwoLatencies):
    """Keeps eighteen numbers a deployment."""

    name = "prequal"

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self._recent: list[list[deque[float]]] = [[deque(maxlen=KEPT) for _ in view.tier] for _ in self.latency]

    def observe(self, d: int, which: int, now: float, seconds: float) -> None:
        """See the base."""
        recent = self._recent[which][d]
        recent.append(seconds)
        self.latency[which][d] = sorted(recent)[len(recent) // 2]

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        beliefs, latency = view.tracker.renew(now), self.of(ask)
        load = [view.quota.utilisation(d, now, beliefs[d].sent) for d in candidates]
        hot = sorted(load)[min(len(load) - 1, int(HOT_QUANTILE * len(load)))]
        cold = [d for d, used in zip(candidates, load, strict=True) if used <= hot and used < 1]
        if cold:
            return min(cold, key=lambda d: latency[d])
        return min(zip(load, candidates, strict=True))[1]

"""The three stages of the first sketch of this router: a static table, a tracked 95 % point, and load on top of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from routing.policy.baseline import UPPER_Z95, Baseline, first_counts
from routing.policy.view import View
from routing.request import Ask

FEW = 5.0  # samples, before which the table counts
REREAD_S = 5.0
LOADED, LOAD_PENALTY_S = 0.8, 0.5
PACE_RESERVE = 1.3  # the table's whole answers are for a slow day


class SeedStatic(Baseline):
    """The lowest mean TTFT, or 95 % point plus length, in the static table. Keeps three numbers a deployment."""

    name = "seed_static"
    cool_down_s = 0.0  # the sketch knew of no cool-down

    def begin(self, view: View) -> None:
        """See the base."""
        t = view.tracker
        rows = list(zip(t.log_base, t.prior_spread, t.net_s, strict=True))
        self._mean = [math.exp(log + spread**2 / 2) + net for log, spread, net in rows]
        self._p95 = [math.exp(log + UPPER_Z95 * spread) + net for log, spread, net in rows]
        self._pace = [PACE_RESERVE * pace for pace in t.prior_pace]

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        return min(candidates, key=lambda d: self.latency(view, ask, d, now))

    def latency(self, view: View, ask: Ask, d: int, now: float) -> float:
        """What is expected of deployment d, seconds."""
        return self._mean[d] if first_counts(ask) else self._p95[d] + ask.expected_tokens * self._pace[d]

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        """The whole limit: one after the other."""
        return left if ask.target_s is None else min(left, ask.target_s)


class SeedTracked(SeedStatic):
    """The measured 95 % point of all instances, read anew every few seconds. Keeps five numbers a deployment."""

    name = "seed_tracked"

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self._seen: list[tuple[float | None, float | None]] = [(None, None)] * len(view.tier)
        self._read_at = -math.inf

    def latency(self, view: View, ask: Ask, d: int, now: float) -> float:
        """See the base."""
        if now - self._read_at > REREAD_S:
            self._read_at = now
            self._seen = [_tracked(view, d, now) for d in range(len(self._seen))]
        seen = self._seen[d][0 if first_counts(ask) else 1]
        return super().latency(view, ask, d, now) if seen is None else seen


class SeedLoad(SeedTracked):
    """The same, and half a second or more for a deployment that is taken to be loaded above 80 %."""

    name = "seed_load"

    def latency(self, view: View, ask: Ask, d: int, now: float) -> float:
        """See the base."""
        load = view.slots.in_flight[d] / view.slots.limits[d]
        penalty = LOAD_PENALTY_S * max(1.0, load) if load > LOADED else 0.0
        return super().latency(view, ask, d, now) + penalty


def _tracked(view: View, d: int, now: float) -> tuple[float | None, float | None]:
    """95 % points of TTFT and total, seconds; None while there are few samples."""
    known = view.tracker.known[d]
    if known.total_ms.count(now) < FEW:
        return None, None
    ttft, total = known.ttft_ms.quantile(0.95), known.total_ms.quantile(0.95)
    return None if ttft is None else ttft / 1000, None if total is None else total / 1000

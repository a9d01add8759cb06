"""Least busy: the candidate with the fewest of this instance's own calls in flight; chance among equals."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from routing.policy.baseline import Baseline
from routing.policy.view import View
from routing.request import Ask


class LeastBusy(Baseline):
    """Keeps nothing."""

    name = "least_busy"

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        in_flight = view.slots.in_flight
        fewest = min(in_flight[d] for d in candidates)
        return rng.choice([d for d in candidates if in_flight[d] == fewest])

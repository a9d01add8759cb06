"""Round robin: each candidate in turn."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from routing.policy.baseline import Baseline
from routing.policy.view import View
from routing.request import Ask


class RoundRobin(Baseline):
    """Keeps one counter."""

    name = "round_robin"

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        self._turn += 1
        return candidates[self._turn % len(candidates)]

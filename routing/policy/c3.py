"""C3 (Suresh et al., NSDI 2015): latency times one plus the cube of the queue that is expected.

Providers tell no queue, so the share of the quota in use, as headers and everybody's sends tell, stands for what others
have sent; our own calls in flight are added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from routing.policy.baseline import nominal_slots
from routing.policy.two_latencies import TOKENS, TwoLatencies
from routing.policy.view import View
from routing.request import Ask

WEIGHT = 0.1  # of the newest value
TIE = 1e-6


class C3(TwoLatencies):
    """Keeps three numbers a deployment."""

    name = "c3"

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self._slots = nominal_slots(view, TOKENS)

    def observe(self, d: int, which: int, now: float, seconds: float) -> None:
        """See the base."""
        self.latency[which][d] += WEIGHT * (seconds - self.latency[which][d])

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        latency, in_flight, beliefs = self.of(ask), view.slots.in_flight, view.tracker.renew(now)

        def cost(d: int) -> float:
            queue = (1 + in_flight[d]) / self._slots[d] + view.quota.utilisation(d, now, beliefs[d].sent)
            return latency[d] * (1 + queue**3) + TIE * rng.random()

        return min(candidates, key=cost)

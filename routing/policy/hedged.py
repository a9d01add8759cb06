"""Another rule's choice, with hedges: at a tracked 95 % point, as peers hedge, or as the product plans them.

They tell apart what a rule gains by choosing well and what it gains by a second call.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from random import Random

from routing.policy.baseline import UPPER_Z95, Baseline, Learning
from routing.policy.seam import Choice
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask

KEPT, ENOUGH = 40, 8  # first-token times a deployment


class HedgedAtP95(Learning):
    """A second call at the tracked 95 % point of the first one's deployment, while the purse allows."""

    def __init__(self, peer: Baseline) -> None:
        super().__init__()
        self._peer, self._rng = peer, Random(0)
        self.name, self.cool_down_s = f"{peer.name}+p95", peer.cool_down_s

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self._recent: list[deque[float]] = [deque(maxlen=KEPT) for _ in view.tier]

    def saw_first(self, d: int, now: float, ttft: float) -> None:
        """See the base."""
        self._recent[d].append(ttft)

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """The peer's."""
        return self._peer.picked(view, ask, candidates, now, rng)

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """The 95 % point, of the static profile while there are few samples."""
        d = choice.score.deployment
        recent = self._recent[d]
        if len(recent) >= ENOUGH:
            return sorted(recent)[int(0.95 * len(recent))]
        tracker = view.tracker
        return tracker.net_s[d] + math.exp(tracker.log_base[d] + UPPER_Z95 * tracker.prior_spread[d])

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """The peer's choice among the others."""
        return self._peer.picked(view, ask, candidates, now, self._rng) if candidates else None


class WithPlannedHedges(SloPolicy):
    """The product's hedges and patience around another rule's choice."""

    def __init__(self, peer: Baseline) -> None:
        self._peer = peer
        self.name, self.cool_down_s = f"{peer.name}+hedges", peer.cool_down_s

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """The peer's choice, and the product's second best."""
        choice = self._peer.choose(view, ask, candidates, left, now, rng, retry)
        others = [d for d in candidates if d != choice.score.deployment]
        if others:
            choice.second = max(self.score(view, ask, others, left, now), key=lambda s: s.value).deployment
        return choice

"""Weighted random: by chance, in proportion to the configured rate, or to the inverse square of the price."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from routing.policy.baseline import Baseline
from routing.policy.view import View
from routing.request import Ask

LEAST_PRICE = 1e-9  # dollars a token: free deployments share what is left between themselves
PROMPT_SHARE = 3.0  # prompts are about three times as long as answers


class WeightedRandom(Baseline):
    """Keeps nothing."""

    name = "weighted_random"

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        return rng.choices(candidates, [view.quota.nominal[d] for d in candidates])[0]


class PriceInverseSquare(Baseline):
    """OpenRouter's default among endpoints of one model. Keeps nothing."""

    name = "price_inverse_square"

    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """See the module."""
        prices = [max(LEAST_PRICE, PROMPT_SHARE * view.price_in[d] + view.price_out[d]) for d in candidates]
        cheapest = min(prices)
        return rng.choices(candidates, [(cheapest / price) ** 2 for price in prices])[0]

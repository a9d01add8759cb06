"""Quota: how much of its allowance each deployment has left, as its headers tell and as we count."""

from __future__ import annotations

import math
from collections.abc import Sequence

HEADER_TAU_S = 15.0  # a header's word fades: others send too
HEADER_MAX_AGE_S = 60.0
MOST_OF_A_CALL_S = 60.0  # quotas are per minute: no call can take more of one


class Quota:
    """Share of the quota in use, per deployment index. Rates per second."""

    __slots__ = ("nominal", "requests_per_s", "tokens_per_s", "used", "used_at")

    def __init__(self, requests_per_minute: Sequence[int], tokens_per_minute: Sequence[int]) -> None:
        self.requests_per_s = [r / 60 for r in requests_per_minute]
        self.tokens_per_s = [t / 60 for t in tokens_per_minute]
        self.nominal = self.requests_per_s  # weight of a deployment when load is shared out
        self.used = [0.0] * len(self.nominal)
        self.used_at = [-math.inf] * len(self.nominal)

    def cost_s(self, d: int, reserved_tokens: int) -> float:
        """Seconds of the deployment's quota that one call takes: requests and tokens are both counted by Azure.

        At most a minute's: one caller's `max_tokens` must not keep everybody away for longer than the provider would.
        """
        return min(MOST_OF_A_CALL_S, max(1 / self.requests_per_s[d], reserved_tokens / self.tokens_per_s[d]))

    def saw(self, d: int, now: float, utilisation: float) -> None:
        """A response header told the share in use."""
        self.used[d], self.used_at[d] = min(1.0, max(0.0, utilisation)), now

    def utilisation(self, d: int, now: float, sent: float) -> float:
        """Share in use: the headers' word, weighing less the older it is, else the share that is known to be sent."""
        age = max(0.0, now - self.used_at[d])
        if age >= HEADER_MAX_AGE_S:
            return sent
        return sent + math.exp(-age / HEADER_TAU_S) * (self.used[d] - sent)

"""What a simulated deployment admits: requests and tokens a minute, each a token bucket.

Azure counts a call at its arrival as prompt + max_tokens, gives nothing back when the answer turns out shorter, and
enforces the limits per minute over a few seconds: here 5 s of burst. No clock, no I/O: `now` is an argument.
"""

from __future__ import annotations

from typing import Literal

BURST_S = 5.0
ROUNDING = 1e-9  # a caller that waits exactly as long as told must not be refused by the last bit of a float

Limit = Literal["requests", "tokens"]


class Bucket:
    """`per_minute` flows in evenly, at most BURST_S worth (and never less than 1) is kept."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute, self.rate = per_minute, per_minute / 60
        self.burst = max(1.0, self.rate * BURST_S)
        self._level, self._at = self.burst, now

    def level(self, now: float) -> float:
        """What could be taken at `now`; below zero while a large call is being paid off."""
        return min(self.burst, self._level + (now - self._at) * self.rate)

    def wait_s(self, cost: float, now: float) -> float:
        """Seconds until `cost` may be taken. A call larger than the burst needs a full bucket and overdraws it."""
        return max(0.0, (min(cost, self.burst) - self.level(now)) / self.rate)

    def take(self, cost: float, now: float) -> None:
        """Take `cost` out."""
        self._level, self._at = self.level(now) - cost, now

    def remaining(self, now: float) -> int:
        """What is left, on the scale of the limit that the vendors' headers show: a full bucket is `per_minute`."""
        return max(0, int(self.per_minute * self.level(now) / self.burst))

    def full_in_s(self, now: float) -> float:
        """Seconds until it is full again."""
        return (self.burst - self.level(now)) / self.rate


class Quota:
    """Both limits of a deployment. A call is counted against both, or refused and counted against neither."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, now: float) -> None:
        self.requests, self.tokens = Bucket(requests_per_minute, now), Bucket(tokens_per_minute, now)

    def admit(self, tokens: int, now: float) -> tuple[float, Limit]:
        """Seconds to wait and the limit that says so; 0 means admitted and counted."""
        waits: dict[Limit, float] = {
            "requests": self.requests.wait_s(1, now),
            "tokens": self.tokens.wait_s(tokens, now),
        }
        limit = max(waits, key=lambda name: waits[name])
        if waits[limit] > ROUNDING:
            return waits[limit], limit
        self.requests.take(1, now)
        self.tokens.take(tokens, now)
        return 0.0, limit

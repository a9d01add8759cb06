"""What simulated deployments do with a call: serve it, let it wait, or refuse it; and how long it takes.

Two kinds. Dedicated: slots, a queue half as long, then 429. Shared: a token bucket that holds 5 s of burst, then 429
with the time until it holds a request again. Where tokens are limited a second bucket counts prompt and reserved
answer. Latency grows with the load that the routers themselves have put on a deployment.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from bench.routing.deployments import STEP_S, Z90
from bench.routing.world import World

BURST_S, LEAST_BURST = 5.0, 5.0
TOKEN_BURST_S = 10.0
QUEUE_RETRY_S = 1.0  # what a deployment whose queue is full says
MOST_LOAD = 1.5
IDLE_S = 60.0  # after which the next call meets a cold start


class Servers:
    """All deployments of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        fleet, capacity = world.fleet, world.capacity
        d = fleet.size
        self.slots: list[int] = capacity.slots.tolist()
        self.per_s: list[float] = capacity.per_s.tolist()
        self.tokens_per_s: list[float] = capacity.tokens_per_s.tolist()
        self.dedicated: list[bool] = capacity.dedicated.tolist()
        self.load_factor: list[float] = capacity.load_factor.tolist()
        self.running, self.queued = [0] * d, [0] * d
        self.queue: list[deque[Any]] = [deque() for _ in range(d)]
        self.burst: list[float] = [max(LEAST_BURST, BURST_S * c) for c in self.per_s]
        self.bucket: list[float] = list(self.burst)
        self.bucket_at = [0.0] * d
        self.token_burst: list[float] = [TOKEN_BURST_S * c for c in self.tokens_per_s]
        self.token_bucket: list[float] = list(self.token_burst)
        self.token_at = [0.0] * d
        self.used_at = [0.0] * d
        self._log_ttft: list[list[float]] = fleet.log_ttft.tolist()
        self._log_tpot: list[list[float]] = fleet.log_tpot.tolist()
        self._low: list[list[float]] = fleet.sigma_low.tolist()
        self._up: list[list[float]] = fleet.sigma_up.tolist()
        self._tail: list[list[float]] = fleet.sigma_tail.tolist()
        self._last_step = len(self._log_ttft) - 1
        self._prompt_scale: list[float] = fleet.prompt_scale.tolist()
        self._tokens_in: list[float] = world.tokens_in.tolist()
        self._cold_start_s = world.scenario.cold_start_s

    def step(self, now: float) -> int:
        """The row of the grid that holds at `now`: what still runs after its end finds all as it was there."""
        return min(int(now / STEP_S), self._last_step)

    # ------------------------------------------------------------------ the latency law
    def service(self, i: int, d: int, now: float) -> tuple[float, float]:
        """(TTFT without network, seconds per token) that request i gets on deployment d if it starts now."""
        step, z = self.step(now), float(self.world.z_ttft[i, d])
        if z < 0:
            x = self._low[step][d] * z
        elif z < Z90:
            x = self._up[step][d] * z
        else:
            x = self._up[step][d] * Z90 + self._tail[step][d] * (z - Z90)
        load, factor, scale = (
            min(MOST_LOAD, self.running[d] / self.slots[d]),
            self.load_factor[d],
            self._prompt_scale[d],
        )
        prompt = (1 + self._tokens_in[i] / scale) / (1 + 1000.0 / scale)
        ttft = math.exp(self._log_ttft[step][d] + x) * prompt * (1 + 0.5 * factor * load * load)
        pace = math.exp(self._log_tpot[step][d] + float(self.world.z_tpot[i, d])) * (1 + factor * load**1.5)
        if self._cold_start_s and self.running[d] == 0 and now - self.used_at[d] > IDLE_S:
            ttft += self._cold_start_s
        return ttft, pace

    # ------------------------------------------------------------------ capacity
    def bucket_level(self, d: int, now: float) -> float:
        """Requests that a shared deployment's bucket holds."""
        return min(self.burst[d], self.bucket[d] + (now - self.bucket_at[d]) * self.per_s[d])

    def token_level(self, d: int, now: float) -> float:
        """Tokens that a deployment's bucket holds."""
        return min(self.token_burst[d], self.token_bucket[d] + (now - self.token_at[d]) * self.tokens_per_s[d])

    def refused(self, d: int, now: float, tokens: float) -> float | None:
        """Seconds to stay away, or None: the call is accepted and has been taken from the buckets."""
        if self.tokens_per_s[d] < math.inf:
            wanted, level = min(tokens, self.token_burst[d]), self.token_level(d, now)
            if level < wanted:
                return (wanted - level) / self.tokens_per_s[d]
        if self.dedicated[d]:
            if self.running[d] >= self.slots[d] and self.queued[d] >= max(1, self.slots[d] // 2):
                return QUEUE_RETRY_S
        else:
            level = self.bucket_level(d, now)
            self.bucket[d], self.bucket_at[d] = level, now
            if level < 1:
                return (1 - level) / self.per_s[d]
            self.bucket[d] = level - 1
        if self.tokens_per_s[d] < math.inf:
            self.token_bucket[d], self.token_at[d] = self.token_level(d, now) - tokens, now
        return None

    def used(self, d: int, now: float) -> float:
        """Share of the quota in use, as a response header would tell it."""
        slots_used = self.running[d] / self.slots[d]
        share = slots_used if self.dedicated[d] else 1 - self.bucket_level(d, now) / self.burst[d]
        if self.tokens_per_s[d] < math.inf:
            share = max(share, 1 - self.token_level(d, now) / self.token_burst[d])
        return share

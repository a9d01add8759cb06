"""One simulated deployment: what it admits, what runs on it, and what it has truly served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from local.simulator.ask import Ask, Refused
from local.simulator.capacity import Bucket, Quota
from local.simulator.receipt import Allowance
from routing.fleet import Deployment, Fleet

REMEMBERED = 100  # streams whose medians are shown


class Endpoint:
    """A deployment of the fleet as it runs here."""

    def __init__(self, fleet: Fleet, deployment: Deployment, now: float) -> None:
        self.deployment, self.model = deployment, fleet.model_of(deployment)
        self.prior = fleet.prior_of(deployment)
        self.hits = self.aborts = self.completed = self.in_flight = 0
        self._quota = Quota(deployment.requests_per_minute, deployment.tokens_per_minute, now)
        self._slots = asyncio.Semaphore(deployment.concurrency)
        self._running = self._queued = 0
        self._ttfts_s: deque[float] = deque(maxlen=REMEMBERED)
        self._paces: deque[float] = deque(maxlen=REMEMBERED)

    @contextmanager
    def visit(self) -> Iterator[None]:
        """One call's stay, from its arrival to its end; a client that leaves before is an abort."""
        self.hits += 1
        self.in_flight += 1
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            self.aborts += 1
            raise
        finally:
            self.in_flight -= 1

    def admit(self, ask: Ask, now: float) -> tuple[Allowance, Allowance]:
        """Count a call against the quota as Azure does: prompt + limit of the answer. Raises Refused.

        Returns what is left then of requests and tokens: the headers tell it, however much later they leave.
        """
        cost = ask.prompt_tokens + (ask.limit or self.model.default_max_tokens)
        wait_s, limit = self._quota.admit(cost, now)
        if wait_s:
            rate = "token" if limit == "tokens" else "call"
            text = f"Requests to {self.deployment.upstream_name} have exceeded the {rate} rate limit of your tier."
            raise Refused("rate_limited", f"{text} Please retry after {wait_s:.3f} seconds.", retry_after_s=wait_s)
        return _allowance(self._quota.requests, now), _allowance(self._quota.tokens, now)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Run one call; yields the load it finds, itself included. Waits in line where all slots are taken.

        A line half as long as the slots are many is full: Refused as overloaded.
        """
        if self._slots.locked() and self._queued >= max(1, self.deployment.concurrency // 2):
            raise Refused("overloaded", "The engine is currently overloaded, please try again later.")
        self._queued += 1
        try:
            await self._slots.acquire()
        finally:
            self._queued -= 1
        self._running += 1
        try:
            yield self._running / self.deployment.concurrency
        finally:
            self._running -= 1
            self._slots.release()

    def served(self) -> None:
        """A call is complete."""
        self.completed += 1

    def served_stream(self, ttft_s: float, tokens: int, generation_s: float) -> None:
        """A stream is complete; remember it as it was seen at the origin region, first to last token."""
        self.served()
        self._ttfts_s.append(ttft_s)
        if tokens > 1 and generation_s > 0:
            self._paces.append((tokens - 1) / generation_s)

    def described(self) -> dict[str, Any]:
        """Its counters and medians, as JSON."""
        return {
            "id": self.deployment.id,
            "region": self.deployment.region,
            "model": self.deployment.model,
            "provider": self.deployment.provider,
            "hits": self.hits,
            "aborts": self.aborts,
            "in_flight": self.in_flight,
            "completed": self.completed,
            "median_ttft_ms": round(median(self._ttfts_s) * 1000, 1) if self._ttfts_s else None,
            "median_tokens_per_second": round(median(self._paces), 1) if self._paces else None,
        }


def _allowance(bucket: Bucket, now: float) -> Allowance:
    whole_at = datetime.now(UTC) + timedelta(seconds=bucket.full_in_s(now))
    return Allowance(bucket.per_minute, bucket.remaining(now), whole_at)

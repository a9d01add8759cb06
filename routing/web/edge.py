"""The edge of one instance: who may ask, what is held in memory for them, and the record of what happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from routing.engine.exchange import Exchange
from routing.engine.router import LatencyRouter
from routing.errors import AttemptError
from routing.latency.sketch import Sketch
from routing.outcome import Outcome
from routing.settings import Settings
from routing.store.memory import MemoryStore
from routing.web.auth import Keys, came_through
from routing.web.wire import Bodies

LOG = logging.getLogger("routing.requests")


@dataclass(slots=True)
class Edge:
    """Everything that the routes share."""

    router: LatencyRouter
    settings: Settings
    keys: Keys
    store: MemoryStore[Sketch]
    warnings: list[str]  # what a person should mend: deployments without an endpoint, models that retire
    bodies: Bodies = field(default_factory=Bodies)
    draining: bool = False

    def admit(self, headers: Mapping[str, str]) -> str:
        """The caller's name. Raises AuthenticationError or PermissionDenied."""
        came_through(headers, self.settings.front_door_id)
        return self.keys.caller(headers)

    async def refresh(self) -> None:
        """Share what was learned here, merge it, and take back what everybody learned."""
        tracker, clock = self.router.tracker, self.router.clock
        await self.store.append(tracker.flush(clock.now()))
        await self.store.merge(clock.now())
        merged_at, merged = await self.store.profiles()
        tracker.pull(merged, merged_at, clock.now())

    async def warm(self) -> None:
        """Do beforehand what first requests would wait for. A provider that cannot be warmed will tell its caller."""
        for provider in {id(p): p for p in self.router.providers if p is not None}.values():
            try:
                await provider.warm()
            except AttemptError as error:
                LOG.warning("%s", error.message)

    def finished(self, exchange: Exchange, status: int) -> None:
        """A request is over: learn from it and leave its record."""
        self.router.learn(exchange)
        outcome = exchange.outcome(status)
        LOG.info("%s", _line(outcome), extra={"outcome": outcome})

    def explanation(self, exchange: Exchange) -> dict[str, Any]:
        """What is known of a request at its end, for a caller who asked for it."""
        outcome = exchange.outcome(200)
        measured, usage, choice = outcome.measurement, outcome.usage, exchange.plan.choice
        model = exchange.model
        return {
            "request_id": outcome.request_id,
            "deployment": outcome.deployment,
            "region": exchange.deployment.region,
            "reason": outcome.reason,
            "slo": outcome.slo,
            "predicted_ttft_ms": choice and round(1000 * choice.score.ttft, 1),
            "probability": choice and round(choice.score.probability, 4),
            "ttft_ms": measured and round(measured.ttft_ms, 1),
            "network_ms": measured and round(measured.network_ms, 1),
            "queue_ms": measured and round(measured.queue_ms, 1),
            "generation_ms": measured and round(measured.generation_ms, 1),
            "tokens_per_second": measured and round(measured.tokens_per_second, 1),
            "cost_usd": usage
            and (usage.prompt_tokens * model.price_in + usage.completion_tokens * model.price_out) / 1e6,
            "attempts": [
                {"deployment": a.deployment, "verdict": a.verdict.value, "hedge": a.hedge, "error": a.error}
                for a in outcome.attempts
            ],
        }


def _line(outcome: Outcome) -> str:
    """One readable line: who answered, why, how fast."""
    measured = outcome.measurement
    tried = "" if len(outcome.attempts) < 2 else f" after {len(outcome.attempts)} attempts"
    if outcome.error:
        return f"{outcome.status} {outcome.error} {outcome.deployment or '-'}{tried} {outcome.total_ms:.0f} ms"
    times = f"ttft {measured.ttft_ms:.0f} ms, {measured.tokens_per_second:.0f} tokens/s, " if measured else ""
    return (
        f"{outcome.status} {outcome.deployment} ({outcome.reason}) {times}"
        f"total {outcome.total_ms:.0f} ms{tried}, target {outcome.slo}"
    )

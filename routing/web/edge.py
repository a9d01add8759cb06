"""The edge of one instance: who may ask, what is held in memory for them, and the record of what happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from routing.engine.exchange import Exchange
from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.errors import AttemptError, StoreUnavailable
from routing.outcome import Outcome
from routing.ports import Store
from routing.settings import Settings
from routing.web import heading
from routing.web.auth import Keys, came_through
from routing.web.measurements import Measurements
from routing.web.metrics import Metrics
from routing.web.sample_log import SampleLog
from routing.web.wire import Bodies, Header

GEO = "x-router-geo"  # written over by a rule of Front Door
LOG = logging.getLogger("routing.requests")


@dataclass(slots=True)
class Edge:
    """Everything that the routes share."""

    router: LatencyRouter
    settings: Settings
    keys: Keys
    store: Store
    warnings: list[str]  # what a person should mend: deployments without an endpoint, models that retire
    bodies: Bodies = field(default_factory=Bodies)
    metrics: Metrics = field(default_factory=Metrics)
    samples: SampleLog | None = None
    sync: Sync = field(init=False)
    measurements: Measurements = field(init=False)

    def __post_init__(self) -> None:
        self.sync = Sync(self.router, self.store)
        self.measurements = Measurements(
            self.keys,
            self.settings.shared_secret(),
            self.sync.origin,
            tuple(region.id for region in self.router.fleet.regions),
            self.router.last_mile,
            self.router.clock.now,
        )

    def admit(self, headers: Mapping[str, str]) -> str:
        """The caller's name. Raises AuthenticationError or PermissionDenied."""
        came_through(headers, self.settings.front_door_id)
        return self.keys.caller(headers)

    def country(self, headers: Mapping[str, str]) -> str | None:
        """The user's country as our Front Door wrote it; anybody else could have written it too."""
        return headers.get(GEO) if self.settings.front_door_id else None

    async def refresh(self) -> None:
        """Share what was learned here, merge it, and take back what everybody learned."""
        self.sync.start()  # an instance of the timer's own serves no requests, and shares all the same
        await self.sync.refresh()

    async def purge(self) -> None:
        """Drop what is past its retention. A store that is away is purged an hour later."""
        try:
            dropped = await self.store.purge(self.router.clock.now())
        except StoreUnavailable as error:
            LOG.warning("purge: %s", error.message)
        else:
            LOG.info("purge: %d tables dropped", len(dropped))

    def troubles(self) -> list[str]:
        """What a person should mend, as it is now."""
        age, now = self.sync.stale_s(self.router.clock.now()), []
        if not self.sync.available:
            now.append("the shared store does not answer: requests are served from memory, and nothing is shared")
        if self.sync.faults:
            now.append(f"sharing fails by a fault of ours ({', '.join(self.sync.faults)}): the log has it")
        if age > self.sync.old_s():
            now.append(f"the shared profiles are {age:.0f} s old: does the timer refresh_profiles run?")
        return [*self.warnings, *now]

    async def warm(self) -> None:
        """Do beforehand what first requests would wait for. A provider that cannot be warmed will tell its caller."""
        for provider in {id(p): p for p in self.router.providers if p is not None}.values():
            try:
                await provider.warm()
            except AttemptError as error:
                LOG.warning("%s", error.message)

    def headers(self, exchange: Exchange) -> list[Header]:
        """Of an answer whose first content is here; with a receipt where a report of it would teach something."""
        request, headers = exchange.request, heading.of(exchange, self.router.clock.now())
        if request.user_region is not None:
            ttft_ms = 1000 * (exchange.first_at - exchange.received_at)
            receipt = self.measurements.receipt(request.caller, request.id, request.user_region, ttft_ms)
            headers.append((heading.RECEIPT, receipt))
        return headers

    def finished(self, exchange: Exchange, status: int) -> None:
        """A request is over: learn from it and leave its record."""
        self.router.learn(exchange)
        outcome = exchange.outcome(status)
        self.metrics.saw(outcome)
        if self.samples is not None:
            self.samples.saw(exchange, outcome)
        LOG.info("%s", _line(outcome), extra={"outcome": outcome})

    def explanation(self, exchange: Exchange) -> dict[str, Any]:
        """What is known of a request at its end, for a caller who asked for it."""
        outcome = exchange.outcome(200)
        measured, usage, attempt = outcome.measurement, outcome.usage, exchange.plan.committed
        model = exchange.model
        return {
            "request_id": outcome.request_id,
            "deployment": outcome.deployment,
            "region": exchange.deployment.region,
            "reason": outcome.reason,
            "slo": outcome.slo,
            "predicted_ttft_ms": attempt and round(1000 * attempt.score.ttft, 1),
            "probability": attempt and round(attempt.score.probability, 4),
            "ttft_ms": measured and round(measured.ttft_ms, 1),
            "network_ms": measured and round(measured.network_ms, 1),
            "queue_ms": measured and round(measured.queue_ms, 1),
            "queue_estimated": measured and measured.queue_estimated,
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
    times = f"ttft {measured.ttft_ms:.0f} ms, " if measured else ""
    if measured and measured.tokens_per_second:
        times += f"{measured.tokens_per_second:.0f} tokens/s, "
    return (
        f"{outcome.status} {outcome.deployment} ({outcome.reason}) {times}"
        f"total {outcome.total_ms:.0f} ms{tried}, target {outcome.slo}"
    )

"""The composition root: settings in, the assembled edge out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from routing.engine.clock import Clock
from routing.engine.router import LatencyRouter
from routing.errors import ConfigurationError
from routing.fleet import Fleet, load
from routing.latency.tracker import LatencyTracker
from routing.policy import POLICIES
from routing.policy.seam import Policy
from routing.policy.view import View
from routing.ports import Store
from routing.providers.registry import providers
from routing.providers.transport import Transport
from routing.settings import Settings, read
from routing.store.memory import MemoryStore
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from routing.web.auth import Keys
from routing.web.edge import Edge
from routing.web.sample_log import SampleLog

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

    type Credential = Callable[[], DefaultAzureCredential]

GC_THRESHOLDS = (10_000, 20, 50)  # Python's 2,000 make a collection every few requests
LOG = logging.getLogger("routing.wiring")


def assemble(folder: Path) -> Edge:
    """The edge for this process's environment. Raises ConfigurationError that names what to mend."""
    for chatter in ("httpx2", "azure.core.pipeline.policies.http_logging_policy"):
        logging.getLogger(chatter).setLevel(logging.WARNING)  # a line for each request, beside our own
    settings = read(os.environ, folder)
    fleet = load(settings.fleet)
    region, policy = origin(settings.region, fleet), policy_of(settings.policy)
    transport = Transport()
    credential = _credential(settings)
    made = providers(fleet, settings.endpoints, settings.provider_keys, _identity(credential), transport)
    disabled = frozenset(i for i, provider in enumerate(made) if provider is None)
    tracker = LatencyTracker(fleet, region)
    clock = Clock()
    router = LatencyRouter(
        tracker,
        policy=policy,
        view=View.of(fleet, tracker, disabled, settings.stickiness_ms / 1000),
        providers=made,
        clock=clock,
        rng=Random(),
    )
    store = _store(settings, clock, credential)
    samples = None if settings.sample_log is None else SampleLog(settings.sample_log, region)
    edge = Edge(router, settings, Keys(settings.keys), store, _warnings(fleet, settings, disabled), samples=samples)
    for warning in edge.warnings:
        LOG.warning("%s", warning)
    _after_indexing(
        lambda: threading.Thread(target=_load_sdks, args=(settings,), daemon=True, name="load-sdks").start()
    )
    _after_indexing(edge.sync.start)
    return edge


def _store(settings: Settings, clock: Clock, credential: Credential) -> Store:
    """The store that the settings name; without one, the memory of this process."""
    if settings.store_account or settings.store_connection:
        return SharedStore(TableStorage(clock.now, settings.store_connection, settings.store_account, credential))
    return MemoryStore()


def origin(named: str, fleet: Fleet) -> str:
    """The region that ROUTER_REGION names, the fleet's first without it. Raises ConfigurationError."""
    if not named:
        return fleet.regions[0].id
    if named not in fleet.region_by_name:
        there = ", ".join(region.id for region in fleet.regions)
        raise ConfigurationError(f"ROUTER_REGION: there is no region '{named}' in the fleet; there are {there}")
    return fleet.region_by_name[named].id


def policy_of(name: str) -> Policy:
    """A policy as ROUTER_POLICY names it. Raises ConfigurationError."""
    if name not in POLICIES:
        raise ConfigurationError(f"ROUTER_POLICY: '{name}' is none of {', '.join(sorted(POLICIES))}")
    return POLICIES[name]()


def _warnings(fleet: Fleet, settings: Settings, disabled: frozenset[int]) -> list[str]:
    """What does not stop the router, and should be mended."""
    warnings = []
    without = sorted({fleet.deployments[i].resource for i in disabled})
    if without:
        names = ", ".join(without)
        warnings.append(f"{len(disabled)} deployments are disabled: ROUTER_ENDPOINTS has no endpoint for {names}")
    if not settings.keys:
        warnings.append("ROUTER_KEYS is empty, so every caller is refused; `make key NAME=...` makes a key")
    for model in fleet.retiring(datetime.now(UTC).date()):
        used = [d.id for i, d in enumerate(fleet.deployments) if d.model == model.id and i not in disabled]
        if used and model.retires:
            warnings.append(f"{model.id} retires on {model.retires.isoformat()}; it is behind {', '.join(used)}")
    return warnings


def _credential(settings: Settings) -> Credential:
    """This app's own identity, made and azure-identity loaded when it is first needed."""
    made: list[DefaultAzureCredential] = []

    def credential() -> DefaultAzureCredential:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415

        if not made:
            made.append(DefaultAzureCredential(managed_identity_client_id=settings.client_id))
        return made[0]

    return credential


def _identity(credential: Credential) -> Callable[[str], Callable[[], Awaitable[str]]]:
    """Tokens of this app's own identity, by scope."""

    def token_for(scope: str) -> Callable[[], Awaitable[str]]:
        async def token() -> str:
            from azure.identity.aio import get_bearer_token_provider  # noqa: PLC0415

            return await get_bearer_token_provider(credential(), scope)()

        return token

    return token_for


def _after_indexing(call: Callable[[], None]) -> None:
    """The worker imports the app while its loop runs: what is put off to the loop does not delay the start."""
    with contextlib.suppress(RuntimeError):  # imported outside a worker: SDKs load when they are first needed
        asyncio.get_running_loop().call_soon(call)


def _load_sdks(settings: Settings) -> None:
    """Import beforehand, in a thread, what the first request would wait for: two seconds of it."""
    import anthropic  # noqa: F401, PLC0415
    import openai  # noqa: F401, PLC0415

    if set(settings.endpoints) - set(settings.provider_keys):
        import azure.identity.aio  # noqa: PLC0415
    if settings.store_account or settings.store_connection:
        import azure.data.tables.aio  # noqa: F401, PLC0415
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # the server has set it to INFO as it started
    _settle_memory()


def _settle_memory() -> None:
    """What is loaded by now stays: keep the collector from walking through it, and let it run less often.

    The SDKs are half a million objects. Measured: 7 % less CPU per streamed request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)

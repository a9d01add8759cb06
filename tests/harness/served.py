"""The product's edge behind a real server on the test's own loop, so that a test can look inside while it calls.

async with Upstream(Chat("A").stream(3)) as a, Served(fleet({"a": a.url}), ...) as router:
    ...                     # a client calls router.url
    router.in_flight()      # leases open, by deployment
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Self

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routing.engine.router import LatencyRouter
from routing.fleet import Fleet
from routing.latency.tracker import LatencyTracker
from routing.policy.view import View
from routing.providers.registry import providers
from routing.providers.transport import Transport
from routing.settings import Settings
from routing.store.memory import MemoryStore
from routing.web import pages
from routing.web.auth import Keys
from routing.web.chat import ChatResponse
from routing.web.edge import Edge
from routing.web.pages import Page
from tests.harness.eventually import eventually

KEY = "sk-canary-caller-key"
PROVIDER_KEY = "sk-canary-provider-key"
FAST = {"ttft_ms": 50.0, "ttft_p90_ms": 80.0, "ttft_p99_ms": 120.0, "tokens_per_second": 200.0, "p95_total_ms": 400.0}
PAGES = {
    "/v1/route": pages.route,
    "/v1/models": pages.models,
    "/v1/profiles": pages.latency_profiles,
    "/v1/measurements": pages.measurements,
}


def fleet(*names: str, model: Mapping[str, Any] | None = None, **changes: Mapping[str, Any]) -> Fleet:
    """Deployments of these names, each of a model and resource of its own name, all in one region, all fast.

    `changes` alters single deployments, `model` all models.
    """
    base = {
        "vendor": "openai", "quality_tier": 3, "price_in": 1.0, "price_out": 4.0, "context_window": 128_000,
        "default_max_tokens": 256, "max_output_tokens": 4096, "latency": FAST, "capabilities": ["tools"],
    }  # fmt: skip
    place = {
        "provider": "azure_openai", "region": "eastus", "type": "Standard", "concurrency": 100,
        "tokens_per_minute": 60_000_000, "requests_per_minute": 600_000,
    }  # fmt: skip
    return Fleet.model_validate_json(
        json.dumps(
            {
                "regions": [{"id": "eastus", "geography": "us", "latitude": 37.37, "longitude": -79.82}],
                "models": [{"id": name, **base, **(model or {})} for name in names],
                "deployments": [
                    {"id": name, "resource": name, "model": name, **place, **changes.get(name, {})} for name in names
                ],
            }
        )
    )


class Served:
    """A router for a fleet; `endpoints` maps a resource to its upstream."""

    def __init__(self, of: Fleet, endpoints: Mapping[str, str], *, seed: int = 1) -> None:
        self._fleet, self._endpoints, self._seed = of, endpoints, seed

    async def __aenter__(self) -> Self:
        self._transport = Transport()
        keys = dict.fromkeys(self._endpoints, PROVIDER_KEY)
        made = providers(self._fleet, self._endpoints, keys, _no_identity, self._transport)
        tracker = LatencyTracker(self._fleet)
        disabled = frozenset(i for i, provider in enumerate(made) if provider is None)
        router = LatencyRouter(
            tracker, view=View.of(self._fleet, tracker, disabled), providers=made, rng=Random(self._seed)
        )
        settings = Settings(fleet=Path("fleet.json"), region="eastus", endpoints=self._endpoints)
        caller = {hashlib.sha256(KEY.encode()).hexdigest(): "tester"}
        self.edge = Edge(router, settings, Keys(caller), MemoryStore(), [])
        await self.edge.warm()
        config = uvicorn.Config(
            self._app, host="127.0.0.1", port=0, interface="asgi3", lifespan="off", log_config=None, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve())
        await eventually(lambda: self._server.started, what="the router serves")
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving
        for provider in {id(p): p for p in self.edge.router.providers if p is not None}.values():
            await provider.close()
        await self._transport.close()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def in_flight(self) -> dict[str, int]:
        """Leases open, by deployment."""
        counts = self.edge.router.view.slots.in_flight
        return {d.id: count for d, count in zip(self._fleet.deployments, counts, strict=True)}

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        page = PAGES.get(scope["path"])
        answer: Response = ChatResponse(self.edge, request) if page is None else Page(self.edge, request, page)
        if scope["path"] == "/healthz":
            answer = pages.healthz(request)
        await answer(scope, receive, send)


def _no_identity(scope: str) -> Any:
    raise AssertionError("every resource of a test has a key")

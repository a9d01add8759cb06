"""Watching and steering the simulator while it runs."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from local.simulator import clock
from local.simulator.faults import Invalid, described, parse
from local.simulator.world import World


class Steering:
    """Handlers of the simulator's own routes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Its routes."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/deployments", self.deployments),
            web.get("/faults", self.faults),
            web.put("/faults", self.set_fault),
            web.delete("/faults", self.clear_faults),
        ]

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while it runs."""
        return _json({"status": "ok"})

    async def deployments(self, request: web.Request) -> web.Response:
        """Every deployment: counters, medians as served, current fault."""
        now, listed = clock.now(), []
        for endpoint in self._world.endpoints:
            fault = self._world.faults.of(endpoint.deployment.id, now)
            listed.append({**endpoint.described(), "fault": described(fault, now) if fault else None})
        return _json(listed)

    async def faults(self, request: web.Request) -> web.Response:
        """Faults that hold."""
        return _json(self._world.faults.listed(clock.now()))

    async def set_fault(self, request: web.Request) -> web.Response:
        """Set or lift one; answers with those that hold then."""
        try:
            self._world.faults.set(parse(await request.read()), clock.now())
        except Invalid as e:
            return _json({"error": {"field": e.field, "message": e.message}}, status=400)
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Lift all."""
        self._world.faults.clear()
        return await self.faults(request)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")

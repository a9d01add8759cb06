"""A model call from its arrival to its answer: network, faults, quota, slot."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web

from local.simulator import clock
from local.simulator.answer import compose
from local.simulator.ask import Ask, Refused, check_schemas
from local.simulator.connection import close
from local.simulator.delivery import Delivery
from local.simulator.dialects import Door
from local.simulator.endpoint import Endpoint
from local.simulator.faults import Fault
from local.simulator.latency import serve
from local.simulator.timeline import Timeline
from local.simulator.world import World

CUT_AFTER_TOKENS = (5, 20)


class Call:
    """One call through one door, from a known origin region."""

    def __init__(self, world: World, door: Door, request: web.Request) -> None:
        self._world, self._request, self._door = world, request, door
        self._id = uuid4().hex
        self._arrived = clock.now()

    async def answer(self) -> web.StreamResponse:
        """Serve it. An error before the deployment is known is answered at once, any other after the network's time."""
        try:
            self._authenticate()
            name_in_path = self._request.match_info.get("name")
            ask = self._door.dialect.read(await self._body(), self._request.headers, name_in_path)
            endpoint = self._find(ask)
        except Refused as refused:
            return self._refusal(refused)
        with endpoint.visit():
            return await self._travel(ask, endpoint)

    def _authenticate(self) -> None:
        given = self._request.headers
        scheme, _, token = given.get("authorization", "").partition(" ")
        if given.get("api-key") or given.get("x-api-key") or (scheme.lower() == "bearer" and token.strip()):
            return
        raise Refused("unauthorized", "Access denied: no api-key, x-api-key or Authorization header with a key.")

    async def _body(self) -> bytes:
        try:
            return await self._request.read()
        except web.HTTPRequestEntityTooLarge as e:
            raise Refused("too_large", "Request exceeds the maximum size.") from e

    def _find(self, ask: Ask) -> Endpoint:
        endpoint = self._world.find(self._request.match_info["resource"], ask.name, self._door.providers)
        if endpoint is None:
            raise Refused("not_found", f"The deployment '{ask.name}' does not exist for this resource.")
        return endpoint

    async def _travel(self, ask: Ask, endpoint: Endpoint) -> web.StreamResponse:
        """To the deployment, and back with an error; the way back of an answer is in its timeline."""
        half_trip = self._world.half_trip_s(self._request.match_info["origin"], endpoint)
        await clock.until(self._arrived + half_trip)
        fault = self._world.faults.of(endpoint.deployment.id, clock.now())
        try:
            return await self._attend(ask, endpoint, fault, half_trip)
        except Refused as refused:
            await asyncio.sleep(half_trip)
            return self._refusal(refused)

    async def _attend(self, ask: Ask, endpoint: Endpoint, fault: Fault | None, half_trip: float) -> web.StreamResponse:
        """At the deployment: what is wrong with it comes first, then what is wrong with the call, then capacity."""
        if fault and fault.mode in ("dead", "hang"):
            await _silence(fault)
            await asyncio.sleep(half_trip)
            return close(self._request)
        _raise_for(fault)
        check_schemas(ask)
        self._door.dialect.check(ask, endpoint.model)
        allowances = endpoint.admit(ask, clock.now())
        # The slot is held until the last byte is at the origin: half a round trip too long.
        async with endpoint.slot() as load:
            timeline = self._timeline(ask, endpoint, load, fault, half_trip)
            answer = compose(self._world.seed, ask)
            reply = self._door.dialect.reply(ask, answer, endpoint.model, self._id, datetime.now(UTC))
            cut_at = self._world.rng.randint(*CUT_AFTER_TOKENS) if fault and fault.mode == "cut" else None
            delivery = Delivery(
                self._request, self._door.dialect, endpoint, self._id, allowances, timeline, answer, reply, cut_at
            )
            return await (delivery.stream() if ask.stream else delivery.whole())

    def _timeline(self, ask: Ask, endpoint: Endpoint, load: float, fault: Fault | None, half_trip: float) -> Timeline:
        world, started = self._world, clock.now()
        slowdown = world.weather.slowdown(endpoint.deployment.region, started, world.rng)
        if fault and fault.mode == "slow":
            slowdown *= fault.factor
        service = serve(endpoint.prior, ask.prompt_tokens, load, slowdown, world.rng)
        return Timeline(self._arrived, half_trip, started, service)

    def _refusal(self, refused: Refused) -> web.StreamResponse:
        status, body, headers = self._door.dialect.refusal(refused, self._id)
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _silence(fault: Fault) -> None:
    """Say nothing: not at all where dead, else until the fault is over or the client has left."""
    if fault.mode == "hang" and fault.until is None:
        await asyncio.Event().wait()
    elif fault.mode == "hang" and fault.until is not None:
        await clock.until(fault.until)


def _raise_for(fault: Fault | None) -> None:
    if fault and fault.mode == "429":
        text = f"Requests have exceeded the rate limit. Please retry after {fault.retry_after_s:g} seconds."
        raise Refused("rate_limited", text, retry_after_s=fault.retry_after_s)
    if fault and fault.mode == "500":
        raise Refused("failed", "The server had an error while processing your request. Sorry about that!")

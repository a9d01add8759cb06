"""The simulator's HTTP server: addresses → calls and steering."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from local.simulator.calls import Call
from local.simulator.dialects import DOORS, Door
from local.simulator.steering import Steering
from local.simulator.world import World

HOST = "127.0.0.1"  # it accepts any key: nobody else may reach it
LARGEST_BODY = 32 * 2**20  # above the router's own limit
BACKLOG = 1024  # a burst of new streams must not meet a full accept queue that no vendor has

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(world: World) -> web.Application:
    """All routes. `/from/{origin}/to/{resource}/…` is a resource of a vendor, seen from an origin region."""
    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes(Steering(world).routes())
    for door in DOORS:
        app.router.add_post(f"/from/{{origin}}/to/{{resource}}/{door.path}", _through(door, world))
    return app


@asynccontextmanager
async def serving(world: World, port: int) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 while the block runs; yields the base URL. Port 0 takes a free one. Raises OSError."""
    # handler_cancellation: a client that leaves ends its call at once, wherever the call is.
    runner = web.AppRunner(application(world), access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=BACKLOG).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _through(door: Door, world: World) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        origin = request.match_info["origin"]
        if origin not in world.fleet.region_by_name:
            return web.json_response({"error": {"field": "from", "message": f"no region '{origin}'"}}, status=404)
        try:
            return await Call(world, door, request).answer()
        except ConnectionError:
            return web.Response()  # the client left while we wrote: counted, and nobody reads this

    return handle

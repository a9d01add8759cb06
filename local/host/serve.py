"""The host, assembled: a worker with the app, the front door before it, its timers and its warm-up."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from local.host.app import Function, disabled, route_prefix
from local.host.boot import start, warm_up
from local.host.front import Front, new_server, new_session
from local.host.pairing import pair
from local.host.protos import TypedData
from local.host.routes import RouteTable
from local.host.timers import Timer, run
from local.host.worker import Worker

DRAIN_S = 5.0  # for answers and functions under way when the host is told to stop


async def serve(folder: Path, stop: asyncio.Event, sock: socket.socket) -> None:
    """Run the app at a bound socket until `stop`, then let what is open end. Raises AppFault."""
    worker = await start(folder, stop)
    routes = RouteTable.of(worker.triggered_by("httpTrigger"), route_prefix(folder))
    timed = [f for f in worker.triggered_by("timerTrigger") if not disabled(f.name, os.environ)]
    timers = [Timer.of(function, os.environ) for function in timed]
    async with new_session() as session:
        front = Front(routes, worker.http_address or "", session)
        pair(worker, front.expected)
        server = web.ServerRunner(new_server(front))
        await server.setup()
        site = web.SockSite(server, sock)
        await site.start()
        print(f"listening http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
        async with asyncio.TaskGroup() as background:
            tasks = [
                background.create_task(warm_up(worker)),
                *(background.create_task(_keep(worker, t)) for t in timers),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()
        front.draining = True
        await site.stop()
        await _drain(front, worker)


async def _keep(worker: Worker, timer: Timer) -> None:
    async def fire(function: Function, timer_json: str) -> None:
        await worker.fire(function, TypedData(json=timer_json))

    await run(timer, fire, lambda: datetime.now(UTC), asyncio.sleep)


async def _drain(front: Front, worker: Worker) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while under_way := front.answering | worker.running:
                await asyncio.wait(under_way)
    for task in front.answering:
        task.cancel()

"""`python -m local.host.inprocess --app DIR`: the app without a front door, for benchmarks.

The load generator sends straight to the extension's server and sets a fresh `x-ms-invocation-id` in each request, which
is the host's part otherwise. So a measurement holds the worker and the app, and no stand-in for the host. Timers do not
fire: on Flex Consumption they run on instances of their own.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from starlette.requests import Request

from local.host import boot
from local.host.app import AppFault, route_prefix
from local.host.pairing import pair
from local.host.routes import Match, RouteTable, without_dot_segments


async def serve(folder: Path, stop: asyncio.Event) -> None:
    """Run the app at the extension's own address until `stop`. Raises AppFault."""
    worker = await boot.start(folder, stop)
    if worker.http_address is None:
        raise AppFault(f"{folder}: no HTTP functions")
    routes = RouteTable.of(worker.triggered_by("httpTrigger"), route_prefix(folder))

    def resolve(_invocation_id: str, request: Request) -> Match | None:
        path: bytes = request.scope["raw_path"]
        return routes.match(request.method, without_dot_segments(path.decode("latin-1")))

    pair(worker, resolve)
    await boot.warm_up(worker)
    print(f"listening {worker.http_address}", flush=True)
    await stop.wait()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m local.host.inprocess", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    boot.run(parser.parse_args().app, serve)


if __name__ == "__main__":
    main()

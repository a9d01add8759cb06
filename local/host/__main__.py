"""`python -m local.host --app DIR --port N`: run a function app at 127.0.0.1:N until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from local.host.lifetime import bound_socket


def main() -> int:
    """Exit codes: 0 after a signal, 1 where the app cannot be run, 2 where the port cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Run a function app on this machine.")
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 takes a free one")
    given = parser.parse_args()
    try:
        sock = bound_socket(given.port)
    except (OSError, OverflowError) as e:
        print(f"port {given.port} cannot be used ({e}); choose another one with PORT=", file=sys.stderr)
        return 2
    # Only now: a port that is taken is said at once, and importing the worker takes its time.
    from local.host import boot, serve  # noqa: PLC0415

    async def at_port(folder: Path, stop: asyncio.Event) -> None:
        await serve.serve(folder, stop, sock)

    boot.run(given.app, at_port)
    return 0


if __name__ == "__main__":
    sys.exit(main())

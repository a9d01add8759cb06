"""`python -m local.simulator`: run the simulated endpoints until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path

from local.simulator.app import serving
from local.simulator.world import World
from routing.errors import ConfigurationError
from routing.fleet import Fleet, load

FLEET = Path(__file__).parents[2] / "fleet.json"


def port(text: str) -> int:
    """A port's number."""
    if not (text.isdecimal() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"'{text}' is no port from 0 to 65535")
    return int(text)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.simulator", description="Simulated model endpoints.")
    parser.add_argument("--port", type=port, default=7070, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--fleet", type=Path, default=FLEET, help="the fleet to simulate")
    parser.add_argument("--seed", type=int, default=0, help="of answers and of chance")
    parser.add_argument("--calm", action="store_true", help="no slow spells and no drift")
    return parser.parse_args(argv)


async def run(fleet: Fleet, port: int, seed: int, *, calm: bool) -> None:
    """Serve until a signal says stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(World(fleet, seed, calm=calm), port) as url:
        print(f"listening {url}", flush=True)
        await stop.wait()


def run_loop(main: Coroutine[None, None, None]) -> None:
    """Run on uvloop where it is installed, as the Functions worker does."""
    if find_spec("uvloop"):
        import uvloop  # noqa: PLC0415 - a development dependency

        uvloop.run(main)
    else:
        asyncio.run(main)


def main() -> int:
    """Exit code: 0 after a signal, 2 where the fleet file or the port cannot be had."""
    given = arguments()
    try:
        run_loop(run(load(given.fleet), given.port, given.seed, calm=given.calm))
    except (ConfigurationError, OSError) as e:
        print(f"simulator: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

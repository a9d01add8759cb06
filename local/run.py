"""`make run`: the app on this machine, in one region or several, before simulated models or real ones."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.azurite import Missing, connection, installed
from local.children import Child, Ended
from local.host.app import AppFault, local_settings
from local.layout import Layout, Refused, check_ports, lay_out
from routing.errors import ConfigurationError
from routing.fleet import Fleet, load
from routing.wiring import origin, policy_of

ROOT = Path(__file__).parents[1]
QUESTION = {"role": "user", "content": "Say hello in five languages."}


def main() -> int:
    """Exit codes: 0 after a signal, 1 where a part ended by itself, 2 where it cannot be run as asked."""
    parser = argparse.ArgumentParser(prog="make run", description="Run the app on this machine.")
    parser.add_argument("--port", type=int, default=7071, help="of the first region's app; the simulator's is one less")
    parser.add_argument("--regions", type=int, default=1, help="how many of the fleet's regions run the app")
    parser.add_argument("--app", type=Path, default=ROOT, help="folder of the function app")
    given = parser.parse_args()
    try:
        own = local_settings(given.app)
        fleet = ROOT / (os.environ.get("ROUTER_FLEET") or own.get("ROUTER_FLEET") or "fleet.json")
        policy_of(os.environ.get("ROUTER_POLICY") or own.get("ROUTER_POLICY") or "slo")
        layout = lay_out(given.app, begun_at(load(fleet), os.environ), given.port, given.regions)
        check_ports(layout)
        if layout.azurite_port:
            installed()
    except (Refused, AppFault, ConfigurationError, Missing) as e:
        print(e, file=sys.stderr)
        return 2
    return asyncio.run(run(layout, fleet))


def begun_at(fleet: Fleet, environment: Mapping[str, str]) -> Fleet:
    """The fleet, with the region that ROUTER_REGION names as its first. Raises ConfigurationError."""
    first = origin(environment.get("ROUTER_REGION", ""), fleet)
    regions = sorted(fleet.regions, key=lambda region: region.id != first)
    return fleet.model_copy(update={"regions": tuple(regions)})


async def run(layout: Layout, fleet: Path) -> int:
    """Start everything, and end everything when a signal comes or a part ends. Returns the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    children: list[Child] = []
    announced = asyncio.Event()
    work = asyncio.create_task(_run(layout, fleet, children, announced))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await work
    except Ended as e:
        print(e, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the lines has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        announced.set()
        stopped.cancel()
        work.cancel()
        await asyncio.gather(work, stopped, *(child.stop() for child in children), return_exceptions=True)
    return 0


def announcement(layout: Layout) -> Iterator[str]:
    """What is said when everything is ready: addresses, the key, and lines to paste."""
    url, key = layout.sites[0].url, layout.key or "YOUR-KEY"
    for site in layout.sites:
        yield f"ready {site.url}" + (f" ({site.region})" if len(layout.sites) > 1 else "")
    yield f"key {layout.key}" if layout.key else "key: one that ROUTER_KEYS in local.settings.json has the hash of"
    if layout.simulator_port:
        yield f"simulator http://127.0.0.1:{layout.simulator_port}"
    if layout.azurite_port:
        yield f"store {connection(layout.azurite_port)}"
        yield f"export ROUTER_STORE_CONNECTION='{connection(layout.azurite_port)}'"  # for `make override`
    body = json.dumps({"model": "auto", "stream": True, "messages": [QUESTION]}, separators=(",", ":"))
    headers = f'-H "Authorization: Bearer {key}" -H "Content-Type: application/json"'
    yield f"curl -N {url}/v1/chat/completions {headers} -d '{body}'"
    client = f'OpenAI(base_url="{url}/v1", api_key="{key}")'
    call = f'{client}.chat.completions.create(model="auto", messages=[{json.dumps(QUESTION)}])'
    yield f"from openai import OpenAI; print({call}.choices[0].message.content)"


async def _run(layout: Layout, fleet: Path, children: list[Child], announced: asyncio.Event) -> None:
    """Start and announce everything, then wait until a part ends. Raises Ended."""

    async def beside(name: str, module: str, *arguments: str) -> None:
        """Start what the apps need, and wait for it."""
        print(f"starting {name} …", flush=True)
        child = await Child.start(name, module, *arguments, announced=announced, prefix=f"{name} | ")
        children.append(child)
        await child.ready()

    if layout.simulator_port:
        await beside("simulator", "local.simulator", "--port", str(layout.simulator_port), "--fleet", str(fleet))
    else:
        print("local.settings.json names the endpoints: no simulator", flush=True)
    if layout.azurite_port:
        await beside("Azurite", "local.azurite", "--port", str(layout.azurite_port))
    for site in layout.sites:
        print(f"starting {site.region} …", flush=True)
        arguments = ("local.host", "--app", str(layout.app), "--port", str(site.port))
        prefix = f"{site.region} | " if len(layout.sites) > 1 else ""
        child = await Child.start(site.region, *arguments, announced=announced, prefix=prefix, settings=site.settings)
        children.append(child)
    await asyncio.gather(*(child.ready() for child in children))
    for line in announcement(layout):
        print(line, flush=True)
    announced.set()
    done, _ = await asyncio.wait({child.life for child in children}, return_when=asyncio.FIRST_COMPLETED)
    for child in children:
        if child.life in done:
            child.life.result()
            raise child.ended()


if __name__ == "__main__":
    sys.exit(main())

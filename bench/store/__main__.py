"""`python -m bench.store`: runs all parts on one Azurite and prints their figures; four minutes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from bench.store.instance import Instance
from local.azurite import connection
from routing.engine.clock import Clock
from routing.engine.sync import FLUSH_S, MERGE_S, PULL_S, fold
from routing.fleet import Fleet, load
from routing.latency.sketch import Sketch
from routing.latency.sums import COLUMNS
from routing.ports import Learned, Store
from routing.store import codec
from routing.store.memory import MemoryStore
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage

ROOT = Path(__file__).parents[2]
MEASURED_S = 15.0  # of requests in each round
ROUNDS = 2
EVERY_S = 0.002  # between two requests, one at a time
INSTANCES, DEPLOYMENTS = 1_000, 50


async def main() -> int:
    """Print everything."""
    fleet = load(ROOT / "fleet.json")
    async with azurite() as port:
        await added_latency(fleet, port)
        await calls(fleet, port)
        await refresh(port)
    size()
    return 0


@asynccontextmanager
async def azurite() -> AsyncIterator[int]:
    """A store to measure with."""
    arguments = (sys.executable, "-m", "local.azurite", "--port", "0")
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        line = b""
        while not line.startswith(b"listening "):
            line = await process.stdout.readline()
        yield int(line.rpartition(b":")[2])
    finally:
        process.terminate()
        await process.wait()


async def added_latency(fleet: Fleet, port: int) -> None:
    """Requests one after another while the background runs on its usual periods; rounds in turn, the best of each."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        stores: dict[str, Callable[[], Store]] = {
            "in memory": MemoryStore,
            "Azurite": lambda: _tables(port),
            "refused": lambda: _tables(nobody.getsockname()[1]),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
        for _ in range(ROUNDS):
            for name, make in stores.items():
                found[name].append(await _latency(Instance(fleet, make())))
    base = min(p99 for _, p99 in found["in memory"])
    print("time of a request in the router, ms       p50     p99   p99 added")
    for name, rounds in found.items():
        p50, p99 = min(p for p, _ in rounds), min(p for _, p in rounds)
        print(f"  store: {name:32}{p50:8.3f}{p99:8.3f}{p99 - base:+11.3f}")


async def _latency(instance: Instance) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    gc.collect()
    instance.sync.start()
    end = loop.time() + MEASURED_S
    while loop.time() < end:
        taken.append(1000 * await instance.ask(f"user-{len(taken) % 1000}"))
        await asyncio.sleep(EVERY_S)
    await instance.sync.stop()
    taken.sort()
    return taken[len(taken) // 2], taken[int(0.99 * len(taken))]


async def calls(fleet: Fleet, port: int) -> None:
    """Table calls in a minute, with one and with a hundred requests a second; users and timers as usual."""
    print("table calls of an instance and minute, a timer's merge apart")
    for per_s in (1, 100):
        store = _tables(port)
        instance, total = Instance(fleet, store), 0
        assert isinstance(store.tables, TableStorage)
        flushes, pulls = int(60 / FLUSH_S), int(60 / PULL_S)
        for n in range(flushes):
            for k in range(int(per_s * FLUSH_S)):
                await instance.ask(f"user-{k % 5}")
            before = store.tables.calls
            await instance.sync.flush()
            if n < pulls:
                await instance.sync.pull()
            while instance.router.affinity.waiting:
                await instance.sync.homes()
            total += store.tables.calls - before
        before = store.tables.calls
        await instance.sync.merge()
        merge = store.tables.calls - before
        print(f"  {per_s:4} requests/s: {total:4}, and {merge * 60 / MERGE_S:.0f} for the region's merges")
        await store.close()


async def refresh(port: int) -> None:
    """A merge of what a thousand instances wrote, each of fifty deployments."""
    rng, now = Random(4), Clock().now()
    rows = {f"deployment-{d:02}": _learned(rng, now) for d in range(DEPLOYMENTS)}
    for name, store in (("in memory", MemoryStore()), ("Azurite", _tables(port))):
        began = time.perf_counter()
        limit = asyncio.Semaphore(16)

        async def write(n: int, store: SharedStore = store, limit: asyncio.Semaphore = limit) -> None:
            async with limit:
                await store.flush("thousand", f"{n:016x}", 1_800_000_000_000, rows, now)

        await asyncio.gather(*(write(n) for n in range(INSTANCES)))
        written = time.perf_counter()
        totals = await store.flushed("thousand", now)
        read = time.perf_counter()
        profiles = await fold("thousand", totals, now)
        folded = time.perf_counter()
        assert await store.publish(profiles, await store.head("thousand"))
        print(
            f"merge of {len(totals)} totals, {name}: read {read - written:.1f} s, add up {folded - read:.1f} s, "
            f"publish {1000 * (time.perf_counter() - folded):.0f} ms (written before in {written - began:.0f} s)"
        )
        await store.close()


def size() -> None:
    """Bytes of one row, as JSON."""
    rng, now = Random(4), Clock().now()
    for samples in (1, 30, 1_000):
        row = codec.encode_flushed("deployment-00", 1, _learned(rng, now, samples))
        print(f"a total of {samples:4} samples: {len(json.dumps(row))} bytes")


def _learned(rng: Random, now: float, samples: int = 100) -> Learned:
    sketch = Sketch(now)
    for _ in range(samples):
        ttft = 1000 * rng.lognormvariate(-0.5, 0.4)
        sketch.ttft_ms.add(ttft, now)
        sketch.total_ms.add(ttft + 1000 * rng.lognormvariate(1.0, 0.5), now)
        for column in range(COLUMNS):
            sketch.sums.values[column] += rng.random()
    sketch.newest_at = now
    return sketch.learned(now, 0.02)


def _tables(port: int) -> SharedStore:
    return SharedStore(TableStorage(Clock().now, connection(port)))


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m bench.store", description=__doc__).parse_args()
    sys.exit(asyncio.run(main()))

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
from itertools import count
from pathlib import Path
from random import Random

from bench.store.instance import Instance
from bench.store.merging import learned
from bench.store.traffic import traffic
from local.azurite import connection
from routing.engine.clock import Clock
from routing.engine.merge import fold
from routing.fleet import Fleet, load
from routing.ports import Store
from routing.store import codec
from routing.store.keys import READ_S, STEP_S
from routing.store.memory import MemoryStore
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage

ROOT = Path(__file__).parents[2]
MEASURED_S = 15.0  # of requests in each round
ROUNDS = 2
EVERY_S = 0.010  # between the moments at which requests are due
INSTANCES, DEPLOYMENTS, STEPS = 500, 50, int(READ_S // STEP_S) + 1
WRITERS = 4


async def main() -> int:
    """Print everything."""
    fleet = load(ROOT / "fleet.json")
    async with process("local.azurite", "--port", "0", says="listening ") as line:
        port = int(line.rpartition(":")[2])
        await added_latency(fleet, port)
        await traffic(fleet, port)
        await refresh(port)
    size()
    return 0


@asynccontextmanager
async def process(module: str, *arguments: str, says: str) -> AsyncIterator[str]:
    """A Python process beside this one, from the line that begins so; ended with the block."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert started.stdout
    try:
        line = ""
        while not line.startswith(says):
            line = (await started.stdout.readline()).decode()
        yield line.strip()
    finally:
        started.terminate()
        await started.wait()


async def added_latency(fleet: Fleet, port: int) -> None:
    """Requests at a steady rate while the background runs on its usual periods and all regions merge on theirs.

    A request counts from the moment at which it was due: one that waits for the event loop is late, and so are those
    behind it. The emulator and the timers run on the same cores, where a store's machines would not: so what the thread
    of the loop worked from the end of one request to that of the next is told, too. Rounds in turn, the best of each.
    """
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        stores: dict[str, Callable[[], Store]] = {
            "none, in memory": MemoryStore,
            "Azurite": lambda: _tables(port),
            "refusing": lambda: _tables(nobody.getsockname()[1]),
        }
        found: dict[str, list[list[float]]] = {name: [] for name in stores}
        async with process("bench.store.merging", str(port), says="merged"):
            for _ in range(ROUNDS):
                for name, make in stores.items():
                    found[name].append(await _latency(Instance(fleet, make())))
    print(f"{len(fleet.regions)} regions x {len(fleet.deployments)} deployments, a request due every 10 ms")
    print("ms from when it was due to its end              p50     p95     p99     max   CPU: p50     p99")
    for name, rounds in found.items():
        best = [min(each) for each in zip(*rounds, strict=True)]
        print(f"  store: {name:32}" + "".join(f"{value:8.2f}" for value in best))


async def _latency(instance: Instance) -> list[float]:
    """(p50, p95, p99, most) in ms, and (p50, p99) of the CPU time."""
    loop, taken, worked = asyncio.get_running_loop(), list[float](), list[float]()
    await instance.sync.pulling.beat()
    instance.sync.start()
    gc.collect()
    gc.freeze()  # as a server does after its start
    began, before = loop.time(), time.thread_time()
    for n in count(1):
        due = began + n * EVERY_S
        if due > began + MEASURED_S:
            break
        await asyncio.sleep(max(0.0, due - loop.time()))
        await instance.ask(f"user-{n % 1000}")
        taken.append(1000 * (loop.time() - due))
        worked.append(1000 * (time.thread_time() - before))
        before = time.thread_time()
    await instance.sync.stop()
    gc.unfreeze()
    return [*_quantiles(taken, 0.5, 0.95, 0.99), max(taken), *_quantiles(worked, 0.5, 0.99)]


def _quantiles(values: list[float], *of: float) -> list[float]:
    values = sorted(values)
    return [values[int(q * len(values))] for q in of]


async def refresh(port: int) -> None:
    """A merge of what many instances wrote of fifty deployments, in every step that a merge reads."""
    rng, now, store = Random(4), Clock().now(), _tables(port)
    rows = {f"deployment-{d:02}": learned(rng, now) for d in range(DEPLOYMENTS)}
    writes = [(f"{n:016x}", step) for n in range(INSTANCES) for step in reversed(range(STEPS))]
    while writes:  # as many as an emulator takes at once; of those that it does not, once more
        part, writes = writes[-WRITERS:], writes[:-WRITERS]
        flushes = (store.flush("many", name, 1_000 - step, rows, now - step * STEP_S) for name, step in part)
        done = await asyncio.gather(*flushes, return_exceptions=True)
        writes += [write for write, failure in zip(part, done, strict=True) if failure is not None]
    began = time.perf_counter()
    totals = await store.flushed("many", now)
    read = time.perf_counter()
    profiles = await fold("many", totals, now)
    folded = time.perf_counter()
    assert await store.publish(profiles, await store.head("many"))
    print(
        f"merge of {STEPS * len(totals)} rows: read {read - began:.1f} s, add up {folded - read:.1f} s, "
        f"publish {1000 * (time.perf_counter() - folded):.0f} ms"
    )
    await store.close()


def size() -> None:
    """Bytes of one row, as JSON."""
    rng, now = Random(4), Clock().now()
    for samples in (1, 30, 1_000):
        row = codec.encode_flushed("deployment-00", 1, learned(rng, now, samples))
        print(f"a total of {samples:4} samples: {len(json.dumps(row))} bytes")


def _tables(port: int) -> SharedStore:
    return SharedStore(TableStorage(Clock().now, connection(port)))


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m bench.store", description=__doc__).parse_args()
    sys.exit(asyncio.run(main()))

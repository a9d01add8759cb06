"""Timers of all regions, in a process of their own: `python -m bench.store.merging PORT` merges every few seconds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from local.azurite import connection
from routing.engine.clock import Clock
from routing.engine.periods import MERGE_S
from routing.fleet import Fleet, load
from routing.latency.sketch import Sketch
from routing.latency.sums import ANSWERS, COLUMNS, FAILURES, PACE_Y, SENT, SLOW_Y, TAU_S, WIDE_XX, DecayedSums, X
from routing.ports import Learned, Profiles
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage

FLEET = Path(__file__).parents[2] / "fleet.json"
FAILING, QUOTA_IN_USE = 0.005, 0.3  # shares


async def merge_all(store: SharedStore, totals: Mapping[str, Learned], regions: Sequence[str], now: float) -> None:
    """Publish these totals, by deployment, as new profiles of every region, to which ten instances added."""
    holds = {f"{n:016x}": int(1000 * now) for n in range(10)}
    for region in regions:
        fresh = {deployment: replace(total, at=now, newest_at=now) for deployment, total in totals.items()}
        assert await store.publish(Profiles(region, now, holds, fresh, live=2), await store.head(region))


def totals_of(fleet: Fleet, now: float) -> dict[str, Learned]:
    """A total of many samples for each deployment."""
    rng = Random(5)
    return {deployment.id: learned(rng, now, 300) for deployment in fleet.deployments}


def learned(rng: Random, now: float, samples: int = 100) -> Learned:
    """A total of so many samples: most answers come as fast as they should, and a third of the quota is in use."""
    sketch, sums = Sketch(now), [0.0] * COLUMNS
    for _ in range(samples):
        ttft = 1000 * rng.lognormvariate(-0.5, 0.4)
        sketch.ttft_ms.add(ttft, now)
        sketch.total_ms.add(ttft + 1000 * rng.lognormvariate(1.0, 0.5), now)
        x, y = rng.gauss(0.0, 0.4), rng.gauss(0.0, 0.2)
        for column, value in ((X, x), (WIDE_XX, x * x), (PACE_Y, y), (SLOW_Y, y)):
            sums[column - 1] += 1
            sums[column] += value
        sums[ANSWERS] += 1
        sums[FAILURES] += rng.random() < FAILING
    sums[SENT] = QUOTA_IN_USE * TAU_S[SENT]
    sketch.sums, sketch.newest_at = DecayedSums(now, sums), now
    return sketch.learned(now, 0.02)


async def main(port: int) -> None:
    """Until the process is ended."""
    os.nice(10)  # timers have machines of their own; here they must not take the core of what is measured
    store, fleet = SharedStore(TableStorage(Clock().now, connection(port))), load(FLEET)
    totals, regions = totals_of(fleet, Clock().now()), [region.id for region in fleet.regions]
    while True:
        await merge_all(store, totals, regions, Clock().now())
        sys.stdout.write("merged\n")
        sys.stdout.flush()
        await asyncio.sleep(MERGE_S)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""One router's part in sharing, as a process that is going to be killed: learns, flushes, moves users, and tells."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from local.azurite import connection
from routing.affinity import Affinity, Errand
from routing.latency.sums import WIDE_N
from routing.ports import Home
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from tests.store.instances import Instance

USERS = tuple(f"ab-user-{n}" for n in range(4))
REGIONS = ("eastus", "westus", "swedencentral")


class Telling(Affinity):
    """Tells what the store has confirmed."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__()
        self._tell = tell

    def answered(self, errand: Errand, home: Home | None, now: float) -> None:
        if home is not None:
            self._tell("home", errand.user, home.version, home.region)
        super().answered(errand, home, now)


async def main(port: int, folder: Path) -> None:
    me = Instance(SharedStore(TableStorage(time.time, connection(port))))
    log = os.open(folder / f"{me.sync.instance}.log", os.O_WRONLY | os.O_CREAT)
    rng = Random(me.sync.instance)

    def tell(*line: Any) -> None:
        os.write(log, json.dumps(line).encode() + b"\n")

    written = me.sync.store.flush

    async def flush(origin: str, instance: str, version: int, totals: Any, now: float) -> None:
        tell("invoke", version, round(sum(learned.sums[WIDE_N] for learned in totals.values())))
        await written(origin, instance, version, totals, now)
        tell("ok", version)

    me.sync.store.flush = flush  # type: ignore[method-assign]
    me.router.affinity = Telling(tell)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for _ in range(rng.randint(1, 5)):
            me.answer()
        me.router.affinity.settle(rng.choice(USERS), rng.choice(REGIONS))
        await me.sync.flushing.beat()
        await me.sync.homing.beat()
        if rng.random() < 0.2:
            await me.sync.merging.beat()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))

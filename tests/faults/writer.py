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
from routing.affinity import Affinity
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

    def confirmed(self, user_key: str, region: str, version: int, now: float) -> None:
        self._tell("home", user_key, version, region)
        super().confirmed(user_key, region, version, now)


async def main(port: int, folder: Path) -> None:
    me = Instance(SharedStore(TableStorage(time.time, connection(port))))
    log = os.open(folder / f"{me.sync.instance}.log", os.O_WRONLY | os.O_CREAT)
    rng, samples = Random(me.sync.instance), 0

    def tell(*line: Any) -> None:
        os.write(log, json.dumps(line).encode() + b"\n")

    written = me.sync.store.flush

    async def flush(origin: str, instance: str, version: int, totals: Any, now: float) -> None:
        tell("invoke", version, samples)
        await written(origin, instance, version, totals, now)
        tell("ok", version)

    me.sync.store.flush = flush  # type: ignore[method-assign]
    me.router.affinity = Telling(tell)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for _ in range(rng.randint(1, 5)):
            me.answer()
            samples += 1
        me.router.affinity.settle(rng.choice(USERS), rng.choice(REGIONS))
        await me.sync.flushing.beat()
        await me.sync.homing.beat()
        if rng.random() < 0.2:
            await me.sync.merging.beat()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))

"""An event loop in virtual time: nothing is waited for, its clock jumps to whatever happens next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine

from routing.engine.clock import Clock
from routing.store.memory import MemoryTables
from routing.store.tables import Row
from tests.store.learned import NOW


class Jumping(selectors.SelectSelector):
    """Where nothing is ready, the time that there would be to wait is over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will happen"
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0."""

    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds."""
        return self._jumping.now


class VirtualClock(Clock):
    """The time of the loop that runs."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds since the epoch."""
        return NOW + asyncio.get_running_loop().time()


class DistantTables(MemoryTables):
    """Tables to which the way is as long as to Azure's: others may come first."""

    WAY_S = 0.005

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, after a while."""
        await asyncio.sleep(self.WAY_S)
        return await super().get(table, partition, key)


def run[T](main: Coroutine[None, None, T]) -> T:
    """The result of `main`, on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def repeat(work: Callable[[], Awaitable[object]], period_s: float, until_s: float) -> None:
    """Work at 0 and at every full period, as a timer does; what is late is left out."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        await work()
        await asyncio.sleep(period_s - loop.time() % period_s)

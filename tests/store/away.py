"""Tables that fail when they are told to."""

from __future__ import annotations

from typing import Any

from routing.errors import StoreUnavailable
from routing.store.memory import MemoryTables


class Away(MemoryTables):
    """Tables that can be out of reach."""

    away = False
    blocked = "no table"  # whose name begins so is out of reach
    lost = False  # writes are done, and their answers lost
    calls = 0

    async def upsert(self, *a: Any, **k: Any) -> None:
        self._call(a[0])
        await super().upsert(*a, **k)
        if self.lost:
            raise StoreUnavailable("the answer was lost")

    async def get(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().get(*a, **k)

    async def query(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().query(*a, **k)

    async def scan(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().scan(*a, **k)

    def _call(self, table: str) -> None:
        self.calls += 1
        if self.away or table.startswith(self.blocked):
            raise StoreUnavailable("away")

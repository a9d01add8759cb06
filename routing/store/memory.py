"""The default: tables in the memory of one process, with the same rows and the same races as Table Storage's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import count

from routing.store.shared import SharedStore
from routing.store.tables import PAGE, Conflict, Properties, Row

# In one table; of those beyond, the ones written first go. Only homes of users come to so many, some 30 MB: they never
# end by themselves, and affinity remembers no more of them either
MOST_ROWS = 50_000


class MemoryTables:
    """Rows by table, partition and key. Each call is atomic: it never waits."""

    shared = False
    skew_s = 0.0

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[str, str], tuple[Properties, str]]] = {}
        self._etags = count(1)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, None where there is none."""
        found = self._tables.get(table, {}).get((partition, key))
        return None if found is None else Row(partition, key, *found)

    async def query(
        self, table: str, partition: str, first: str, last: str, columns: Sequence[str] = (), page: int = PAGE
    ) -> list[Row]:
        """The rows of a partition with keys from `first` on, before `last`; all at once, as nothing is waited for."""
        rows = [row for row in self._rows(table) if row.partition == partition and first <= row.key < last]
        return [_only(row, columns) for row in rows] if columns else rows

    async def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
        """The same: one page."""
        yield await self.query(table, partition, first, last)

    async def scan(self, table: str, key: str, first: str, last: str) -> list[Row]:
        """The rows of this key in all partitions from `first` on, before `last`."""
        return [row for row in self._rows(table) if row.key == key and first <= row.partition < last]

    async def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows, replacing what is there."""
        stored = self._tables.setdefault(table, {})
        for row in rows:
            stored[row.partition, row.key] = dict(row.properties), str(next(self._etags))
        while len(stored) > MOST_ROWS:
            del stored[next(iter(stored))]

    async def put(self, table: str, row: Row, rest: Sequence[Row] = ()) -> None:
        """Insert or replace one row on condition, and write the rest. Raises Conflict."""
        found = await self.get(table, row.partition, row.key)
        if (found.etag if found else "") != row.etag:
            raise Conflict(row.key)
        await self.upsert(table, [row, *rest])

    async def delete(self, table: str, partition: str, key: str, etag: str = "") -> None:
        """Remove a row, if it is there; with an etag just that. Raises Conflict."""
        rows = self._tables.get(table, {})
        found = rows.get((partition, key))
        if etag and found is not None and found[1] != etag:
            raise Conflict(key)
        rows.pop((partition, key), None)

    async def names(self, prefix: str) -> list[str]:
        """The tables whose names begin so."""
        return [name for name in self._tables if name.startswith(prefix)]

    async def drop(self, table: str) -> None:
        """Remove a table with all of its rows."""
        self._tables.pop(table, None)

    async def close(self) -> None:
        """Nothing is open."""

    def _rows(self, table: str) -> list[Row]:
        rows = self._tables.get(table, {})
        return [Row(*place, *rows[place]) for place in sorted(rows)]


def _only(row: Row, columns: Sequence[str]) -> Row:
    return row._replace(properties={name: row.properties[name] for name in columns if name in row.properties})


class MemoryStore(SharedStore):
    """A store for one process. What outlives it is nothing."""

    def __init__(self) -> None:
        super().__init__(MemoryTables())

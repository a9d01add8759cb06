"""The seam below the store: the operations of Table Storage that it needs, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

type Properties = Mapping[str, Any]

PAGE = 1_000  # rows in one answer: the most that Table Storage gives


class Row(NamedTuple):
    """An entity. `etag` is empty where it was not read."""

    partition: str
    key: str
    properties: Properties
    etag: str = ""


class Conflict(Exception):
    """The row is not as the write demanded: somebody else was faster. Its caller expects that."""


class Tables(Protocol):
    """Tables of rows. Every call may raise StoreUnavailable."""

    shared: bool
    skew_s: float  # what the store's clock is ahead of ours: rows carry the store's time, which all instances share

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, None where there is none."""
        ...

    async def query(
        self, table: str, partition: str, first: str, last: str, columns: Sequence[str] = (), page: int = PAGE
    ) -> list[Row]:
        """The rows of a partition with keys from `first` on, before `last`. None of a table that does not exist.

        Only these `columns` of them, if any are named. `page` rows come at once, and hold the event loop so long.
        """
        ...

    def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
        """The same as they come, by key, for those who need not have all of them at once."""
        ...

    async def scan(self, table: str, key: str, first: str, last: str) -> list[Row]:
        """The rows of this key in all partitions from `first` on, before `last`."""
        ...

    async def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows of one partition, replacing what is there: all or none of each hundred."""
        ...

    async def put(self, table: str, row: Row, rest: Sequence[Row] = ()) -> None:
        """Insert `row`, or where it has an etag replace just that; and with it write the `rest`, in order.

        Raises Conflict, and has written nothing, where the row exists or has changed. What does not fit a transaction
        is written by further ones, each only while nobody has replaced `row` since: Conflict again.
        """
        ...

    async def delete(self, table: str, partition: str, key: str, etag: str = "") -> None:
        """Remove a row, if it is there; with an etag just that. Raises Conflict where it has changed."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The tables whose names begin so."""
        ...

    async def drop(self, table: str) -> None:
        """Remove a table with all of its rows."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...

"""A flush of more deployments than a transaction holds: a part is there as a whole or not at all, and counts once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from routing.engine import flush
from routing.errors import StoreUnavailable
from routing.latency.sums import WIDE_N
from routing.store import keys, table_storage
from routing.store.shared import SharedStore
from routing.store.tables import Row
from tests.store.away import Away
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import deployment, fleet


class Parted(Away):
    """Tables in whose writes of samples something comes between."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Any] = []  # one for each write to come

    async def upsert(self, table: str, rows: Sequence[Row]) -> None:
        if table.startswith(keys.SAMPLES) and self.before:
            await self.before.pop(0)()
        await super().upsert(table, rows)


async def nothing() -> None:
    pass


async def failing() -> None:
    raise StoreUnavailable("away")


PARTED = 250  # deployments: three transactions


def of_parts() -> tuple[Parted, Instance]:
    tables = Parted()
    of = fleet(*(deployment(f"d{n:03}") for n in range(PARTED)))
    return tables, Instance(SharedStore(tables), of=of)


def known(me: Instance) -> set[float]:
    """Samples of each deployment that `me` knows of."""
    return {round(sketch.sums.age(me.clock.at)[WIDE_N], 2) for sketch in me.tracker.known}


def test_what_is_flushed_together_fits_a_transaction() -> None:
    assert flush.AT_ONCE <= table_storage.IN_TRANSACTION


@pytest.mark.parametrize("done", [0, 1, 2])
async def test_own_samples_count_once_where_a_part_of_a_flush_fails(done: int) -> None:
    tables, me = of_parts()
    tables.before = [*[nothing] * done, failing]
    for times in (1, 2):
        for d in range(PARTED):
            me.answer(d=d)
        await me.sync.flushing.beat()
        for stage in (me.sync.merge, me.sync.pull):
            await stage()
            assert known(me) == {times}
    assert {round(total.learned.sums[WIDE_N], 2) for total in await me.sync.store.flushed("eastus", NOW)} == {2}


@pytest.mark.parametrize("done", [1, 2])
async def test_own_samples_count_once_where_a_merge_comes_between_the_parts_of_a_flush(done: int) -> None:
    tables, me = of_parts()

    async def merged() -> None:
        await me.sync.merge()
        await me.sync.pull()

    tables.before = [*[nothing] * done, merged]
    for d in range(PARTED):
        me.answer(d=d)
    await me.sync.flush()
    assert known(me) == {1}
    await merged()
    assert known(me) == {1}


async def test_a_part_that_failed_is_written_before_what_is_newer() -> None:
    """Else a profile could hold a version of the newer part, and what failed would be dropped as if it were in it."""
    tables, me = of_parts()
    tables.before = [nothing, nothing, failing]
    for d in range(PARTED):
        me.answer(d=d)
    await me.sync.flushing.beat()
    for d in range(PARTED):
        me.answer(d=d)
    tables.before = [nothing, failing]
    await me.sync.flushing.beat()
    for stage in (me.sync.merge, me.sync.pull):
        await stage()
        assert known(me) == {2}


async def test_others_run_between_the_rows_of_a_flush() -> None:
    me, turns = Instance(SharedStore(Away()), of=fleet(*(deployment(f"d{n}") for n in range(50)))), 0
    for d in range(50):
        me.answer(d=d)
    flushing = asyncio.ensure_future(me.sync.flush())
    while not flushing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 10, "every ten rows, as they are taken and as they are encoded"

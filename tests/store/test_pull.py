"""Reading what the regions have merged: heads each time, rows where there is news, and of other regions only sums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routing.latency.sums import ANSWERS, WIDE_N
from routing.ports import Head, Learned, Profiles
from routing.store import keys
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from routing.store.tables import Row
from tests.store.instances import Instance
from tests.store.learned import NOW, learned
from tests.unit.fleets import REGIONS, deployment, fleet


class Counted(MemoryTables):
    """Tables that note which partitions of profiles are queried, and for which columns."""

    def __init__(self) -> None:
        super().__init__()
        self.queried: list[tuple[str, int]] = []

    async def query(self, table: str, partition: str, *a: Any, **k: Any) -> Any:
        found = await super().query(table, partition, *a, **k)
        if table == keys.PROFILES:
            self.queried.append((partition.partition("|")[2], sum(len(row.properties) for row in found)))
        return found


async def head(store: SharedStore, origin: str) -> Head:
    return next(head for head in await store.heads() if head.origin == origin)


# ---------------------------------------------------------------------- the store
async def test_of_another_regions_profiles_only_the_sums_are_read(store: SharedStore, origin: str) -> None:
    await store.publish(Profiles(origin, NOW, {}, {"a": learned(samples=3, round_trip_s=0.1)}), None)
    assert await store.learned(await head(store, origin), False, NOW) == {"a": Learned(NOW, learned(samples=3).sums)}


async def test_profiles_that_are_replaced_while_they_are_read_are_not_taken(store: SharedStore, origin: str) -> None:
    """The head that was read says what they hold: with it, some samples would count twice, or not at all."""
    await store.publish(Profiles(origin, NOW, {"i": 1}, {"a": learned(NOW)}), None)
    before = await head(store, origin)
    await store.publish(Profiles(origin, NOW + 1, {"i": 2}, {"a": learned(NOW + 1)}), await store.head(origin))
    assert await store.learned(before, True, NOW) is None
    assert await store.learned(await head(store, origin), True, NOW) is not None


async def test_rows_come_in_small_answers(table_storage: SharedStore, origin: str) -> None:
    """Each is one piece of work for the loop that serves requests."""
    await table_storage.publish(Profiles(origin, NOW, {}, {f"d{n}": learned() for n in range(120)}), None)
    known, tables = await head(table_storage, origin), table_storage.tables
    assert isinstance(tables, TableStorage)
    before = tables.calls
    found = await table_storage.learned(known, True, NOW)
    assert found is not None
    assert (len(found), tables.calls - before) == (120, 3)


async def test_other_tasks_run_between_rows(store: SharedStore, origin: str) -> None:
    await store.publish(Profiles(origin, NOW, {}, {f"d{n}": learned() for n in range(60)}), None)
    known, turns = await head(store, origin), 0
    reading = asyncio.ensure_future(store.learned(known, True, NOW))
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 6


async def test_purging_removes_profiles_that_no_merge_has_renewed_for_two_hours(
    store: SharedStore, origin: str
) -> None:
    """A deployment that no fleet has any more gets no totals, so no merge writes its row."""
    later = Profiles(origin, NOW + 600, {}, {"a": learned(NOW + 600)})
    await store.publish(Profiles(origin, NOW, {}, {"gone": learned(NOW), "a": learned(NOW)}), None)
    await store.publish(later, await store.head(origin))
    for late, names in ((7_100, {"gone", "a"}), (7_300, {"a"})):
        await store.purge(NOW + late)
        found = await store.learned(await head(store, origin), True, NOW + late)
        assert found is not None
        assert set(found) == names


# ---------------------------------------------------------------------- an instance
@pytest.fixture
def tables() -> Counted:
    return Counted()


@pytest.fixture
def shared(tables: Counted) -> SharedStore:
    return SharedStore(tables)


async def test_rows_are_read_only_of_regions_that_merged_since(tables: Counted, shared: SharedStore) -> None:
    me, other = Instance(shared, "eastus"), Instance(shared, "westus")
    for one in (me, other):
        one.answer()
        await one.sync.flush()
        await one.sync.merge()
    await me.sync.pull()
    assert [origin for origin, _ in tables.queried] == ["eastus", "westus"]
    for _ in range(5):
        await me.sync.pull()
    assert len(tables.queried) == 2
    other.clock.at += 5
    other.answer()
    await other.sync.flush()
    await other.sync.merge()
    await me.sync.pull()
    assert [origin for origin, _ in tables.queried] == ["eastus", "westus", "westus"]
    assert me.samples == pytest.approx(3, rel=0.1)


async def test_other_regions_cost_few_columns(tables: Counted, shared: SharedStore) -> None:
    me, other = Instance(shared, "eastus"), Instance(shared, "westus")
    for one in (me, other):
        one.answer()
        await one.sync.flush()
        await one.sync.merge()
    await me.sync.pull()
    assert dict(tables.queried) == {"eastus": 7, "westus": 3}


async def test_what_one_region_told_stays_while_another_cannot_be_read(shared: SharedStore) -> None:
    for origin in ("asia", "westus"):
        await shared.publish(Profiles(origin, NOW, {}, {"d0": learned(samples=4)}), None)
    me, read = Instance(shared), shared.learned

    async def fails(head: Head, whole: bool, now: float) -> Any:
        if head.origin == "westus":
            raise ConnectionError
        return await read(head, whole, now)

    shared.learned = fails  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await me.sync.pull()
    assert me.tracker.known[0].sums.values[ANSWERS] == pytest.approx(4)
    shared.learned = read  # type: ignore[method-assign]
    await me.sync.pull()
    assert me.tracker.known[0].sums.values[ANSWERS] == pytest.approx(8)


async def test_own_samples_count_once_while_a_pull_meets_a_merge(tables: Counted, shared: SharedStore) -> None:
    """The head is read, then somebody merges, then the rows are read."""
    me, query = Instance(shared), tables.query
    me.answer()
    await me.sync.flush()
    await me.sync.merge()
    await me.sync.pull()
    me.clock.at += 5
    me.answer()
    await me.sync.flush()
    await me.sync.merge()
    me.clock.at += 5
    me.answer()

    async def merged_meanwhile(table: str, *a: Any, **k: Any) -> Any:
        tables.query = query  # type: ignore[method-assign]
        await me.sync.flush()
        await me.sync.merge()
        return await query(table, *a, **k)

    tables.query = merged_meanwhile  # type: ignore[method-assign]
    for _ in range(2):
        await me.sync.pull()
        assert me.tracker.known[0].sums.age(me.clock.at)[WIDE_N] == pytest.approx(3, rel=0.05)


# ---------------------------------------------------------------------- a merge
class Paged(MemoryTables):
    """Tables that answer in pages of three rows, between which others may write."""

    def __init__(self) -> None:
        super().__init__()
        self.between: list[Any] = []

    async def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
        while rows := (await self.query(table, partition, first, last))[:3]:
            yield rows
            first = f"{rows[-1].key}\0"
            if self.between:
                await self.between.pop()()


async def test_of_an_instance_that_flushes_while_it_is_read_nothing_is_missed_or_counted_twice() -> None:
    """Its totals lie on two pages; it flushes between them."""
    tables = Paged()
    of = fleet(*(deployment(f"d{n}", region=REGIONS[0]["id"]) for n in range(5)))
    me = Instance(SharedStore(tables), of=of)

    async def flush() -> None:
        for d in range(5):
            me.answer(d=d)
        await me.sync.flush()

    await flush()
    tables.between.append(flush)
    await me.sync.merge()
    await me.sync.pull()
    assert [me.tracker.known[d].sums.values[WIDE_N] for d in range(5)] == [pytest.approx(2, rel=1e-3)] * 5

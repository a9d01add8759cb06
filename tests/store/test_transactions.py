"""Transactions of Table Storage: what is in doubt is said so, and no older merge is written over a newer one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from local.azurite import connection
from routing.errors import StoreUnavailable
from routing.latency.sums import ANSWERS
from routing.ports import Home, Profiles
from routing.store import keys
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from routing.store.tables import Conflict, Row
from tests.harness.eventually import eventually
from tests.store.gateway import Gateway, Late, Refuse, gateway
from tests.store.learned import NOW, learned

DEPLOYMENTS = 250  # of which a hundred rows fit a transaction


@pytest.fixture
async def gate(azurite: int) -> AsyncIterator[Gateway]:
    async with gateway(azurite) as gate:
        yield gate


@pytest.fixture
async def behind(gate: Gateway) -> AsyncIterator[SharedStore]:
    """The store as it is reached through the gateway."""
    store = SharedStore(TableStorage(time.time, connection(gate.port)))
    yield store
    await store.close()


def merged(origin: str, version: int) -> Profiles:
    """A merge that tells of itself in each of its rows."""
    totals = {f"d{n:03}": learned(NOW + version, samples=version) for n in range(DEPLOYMENTS)}
    return Profiles(origin, NOW + version, {"i": version}, totals)


async def versions(store: SharedStore, origin: str) -> tuple[int, set[float]] | None:
    """What the head says, and what the rows say; None where the rows are said to be newer than the head."""
    head = next(head for head in await store.heads() if head.origin == origin)
    found = await store.learned(head, True, NOW)
    return None if found is None else (head.holds["i"], {total.sums[ANSWERS] for total in found.values()})


# ---------------------------------------------------------------------- in doubt
@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_transaction_in_doubt_is_not_repeated_within_the_call(
    gate: Gateway, behind: SharedStore, origin: str, status: int
) -> None:
    """The caller must hear that the first may still be carried out."""
    await behind.flush(origin, "i", 1, {"a": learned()}, NOW)
    await behind.publish(Profiles(origin, NOW, {}, {"a": learned()}), None)
    calls = gate.transactions
    gate.steps.append(Late(status))
    with pytest.raises(StoreUnavailable):
        await behind.flush(origin, "i", 2, {"a": learned()}, NOW)
    gate.steps.append(Late(status))
    with pytest.raises(StoreUnavailable):
        await behind.publish(Profiles(origin, NOW + 1, {}, {"a": learned()}), await behind.head(origin))
    assert gate.transactions == calls + 2


# ---------------------------------------------------------------------- conflicts
@pytest.mark.parametrize("code", ["TableBeingDeleted", "OperationTimedOut", "AccountIsDisabled"])
async def test_a_409_of_another_kind_is_a_store_that_is_away(
    gate: Gateway, behind: SharedStore, origin: str, code: str
) -> None:
    gate.steps.extend([Refuse(409, code)] * 3)
    with pytest.raises(StoreUnavailable):
        await behind.flush(origin, "i", 1, {"a": learned()}, NOW)
    with pytest.raises(StoreUnavailable):
        await behind.home(f"{origin}-user", "eastus", None, NOW)
    with pytest.raises(StoreUnavailable):
        await behind.lease(origin, "o", NOW, 60)


async def test_rows_that_are_there_have_changed_or_are_gone_are_conflicts(
    table_storage: SharedStore, origin: str
) -> None:
    tables = table_storage.tables
    await tables.put(keys.AFFINITY, Row(origin, "k", {"n": 1}))
    with pytest.raises(Conflict):
        await tables.put(keys.AFFINITY, Row(origin, "k", {"n": 2}))
    row = await tables.get(keys.AFFINITY, origin, "k")
    assert row is not None
    await tables.put(keys.AFFINITY, row._replace(properties={"n": 3}))
    with pytest.raises(Conflict):
        await tables.put(keys.AFFINITY, row._replace(properties={"n": 4}))
    row = await tables.get(keys.AFFINITY, origin, "k")
    assert row is not None
    assert row.properties == {"n": 3}
    await tables.delete(keys.AFFINITY, origin, "k")
    with pytest.raises(Conflict):
        await tables.put(keys.AFFINITY, row)


async def test_a_home_is_stored_again_after_its_table_was_dropped(table_storage: SharedStore, origin: str) -> None:
    """Between the read and the write of a move: read again, and stored as if for the first time."""
    user, tables = f"{origin}-user", table_storage.tables
    await table_storage.home(user, "eastus", None, NOW)
    read = tables.get

    async def get(table: str, partition: str, key: str) -> Row | None:
        tables.get = read  # type: ignore[method-assign]
        row = await read(table, partition, key)
        await tables.drop(keys.AFFINITY)
        return row

    tables.get = get  # type: ignore[method-assign]
    assert await table_storage.home(user, "westus", 1, NOW) == Home("westus", 1, NOW)


# ---------------------------------------------------------------------- merges of more than a transaction
@pytest.mark.parametrize("first", [True, False], ids=["the region's first", "not the first"])
@pytest.mark.parametrize("done", [1, 2], ids=["after one transaction", "after two"])
async def test_an_older_merge_that_stalled_is_not_written_over_a_newer_one(
    gate: Gateway, behind: SharedStore, table_storage: SharedStore, origin: str, first: bool, done: int
) -> None:
    if not first:
        assert await table_storage.publish(merged(origin, 1), None)
    go = asyncio.Event()
    gate.steps.extend([None] * done + [go])
    older = asyncio.create_task(behind.publish(merged(origin, 2), await table_storage.head(origin)))
    await eventually(lambda: gate.transactions == done + 1)
    assert await table_storage.publish(merged(origin, 3), await table_storage.head(origin))
    go.set()
    assert not await older
    assert await versions(table_storage, origin) == (3, {3.0})


async def test_a_merge_whose_writer_died_between_transactions_is_not_believed_and_replaced_by_the_next(
    gate: Gateway, behind: SharedStore, table_storage: SharedStore, origin: str
) -> None:
    assert await table_storage.publish(merged(origin, 1), None)
    gate.steps.extend([None, Late()])
    with pytest.raises(StoreUnavailable):
        await behind.publish(merged(origin, 2), await table_storage.head(origin))
    assert await versions(table_storage, origin) is None, "rows that are newer than their head"
    assert await table_storage.publish(merged(origin, 3), await table_storage.head(origin))
    assert await versions(table_storage, origin) == (3, {3.0})
    await gate.commit()
    assert await versions(table_storage, origin) == (3, {3.0}), "what is late is not carried out"


async def test_whoever_reads_while_others_merge_sees_one_merge_or_none(store: SharedStore, origin: str) -> None:
    assert await store.publish(merged(origin, 1), None)
    merging = 3

    async def merge(of: int) -> None:
        nonlocal merging
        for version in range(2 + of, 11, 3):
            await store.publish(merged(origin, version), await store.head(origin))
        merging -= 1

    async def read() -> None:
        while merging:
            seen.append(await versions(store, origin))
            await asyncio.sleep(0)

    seen: list[tuple[int, set[float]] | None] = []
    await asyncio.gather(*map(merge, range(3)), read(), read())
    assert [one for one in seen if one is not None and one[1] != {float(one[0])}] == []
    assert await store.publish(merged(origin, 11), await store.head(origin))
    assert await versions(store, origin) == (11, {11.0})


# ---------------------------------------------------------------------- pages
async def test_each_page_of_an_answer_has_its_own_time(
    table_storage: SharedStore, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, calls = table_storage.tables, 0
    assert await table_storage.publish(merged(origin, 1), None)
    bounded = TableStorage._calling

    def counted(self: TableStorage) -> object:
        nonlocal calls
        calls += 1
        return bounded(self)

    monkeypatch.setattr(TableStorage, "_calling", counted)
    rows = await tables.query(keys.PROFILES, keys.profiles_partition(origin), "", keys.HEAD, page=50)
    assert len(rows) == DEPLOYMENTS
    assert calls >= DEPLOYMENTS / 50


async def test_a_read_of_samples_that_fails_leaves_nothing_running(origin: str) -> None:
    """The next merge begins anew: reads of the last one must not heap up beside it."""
    left = 0

    class Away(MemoryTables):
        async def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
            nonlocal left
            if partition == keys.samples_partition(origin, 3):
                await asyncio.sleep(0)
                raise StoreUnavailable("away")
            left += 1
            try:
                await asyncio.Event().wait()
            finally:
                left -= 1
            yield []

    with pytest.raises(StoreUnavailable):
        await SharedStore(Away()).flushed(origin, NOW)
    assert left == 0


async def test_rows_of_samples_are_decoded_page_by_page(origin: str) -> None:
    """What a region wrote in half an hour does not lie in memory before the first of it is used."""
    decoded_before = []

    class Paged(MemoryTables):
        async def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
            for row in await self.query(table, partition, first, last):
                decoded_before.append(store.rejected.total())
                yield [row]

    store = SharedStore(Paged())
    partition = keys.samples_partition(origin, 0)
    rows = [Row(partition, keys.sample_key(NOW, f"i{n}", "d"), {"version": "rubbish"}) for n in range(5)]
    await store.tables.upsert(keys.samples_table(NOW), rows)
    assert await store.flushed(origin, NOW) == []
    assert decoded_before == [0, 1, 2, 3, 4]

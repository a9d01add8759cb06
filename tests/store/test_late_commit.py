"""A write that the store carries out after its client has given it up: it must not undo what was acknowledged since."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from local.azurite import connection
from routing.engine.flush import LATE_S
from routing.engine.periods import FLUSH_S
from routing.errors import StoreUnavailable
from routing.latency.sums import WIDE_N
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from routing.store.tables import Row
from tests.store.gateway import Late as GivenUp
from tests.store.gateway import gateway
from tests.store.instances import Instance
from tests.store.learned import NOW


class Late(MemoryTables):
    """Tables that hold a write back, longer than its client waits."""

    def __init__(self) -> None:
        super().__init__()
        self.holding = False
        self._held: list[tuple[str, Sequence[Row]]] = []
        self.writes = 0

    async def upsert(self, table: str, rows: Sequence[Row]) -> None:
        self.writes += 1
        if self.holding:
            self._held.append((table, rows))
            raise TimeoutError("no answer")
        await super().upsert(table, rows)

    async def commit(self) -> None:
        """Carry out what was held back."""
        for table, rows in self._held:
            await super().upsert(table, rows)


@pytest.fixture
def tables() -> Late:
    return Late()


@pytest.fixture
async def me(tables: Late) -> Instance:
    """One whose first total is held back, and whose second, of five samples, is acknowledged."""
    me = Instance(SharedStore(tables))
    me.answer()
    tables.holding = True
    await me.sync.flushing.beat()
    tables.holding = False
    for _ in range(4):
        me.answer()
    await flush_at(me, FLUSH_S)
    assert await stored(me) == pytest.approx(5, rel=0.02)
    return me


async def flush_at(me: Instance, seconds: float) -> None:
    me.clock.at = NOW + seconds
    await me.sync.flush()


async def stored(me: Instance) -> float:
    """Samples in the store."""
    return sum(total.learned.sums[WIDE_N] for total in await me.sync.store.flushed("eastus", me.clock.at))


@pytest.mark.parametrize("late", [FLUSH_S + 1, LATE_S / 2, LATE_S - 1])
async def test_a_late_commit_does_not_replace_a_newer_acknowledged_total_for_good(
    me: Instance, tables: Late, late: float
) -> None:
    for second in range(int(2 * FLUSH_S), int(late), int(FLUSH_S)):
        await flush_at(me, second)
    await tables.commit()
    assert await stored(me) < 2, "the old total is back"
    await flush_at(me, late + FLUSH_S)
    assert await stored(me) == pytest.approx(5, rel=0.15), "and gone with the next flush, though there was no news"


async def test_once_no_commit_can_come_any_more_nothing_is_written_without_news(me: Instance, tables: Late) -> None:
    await flush_at(me, LATE_S + 1)
    writes = tables.writes
    await flush_at(me, LATE_S + 1 + FLUSH_S)
    assert tables.writes == writes


async def test_what_was_acknowledged_at_once_is_not_written_again(tables: Late) -> None:
    me = Instance(SharedStore(tables))
    me.answer()
    await me.sync.flush()
    await flush_at(me, FLUSH_S)
    assert tables.writes == 1


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_transaction_that_a_gateway_gave_up_is_in_doubt_for_the_real_client(
    azurite: int, table_storage: SharedStore, status: int
) -> None:
    """It answers 5xx, and the transaction is carried out after the next flush was acknowledged."""
    async with gateway(azurite) as gate:
        me = Instance(SharedStore(TableStorage(time.time, connection(gate.port))))

        async def own() -> list[float]:
            totals = await table_storage.flushed("eastus", me.clock.at)
            return [total.learned.sums[WIDE_N] for total in totals if total.instance == me.sync.instance]

        me.answer()
        await me.sync.flush()
        me.answer()
        gate.steps.append(GivenUp(status))
        with pytest.raises(StoreUnavailable):
            await flush_at(me, FLUSH_S)
        for _ in range(3):
            me.answer()
        await flush_at(me, 2 * FLUSH_S)
        assert await own() == [pytest.approx(5, rel=0.02)]
        await gate.commit()
        assert await own() == [pytest.approx(2, rel=0.02)], "the old total is back"
        await flush_at(me, 3 * FLUSH_S)
        assert await own() == [pytest.approx(5, rel=0.02)]
        await me.sync.store.close()

"""Homes of users between regions: whatever is dropped, lost or overtaken, all come to agree with the store."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from routing import affinity as homes
from routing.affinity import CONFIRM_S, NONE_S
from routing.engine.homes import ERRANDS, MOVE_S
from routing.ports import Home
from routing.store import keys, memory
from routing.store.memory import MemoryStore, MemoryTables
from routing.store.shared import SharedStore
from routing.store.tables import Row
from tests.store.instances import Instance
from tests.store.learned import NOW

USER = "aa-user"


class Gated(MemoryTables):
    """Tables that read at once, and answer when they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        row = await super().get(table, partition, key)
        await self.open.wait()
        return row


@pytest.fixture
def tables() -> Gated:
    return Gated()


@pytest.fixture
def shared(tables: Gated) -> SharedStore:
    return SharedStore(tables)


async def stored(shared: SharedStore) -> Home | None:
    return await shared.home(USER, None, None, NOW)


async def test_a_home_whose_errand_was_dropped_is_told_when_its_user_comes_again(
    shared: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "MOST_ERRANDS", 10)
    me = Instance(shared)
    affinity = me.router.affinity
    affinity.settle(USER, "eastus")
    for n in range(10):
        affinity.settle(f"bb-{n}", "eastus")
    await me.sync.homes()
    assert await stored(shared) is None
    affinity.home(USER, NOW)
    await me.sync.homes()
    assert await stored(shared) == Home("eastus", 1, NOW)


async def test_a_user_who_left_does_not_move_back_though_the_errand_was_dropped(shared: SharedStore) -> None:
    me = Instance(shared)
    affinity = me.router.affinity
    affinity.settle(USER, "eastus")
    await me.sync.homes()
    affinity.settle(USER, "westus")
    affinity.errands(99)  # lost
    me.clock.at += CONFIRM_S + 1
    assert affinity.home(USER, me.clock.at) == "westus"
    await me.sync.homes()
    assert affinity.home(USER, me.clock.at) == "westus"
    assert await stored(shared) == Home("westus", 2, me.clock.at)


@pytest.mark.parametrize("asks", [True, False])
async def test_an_answer_that_is_older_than_the_users_leaving_does_not_undo_it(
    tables: Gated, shared: SharedStore, asks: bool
) -> None:
    """The user leaves while the store is asked, or is told of the move before."""
    me = Instance(shared)
    affinity = me.router.affinity
    affinity.settle(USER, "eastus")
    if asks:
        await me.sync.homes()
        me.clock.at += CONFIRM_S + 1
        affinity.home(USER, me.clock.at)
    tables.open.clear()
    running = asyncio.create_task(me.sync.homes())
    await asyncio.sleep(0)
    affinity.settle(USER, "westus")
    tables.open.set()
    await running
    assert affinity.home(USER, me.clock.at) == "westus"
    await me.sync.homes()
    assert await stored(shared) == Home("westus", 2, me.clock.at)


async def test_homes_that_the_store_has_forgotten_are_told_again(tables: Gated, shared: SharedStore) -> None:
    me = Instance(shared)
    affinity = me.router.affinity
    affinity.settle(USER, "eastus")
    affinity.settle(USER, "westus")
    await me.sync.homes()
    await tables.drop(keys.AFFINITY)
    me.clock.at += CONFIRM_S + 1
    affinity.home(USER, me.clock.at)
    await me.sync.homes()
    await me.sync.homes()
    assert await stored(shared) == Home("westus", 1, me.clock.at)
    affinity.home(USER, me.clock.at)
    assert affinity.waiting == 0, "confirmed: it is not asked for at each request"


async def test_after_the_table_was_dropped_the_first_region_that_tells_wins_everywhere(
    tables: Gated, shared: SharedStore
) -> None:
    me, other = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    me.router.affinity.settle(USER, "eastus")
    await me.sync.homes()
    me.router.affinity.settle(USER, "westus")
    await me.sync.homes()
    await tables.drop(keys.AFFINITY)
    other.router.affinity.settle(USER, "swedencentral")
    await other.sync.homes()
    me.clock.at += CONFIRM_S + 1
    me.router.affinity.home(USER, me.clock.at)
    await me.sync.homes()
    assert me.router.affinity.home(USER, me.clock.at) == "swedencentral"


async def test_a_user_who_moves_all_the_time_is_told_of_once_a_minute_and_where_they_are_then(
    shared: SharedStore,
) -> None:
    me, seen = Instance(shared), []
    affinity = me.router.affinity
    for second in range(150):
        me.clock.at = NOW + second
        affinity.settle(USER, "westus" if second // 4 % 2 else "eastus")
        affinity.home(USER, me.clock.at)
        await me.sync.homes()
        seen.append(await stored(shared))
    moved_at = [home.since - NOW for home, before in zip(seen, [None, *seen], strict=False) if home and home != before]
    assert moved_at == [0, 4, 4 + MOVE_S, 4 + 2 * MOVE_S]
    me.clock.at += MOVE_S
    affinity.settle(USER, "swedencentral")
    await me.sync.homes()
    home = await stored(shared)
    assert home is not None
    assert home.region == affinity.home(USER, me.clock.at) == "swedencentral"


async def test_users_who_wait_for_their_next_move_keep_nobody_else_waiting(shared: SharedStore) -> None:
    me = Instance(shared)
    affinity = me.router.affinity
    crowd = [f"bb-{n}" for n in range(3 * ERRANDS)]
    for region in ("eastus", "westus"):
        for user in crowd:
            affinity.settle(user, region)
        for _ in range(3):
            await me.sync.homes()
    for user in crowd:
        affinity.settle(user, "eastus")
    affinity.settle(USER, "westus")
    await me.sync.homes()
    assert await stored(shared) == Home("westus", 1, NOW)


async def test_a_user_whom_the_store_does_not_know_is_not_asked_for_at_every_beat(
    tables: Gated, shared: SharedStore
) -> None:
    """Though none of their requests was answered, and they come with many."""
    me, get, asked = Instance(shared), tables.get, 0

    async def counted(*a: Any, **k: Any) -> Row | None:
        nonlocal asked
        asked += 1
        return await get(*a, **k)

    tables.get = counted  # type: ignore[method-assign]
    for _ in range(60):
        me.clock.at += 1.0
        assert me.router.affinity.home(USER, me.clock.at) is None
        await me.sync.homes()
    assert asked == 60 / (NONE_S + 1)


async def test_tables_in_memory_keep_so_many_homes_and_the_oldest_one_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody drops them, as somebody may drop a table of Azure's."""
    monkeypatch.setattr(memory, "MOST_ROWS", 3)
    store = MemoryStore()
    for n in range(5):
        await store.home(f"{n}{n}-user", "eastus", None, NOW)
    await store.home("22-user", "westus", 1, NOW)
    await store.home("55-user", "eastus", None, NOW)
    homes = [await store.home(f"{n}{n}-user", None, None, NOW) for n in range(6)]
    assert [n for n, home in enumerate(homes) if home is not None] == [3, 4, 5]


REGIONS = ("eastus", "westus", "swedencentral")


@pytest.mark.parametrize("seed", range(60))
async def test_all_regions_come_to_agree_whatever_was_dropped_lost_or_overtaken(seed: int) -> None:
    """At random: answers, detours, moves, dropped errands, conflicts, a dropped table, and moves while errands run."""
    rng, tables = Random(seed), Gated()
    shared = SharedStore(tables)
    crew = [Instance(shared, region) for region in REGIONS]
    running: list[asyncio.Task[None]] = []
    conflict, put = False, tables.put

    async def sometimes(*a: Any, **k: Any) -> None:
        if conflict:
            await shared.home(USER, rng.choice(REGIONS), rng.randrange(5), NOW)
        await put(*a, **k)

    tables.put = sometimes  # type: ignore[method-assign]
    for _ in range(80):
        me = rng.choice(crew)
        me.clock.at += rng.choice((1.0, CONFIRM_S))
        match rng.choice(("ask", "answer", "detour", "leave", "run", "run", "drop", "gate", "forget")):
            case "ask":
                me.router.affinity.home(USER, me.clock.at)
            case "answer":
                me.router.affinity.meet(USER, rng.choice(REGIONS))
            case "detour":
                me.router.affinity.left(USER, rng.choice(REGIONS), rng.choice(REGIONS))
            case "leave":
                me.router.affinity.settle(USER, rng.choice(REGIONS))
            case "run":
                running.append(asyncio.create_task(me.sync.homes()))
                await asyncio.sleep(0)
            case "drop":
                me.router.affinity.errands(99)
            case "gate":
                (tables.open.clear if rng.random() < 0.5 else tables.open.set)()
            case "forget" if rng.random() < 0.2:
                await tables.drop(keys.AFFINITY)
    tables.open.set()
    await asyncio.gather(*running)
    for _ in range(6):
        for me in crew:
            me.clock.at += CONFIRM_S + 1
            me.router.affinity.home(USER, me.clock.at)
            await me.sync.homes()
    home = await stored(shared)
    assert {me.router.affinity.home(USER, me.clock.at) for me in crew} == {home.region if home else None}
    assert not any(me.router.affinity.waiting for me in crew)

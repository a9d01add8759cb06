"""What a minute of an instance costs in calls of the store, in virtual time: it does not depend on its requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import pytest

from bench.store import instance as served
from routing.engine import pulse
from routing.engine.homes import MOVE_S
from routing.engine.merge import LIVE_S
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.engine.sync import IDLE_ORDERS_S, IDLE_PULL_S
from routing.store import keys
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.faults.virtual import VirtualClock, repeat, run
from tests.store.instances import Instance, three
from tests.unit.fleets import REGIONS

MINUTE_S = 60.0
USERS = 20
MERGING = [region["id"] for region in REGIONS]


class Billed:
    """One instance's way to tables: its calls are counted, by table and kind."""

    shared, skew_s = True, 0.0

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self.calls: Counter[tuple[str, str]] = Counter()

    def __getattr__(self, kind: str) -> Any:
        call = getattr(self._tables, kind)

        def counted(table: str, *a: Any, **k: Any) -> Any:
            self.calls[table.rstrip("0123456789"), kind] += 1
            return call(table, *a, **k)

        return counted

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes are alike but for what is asked in them."""
    monkeypatch.setattr(pulse, "JITTER", 0.0)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[served.Instance, Billed]]:
    """An instance whose stages run by themselves, beside timers that merge in three regions."""
    beneath, clock = MemoryTables(), VirtualClock()
    tables = Billed(beneath)
    me = served.Instance(three(), SharedStore(tables), clock)
    timers = []
    for region in MERGING:
        timer = Instance(SharedStore(beneath), region)
        timer.router.clock = clock
        timers.append(asyncio.create_task(repeat(timer.sync.merge, MERGE_S, float("inf"))))
    me.sync.start()
    await asyncio.sleep(MINUTE_S)
    yield me, tables
    for task in timers:
        task.cancel()
    await asyncio.gather(*timers, return_exceptions=True)
    await me.sync.stop()


def calls_at(per_s: float) -> Counter[tuple[str, str]]:
    """Calls in a minute of so many requests a second, by users who were met before and leave home with each of them."""

    async def minute() -> None:
        async with serving() as (me, tables):
            users, regions = cycle(f"user-{n}" for n in range(USERS)), cycle(MERGING)
            for every_s, requests in ((MINUTE_S / USERS, USERS), (1 / per_s, round(MINUTE_S * per_s))):
                tables.calls.clear()
                for _ in range(requests):
                    user = next(users)
                    await me.ask(user)
                    me.router.affinity.settle(user, next(regions))
                    await asyncio.sleep(every_s)
            calls.update(tables.calls)

    calls: Counter[tuple[str, str]] = Counter()
    run(minute())
    return calls


def without_homes(calls: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {what: count for what, count in calls.items() if what[0] != keys.AFFINITY}


def test_a_minute_has_as_many_calls_at_a_hundred_requests_a_second_as_at_one() -> None:
    few, many = calls_at(1), calls_at(100)
    assert without_homes(few) == without_homes(many)
    assert without_homes(many) == {
        (keys.SAMPLES, "upsert"): MINUTE_S / FLUSH_S,
        (keys.PROFILES, "scan"): MINUTE_S / PULL_S,
        (keys.PROFILES, "query"): len(MERGING) * MINUTE_S / MERGE_S,
        (keys.OVERRIDES, "query"): MINUTE_S / PULL_S,
    }


@pytest.mark.parametrize("per_s", [1, 100])
def test_homes_cost_as_many_calls_as_there_are_users_whatever_they_ask(per_s: float) -> None:
    """Each may move once a minute: read, and written over what was read."""
    homes = {what: count for what, count in calls_at(per_s).items() if what[0] == keys.AFFINITY}
    moves = USERS * MINUTE_S / MOVE_S
    assert homes == {(keys.AFFINITY, "get"): moves, (keys.AFFINITY, "put"): moves}


def test_a_user_who_was_asked_for_and_has_no_home_costs_one_call_more() -> None:
    async def main() -> None:
        async with serving() as (me, tables):
            me.router.affinity.home("u", me.router.clock.now())
            await asyncio.sleep(2)
            me.router.affinity.settle("u", "eastus")
            await asyncio.sleep(2)
            assert {what: n for what, n in tables.calls.items() if what[0] == keys.AFFINITY} == {
                (keys.AFFINITY, "get"): 1,
                (keys.AFFINITY, "put"): 1,
            }

    run(main())


def test_an_instance_that_nobody_asks_reads_seldom_until_somebody_does() -> None:
    """Those that write are counted, and read more rarely the more they are; these are not counted."""

    async def main() -> None:
        async with serving() as (me, tables):
            await asyncio.sleep(LIVE_S)
            tables.calls.clear()
            await asyncio.sleep(2 * IDLE_PULL_S)
            assert tables.calls[keys.PROFILES, "scan"] == 2
            assert tables.calls[keys.OVERRIDES, "query"] == 2 * IDLE_PULL_S / IDLE_ORDERS_S
            await me.ask("user")
            await asyncio.sleep(FLUSH_S + PULL_S)
            tables.calls.clear()
            await asyncio.sleep(MINUTE_S)
            assert tables.calls[keys.PROFILES, "scan"] == MINUTE_S / PULL_S

    run(main())


def test_whoever_is_about_to_probe_takes_the_news_at_once() -> None:
    """The timer's instance may be idle, and what others have measured since must not be measured again."""

    async def main() -> None:
        async with serving() as (me, tables):
            await asyncio.sleep(LIVE_S + IDLE_PULL_S)
            tables.calls.clear()
            await me.sync.pulling.beat()
            assert tables.calls[keys.PROFILES, "scan"] == 0, "idle, and it has pulled within half a minute"
            await me.sync.catch_up()
            assert tables.calls[keys.PROFILES, "scan"] == 1

    run(main())


def test_an_instance_that_merges_reads_as_often_as_one_that_serves() -> None:
    """Its merges are as rare as the instances that it has read of are many."""

    async def main() -> None:
        async with serving() as (me, tables):
            timer = asyncio.create_task(repeat(me.sync.merge, MERGE_S, LIVE_S + MINUTE_S + MINUTE_S))
            await asyncio.sleep(LIVE_S)
            tables.calls.clear()
            await asyncio.sleep(MINUTE_S)
            assert tables.calls[keys.PROFILES, "scan"] == MINUTE_S / PULL_S
            await timer

    run(main())

"""Durable state: what goes wrong between the router and Table Storage, and what callers see of it: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import uuid4

import aiohttp
import pytest

from local.azurite import connection
from routing.affinity import Errand
from routing.engine import periods
from routing.engine import probe as probing
from routing.engine import sync as sharing
from routing.engine.pulse import JITTER
from routing.errors import StoreUnavailable
from routing.latency.sums import ANSWERS
from routing.ports import Home
from routing.store import keys, table_storage
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from routing.store.tables import Row
from tests.faults.refusing import refusing
from tests.harness.eventually import eventually
from tests.harness.openai_wire import Chat
from tests.harness.ports import full_backlog, refused
from tests.harness.proxy import FaultProxy
from tests.harness.served import KEY, Served, fleet
from tests.harness.upstream import Upstream
from tests.store.instances import Instance
from tests.store.learned import NOW, learned


@asynccontextmanager
async def on(port: int) -> AsyncIterator[SharedStore]:
    """The store behind a port."""
    store = SharedStore(TableStorage(time.time, connection(port)))
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def origin() -> str:
    return f"r{uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits ten seconds for a test."""
    monkeypatch.setattr(table_storage, "CALL_S", 0.5)


# ---------------------------------------------------------------------- D1: down
@asynccontextmanager
async def down(how: str) -> AsyncIterator[int]:
    if how == "refused":
        with refused() as port:
            yield port
    elif how == "hangs":
        with full_backlog() as port:
            yield port
    else:
        async with refusing(int(how)) as service:
            yield service.port


@pytest.mark.parametrize("how", ["refused", "hangs", "500", "503", "403"])
async def test_d1_requests_are_served_while_the_store_is_down_from_the_start(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While every stage hangs or fails, callers get their answers; what was learned is there for later."""
    for module, period in ((periods, "FLUSH_S"), (periods, "PULL_S"), (sharing, "HOMES_S")):
        monkeypatch.setattr(module, period, 1e-3)
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "x"}], "user": "u"}
    async with (
        down(how) as port,
        on(port) as store,
        Upstream(Chat("A").stream(3)) as a,
        Served(fleet("a"), {"a": a.url}) as router,
    ):
        sync = router.edge.sync
        router.edge.store = sync.store = store
        sync.start()
        async with aiohttp.ClientSession(router.url, headers={"authorization": f"Bearer {KEY}"}) as session:
            for n in range(20):
                async with session.post("/v1/chat/completions", json=body) as response:
                    assert response.status == 200, n
                    assert b"[DONE]" in await response.read()
        await eventually(lambda: sync.flushing.counts["unavailable"] and sync.pulling.counts["unavailable"])
        assert sync.flushing.counts["fault"] == sync.pulling.counts["fault"] == 0
        assert sync.router.tracker.known[0].sums.values[ANSWERS] > 0
        assert [trouble for trouble in router.edge.troubles() if "does not answer" in trouble]
        await sync.stop()


# ---------------------------------------------------------------------- D2: slow, throttled, broken
@pytest.mark.parametrize(("status", "retry_after"), [(429, "30"), (503, "30"), (500, None), (503, "soon")])
async def test_d2_a_throttled_store_is_left_alone(status: int, retry_after: str | None) -> None:
    """A long Retry-After is waited for by the next beat, not inside of a call."""
    async with refusing(status, retry_after) as service, on(service.port) as store:
        me = Instance(store)
        me.answer()
        await me.sync.flushing.beat()
        assert me.sync.flushing.counts == {"unavailable": 1}
        assert service.calls == 1
        assert me.samples == pytest.approx(1)
        assert me.sync.flushing.pause() > me.sync.flush_period() * (1 + JITTER)


async def test_d2_a_slow_store_is_given_up(proxy: FaultProxy, origin: str) -> None:
    """After CALL_S, whatever the SDK would wait for."""
    proxy.latency_s = 5.0
    async with on(proxy.port) as store:
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await store.flush(origin, "i", 1, {"a": learned()}, NOW)
        proxy.latency_s = 0.0
        await proxy.reset()
        await store.flush(origin, "i", 1, {"a": learned()}, NOW)


# ---------------------------------------------------------------------- D3 to D6: answers that are none of success
async def test_d3_a_table_that_somebody_else_creates_meanwhile_is_no_fault(azurite: int, origin: str) -> None:
    at = 1_600_000_000.0 + 86_400 * Random(origin).randrange(1000)
    async with on(azurite) as store:
        writers = (store.flush(origin, f"i{n}", 1, {"a": learned(at)}, at) for n in range(10))
        await asyncio.gather(*writers)
        assert len(await store.flushed(origin, at)) == 10


async def test_d4_a_home_that_changed_meanwhile_is_read_again(azurite: int, origin: str) -> None:
    """Between our read and our write somebody moves the user, three times: then it is left as it is, and kept."""
    user, moves = f"{origin}-user", 0
    async with on(azurite) as store, on(azurite) as other:
        await store.home(user, "eastus", None, NOW)
        read = store.tables.get

        async def get(table: str, partition: str, key: str) -> Row | None:
            nonlocal moves
            row, moves = await read(table, partition, key), moves + 1
            await other.home(user, f"r{moves}", moves, NOW)
            return row

        store.tables.get = get  # type: ignore[method-assign]
        me = Instance(store)
        me.router.affinity.answered(Errand(user, None, None), Home("eastus", 99, NOW), NOW)
        me.router.affinity.settle(user, "westus")
        await me.sync.homes()
        assert moves == 3
        assert me.router.affinity.home(user) == "westus", "kept locally"
        assert await other.home(user, None, None, NOW) == Home("r3", 4, NOW), "nothing newer was written over"
        store.tables.get = read  # type: ignore[method-assign]
        me.router.affinity.home(user, NOW)
        await me.sync.homes()
        assert await other.home(user, None, None, NOW) == Home("westus", 5, NOW), "told when the user came again"


async def test_d5_a_lost_reply_is_no_second_sample(proxy: FaultProxy, azurite: int, origin: str) -> None:
    async with on(proxy.port) as store, on(azurite) as reader:
        await store.flush(origin, "i", 1, {"a": learned(samples=3)}, NOW)  # the table is there
        await proxy.reset()
        proxy.cut_after = 0
        with pytest.raises(StoreUnavailable):
            await store.flush(origin, "i", 2, {"a": learned(samples=5)}, NOW)
        assert (await reader.flushed(origin, NOW))[0].learned.sums[ANSWERS] == 5, "it was written"
        proxy.cut_after = None
        await proxy.reset()
        await store.flush(origin, "i", 3, {"a": learned(samples=5)}, NOW)
        totals = await reader.flushed(origin, NOW)
        assert [total.learned.sums[ANSWERS] for total in totals] == [5]


async def test_d6_names_that_no_key_may_hold_are_refused_before_they_are_sent(azurite: int, origin: str) -> None:
    async with on(azurite) as store:
        totals = dict.fromkeys(["a/b", "a\\b", "a#b", "a?b", "a\nb", "a|b", "", "x" * 200, "good"], learned())
        await store.flush(origin, "i", 1, totals, NOW)
        assert [total.deployment for total in await store.flushed(origin, NOW)] == ["good"]
        assert store.rejected == {"samples:name": 8}


# ---------------------------------------------------------------------- D9: timers
async def test_d9_two_timers_probe_a_deployment_once_in_a_window(azurite: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def ask(router: object, deployment: str) -> None:
        asked.append(deployment)

    monkeypatch.setattr(probing, "_ask", ask)
    monkeypatch.setattr(probing, "SPREAD_S", 0.0)
    async with on(azurite) as store:
        crew = [Instance(store) for _ in range(4)]
        window = NOW + 1e6 + Random(uuid4().hex).randrange(10**6) * 1000.0
        for late in (0.0, 0.0, 60.0):
            for me in crew:
                me.clock.at = window + late
                me.router.providers = [object()] * 3  # type: ignore[list-item]
            await asyncio.gather(*(probing.probe(me.sync) for me in crew))
        assert sorted(asked) == ["d0", "d1", "d2"]
        for me in crew:
            me.clock.at = window + 1800
        await asyncio.gather(*(probing.probe(me.sync) for me in crew))
        assert sorted(asked) == ["d0", "d0", "d1", "d1", "d2", "d2"], "late by half an hour: a new window"


# ---------------------------------------------------------------------- D10: clocks
class Skewed(MemoryTables):
    """The tables of others, from a process whose clock is behind theirs by `skew_s`."""

    def __init__(self, skew_s: float, of: MemoryTables) -> None:
        super().__init__()
        self.skew_s = skew_s
        self._tables, self._etags = of._tables, of._etags


@pytest.mark.parametrize("skew", [-300.0, 300.0, -3600.0])
async def test_d10_instances_with_wrong_clocks_decide_as_those_with_right_ones(skew: float) -> None:
    """Both pull what a third learned: the clock is told apart from the store's, so nothing looks old or in advance."""
    tables = MemoryTables()
    right, teacher = Instance(SharedStore(tables)), Instance(SharedStore(tables), name="t")
    wrong = Instance(SharedStore(Skewed(-skew, tables)))
    wrong.clock.at = NOW + skew
    rng = Random(5)
    for _ in range(40):
        for d in range(3):
            teacher.answer(model_s=0.4 + 0.3 * d + 0.1 * rng.random(), d=d)
    await teacher.sync.flush()
    await wrong.sync.merge()
    decisions = []
    for me in (right, wrong):
        await me.sync.pull()
        me.router.rng.seed(1)
        chosen = [me.router.route(max_latency_ms=3000) for _ in range(10_000)]
        decisions.append([decision.deployment if decision else None for decision in chosen])
    same = sum(a == b for a, b in zip(*decisions, strict=True))
    assert same >= 9_900
    assert wrong.samples == pytest.approx(40, rel=1e-3)


@pytest.mark.parametrize("skew", [-300.0, 300.0])
async def test_d10_instances_with_wrong_clocks_count_as_live_and_count_the_others(skew: float) -> None:
    """Their versions are of their own clock; what counts is the moment of their totals, which is the store's."""
    tables = MemoryTables()
    right, wrong = Instance(SharedStore(tables)), Instance(SharedStore(Skewed(-skew, tables)))
    wrong.clock.at = NOW + skew
    for me in (right, wrong):
        me.answer()
        await me.sync.flush()
    for me in (right, wrong):
        await me.sync.merge()
        for one in (right, wrong):
            await one.sync.pull()
            assert one.sync.live == 2
        right.clock.at += 10
        wrong.clock.at += 10


@pytest.mark.parametrize("skew", [-300.0, 300.0])
async def test_d10_the_skew_is_taken_from_the_answers_of_the_store(azurite: int, skew: float) -> None:
    tables = TableStorage(lambda: time.time() + skew, connection(azurite))
    assert await tables.names("nothing") == []
    assert tables.skew_s == pytest.approx(-skew, abs=2)
    await tables.close()


async def test_d10_an_answer_that_had_to_wait_is_no_wrong_clock(azurite: int) -> None:
    """For the way back, or for a turn of our own loop: it proves no more than that. The next one may prove more."""
    late = iter([0.0, 4.5])
    tables = TableStorage(lambda: time.time() + next(late, 4.5), connection(azurite))
    await tables.names("nothing")
    assert tables.skew_s == 0.0
    await tables.names("nothing")
    assert tables.skew_s == pytest.approx(-4.5, abs=1)
    await tables.close()


async def test_d10_what_is_more_than_a_minute_ahead_is_dropped(azurite: int, origin: str) -> None:
    async with on(azurite) as store:
        await store.flush(origin, "ahead", 1, {"a": learned(NOW + 61)}, NOW)
        await store.flush(origin, "right", 1, {"a": learned(NOW + 1)}, NOW)
        assert [total.instance for total in await store.flushed(origin, NOW)] == ["right"]
        assert store.rejected == {"samples:future": 1}


# ---------------------------------------------------------------------- F2: fleets
async def test_f2_regions_that_cannot_reach_each_other_serve_and_agree_again_soon(
    proxy: FaultProxy, azurite: int
) -> None:
    """Two windows of flush, merge and pull after the link is back, both know everything."""
    of = fleet(f"x{uuid4().hex[:8]}")
    async with on(azurite) as near, on(proxy.port) as far:
        here, there = Instance(near, of=of), Instance(far, of=of)
        here.clock.at = there.clock.at = time.time()
        await here.sync.refresh()
        await there.sync.refresh()
        before = there.samples
        await proxy.down()
        for _ in range(10):
            here.answer()
            there.answer()
        for me in (here, there):
            for pulse in (me.sync.flushing, me.sync.merging, me.sync.pulling):
                await pulse.beat()
        assert here.samples == pytest.approx(before + 10, rel=0.01)
        assert there.samples == pytest.approx(before + 10, rel=0.01)
        await proxy.up()
        for _ in range(2):
            for stage in ("flushing", "merging", "pulling"):  # both pull the same: totals in doubt are written again
                for me in (here, there):
                    await getattr(me.sync, stage).beat()
        assert here.samples == there.samples == pytest.approx(before + 20, rel=0.01)


def test_the_tables_of_samples_are_those_of_two_days() -> None:
    assert keys.is_past_retention(keys.samples_table(NOW - 4 * 86_400), NOW)
    assert not keys.is_past_retention(keys.samples_table(NOW - 86_400), NOW)

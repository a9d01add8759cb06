"""How often instances share: by how many they are, by whether anybody asks them, and never by how many requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from routing.engine import merge, regions
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.engine.sync import IDLE_PULL_S, OLD_S
from routing.ports import Profiles
from routing.store import keys
from routing.store.memory import MemoryTables
from routing.store.shared import FORGET_S, SharedStore
from tests.faults.virtual import VirtualClock, run
from tests.store.away import Away
from tests.store.instances import Instance
from tests.store.learned import NOW, learned
from tests.unit.fleets import deployment, fleet


def test_a_region_is_counted_until_its_profiles_are_forgotten() -> None:
    assert regions.GONE_S == FORGET_S


async def of_many(instances: int, origin: str = "eastus") -> Instance:
    """One that has pulled, of so many whose flushes all have news of fifty deployments."""
    of = fleet(*(deployment(f"d{n}") for n in range(50)))
    me = Instance(SharedStore(MemoryTables()), origin, of)
    merged = Profiles("eastus", NOW, {}, {d.id: learned() for d in of.deployments}, live=instances)
    assert await me.sync.store.publish(merged, None)
    await me.sync.pull()
    return me


@pytest.mark.parametrize("instances", [1, 10, 32, 100, 1000])
async def test_together_instances_stay_below_what_a_partition_and_an_account_take(instances: int) -> None:
    """Instances are spread over shards by the hash of a random name: chance may put many of few into one."""
    me = await of_many(instances)
    for d in range(50):
        me.answer(d=d)
    await me.sync.flush()
    period = me.sync.flush_period()
    assert instances * 50 / period <= 2_000
    rng = Random(instances)
    for _ in range(20):
        shards = Counter(keys.shard(f"{rng.getrandbits(64):016x}") for _ in range(instances))
        assert max(shards.values()) * 50 / period < 300
    assert period >= FLUSH_S
    assert instances * 50 / me.sync.pull_period() < 2_000, "a partition of profiles is read by everybody"
    assert me.sync.pull_period() >= PULL_S
    assert instances > 1 or FLUSH_S + MERGE_S + PULL_S <= 20


@pytest.mark.parametrize(("instances", "merges"), [(1, 12), (30, 12), (1000, 3)])
async def test_merges_are_as_rare_as_flushes_make_them(instances: int, merges: int) -> None:
    """The timer comes twelve times a minute, to an instance that writes nothing; a merge reads what others wrote."""
    timer, done = await of_many(instances, "westus"), 0
    for _ in range(12):
        timer.clock.at += MERGE_S
        if await timer.sync.merge():
            done += 1
            await timer.sync.pull()
    assert done == merges


async def test_instances_are_counted_from_the_profiles(shared: SharedStore) -> None:
    crew = [Instance(shared, origin) for origin in ("eastus", "eastus", "westus")]
    for me in crew:
        me.answer()
        await me.sync.flush()
    for me in crew:
        await me.sync.merge()
    await crew[0].sync.pull()
    assert crew[0].sync.live == 3


async def test_instances_are_counted_on_where_merges_have_stopped() -> None:
    """If they believed to be alone, a thousand of them would write 25,000 rows a second."""
    me = await of_many(1000)
    period = me.sync.writers_period()
    for later in (60.0, 400.0, 86_400.0):
        me.clock.at = NOW + later
        await me.sync.pull()
        assert (me.sync.live, me.sync.writers_period()) == (1000, period)


async def test_another_region_is_counted_until_nobody_has_merged_there_for_two_hours() -> None:
    me = await of_many(200, "westus")
    for later, counted in ((regions.GONE_S - 60.0, 200), (regions.GONE_S, 1)):
        me.clock.at = NOW + later
        await me.sync.pull()
        assert me.sync.live == counted


async def test_an_instance_that_stopped_writing_is_counted_no_more(shared: SharedStore) -> None:
    crew = [Instance(shared) for _ in range(3)]
    for me in crew:
        me.answer()
        await me.sync.flush()
    for me in crew:
        me.clock.at += merge.LIVE_S + 1
    crew[1].answer()
    await crew[1].sync.flush()
    await crew[0].sync.merge()
    await crew[0].sync.pull()
    assert crew[0].sync.live == 1


async def test_instances_that_flush_rarely_because_they_are_many_are_all_counted() -> None:
    """At 1,000 instances and 50 deployments a flush comes each minute: one that missed three of them still lives."""
    me = await of_many(1000)
    assert me.sync.live_s() >= 4 * me.sync.writers_period() > merge.LIVE_S


async def test_profiles_that_nobody_merges_are_told_once_a_minute(
    shared: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where there never were any: the timer may never have run."""
    shared.shared = True
    merged, never = Instance(shared, "eastus"), Instance(shared, "westus")
    await merged.sync.refresh()
    for second in range(0, 200, 5):
        for me in (merged, never):
            me.clock.at = NOW + second
            await me.sync.pull()
    told = [record.getMessage() for record in caplog.records if "profiles are" in record.getMessage()]
    assert told == [f"the shared profiles are {age} s old: does the timer refresh_profiles run?"
                    for age in (65, 65, 125, 125, 185, 185)]  # fmt: skip


@pytest.mark.parametrize(("instances", "old_s"), [(1, OLD_S), (30, OLD_S), (1000, 3 * (62.5 / 3 + 100 / 3))])
async def test_profiles_are_old_after_three_rounds_of_what_there_should_be(instances: int, old_s: float) -> None:
    me = await of_many(instances)
    assert me.sync.old_s() == pytest.approx(old_s)


async def test_profiles_that_are_as_old_as_many_instances_make_them_are_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    me = await of_many(1000)
    me.sync.store.shared = True
    for second in range(0, 200, 5):
        me.clock.at = NOW + second
        await me.sync.pull()
    told = [record.getMessage() for record in caplog.records if "profiles are" in record.getMessage()]
    assert [text[:31] for text in told] == ["the shared profiles are 165 s o"]


async def test_an_instance_that_was_idle_and_is_asked_again_pulls_at_once(tables: Away, shared: SharedStore) -> None:
    """Before its news are flushed: it chooses by what it knows, which may be half a minute old."""
    me = Instance(shared)
    me.clock.at += me.sync.live_s() + 1
    await me.sync.pull()
    assert (me.sync.idle(me.clock.at), me.sync.look_period()) == (True, PULL_S)
    before = tables.calls
    await me.sync.pull()
    assert tables.calls == before
    me.answer()
    await me.sync.pull()
    assert tables.calls > before


def test_an_idle_instance_pulls_every_half_minute_and_not_every_minute() -> None:
    pulled: list[float] = []

    async def main() -> None:
        me = await of_many(1000)
        me.router.clock = VirtualClock()
        read = me.sync._pull.take_news

        async def counted(store: SharedStore) -> None:
            pulled.append(asyncio.get_running_loop().time())
            await read(store)

        me.sync._pull.take_news = counted  # type: ignore[assignment, method-assign]
        me.sync._flush.news_at -= 3600
        me.sync.start()
        await asyncio.sleep(600)
        await me.sync.stop()

    run(main())
    spans = [b - a for a, b in pairwise(pulled)]
    assert len(spans) > 15
    assert all(IDLE_PULL_S - PULL_S <= span <= IDLE_PULL_S + PULL_S for span in spans)

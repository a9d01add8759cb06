"""Flush, merge and pull: what one instance measured the next one knows, exactly once, whatever happens in between."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

import pytest

from routing.engine import homes
from routing.errors import StoreUnavailable
from routing.latency.news import MOST_UNMERGED
from routing.latency.profile import profiles
from routing.latency.sums import COLUMNS, TAU_S, WIDE_N
from routing.store import bounds, keys
from routing.store.shared import SharedStore
from tests.store.away import Away
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import deployment, fleet


def test_the_codec_knows_as_many_sums_as_the_tracker_keeps() -> None:
    assert bounds.COLUMNS == COLUMNS == len(TAU_S)


async def test_what_one_measured_the_next_one_knows(shared: SharedStore) -> None:
    me, other = Instance(shared), Instance(shared)
    for _ in range(10):
        other.answer(model_s=3.0)
    before = me.tracker.beliefs[0].level
    await other.sync.flush()
    await me.sync.merge()
    await me.sync.pull()
    assert me.samples == pytest.approx(10)
    assert me.tracker.beliefs[0].level > before + 1
    row = profiles(me.tracker, NOW)[0]
    assert row.source == "measured"
    assert row.samples == pytest.approx(10)
    assert row.ttft_p50_ms == pytest.approx(3020, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
async def test_every_sample_counts_once_in_any_order_of_the_stages(shared: SharedStore, seed: int) -> None:
    """Two instances, their timers and lost answers, at random: whoever has pulled knows its own samples exactly."""
    rng, crew = Random(seed), [Instance(shared), Instance(shared)]
    learned = [0, 0]
    for step in range(60):
        who = rng.randrange(2)
        me = crew[who]
        me.clock.at = NOW + step * 1e-3
        match rng.choice(("answer", "flush", "lost", "merge", "pull")):
            case "answer":
                me.answer()
                learned[who] += 1
            case "flush":
                await me.sync.flush()
            case "lost":
                shared.tables.lost = True  # type: ignore[attr-defined]
                await me.sync.flushing.beat()
                shared.tables.lost = False  # type: ignore[attr-defined]
            case "merge":
                await me.sync.merge()
            case "pull":
                await me.sync.pull()
        assert me.samples >= learned[who] - 1e-2
        assert me.samples <= sum(learned) + 1e-2
    for me in crew:
        me.clock.at = NOW + 1
        await me.sync.flush()
    for me in crew:
        await me.sync.merge()
        await me.sync.pull()
        assert me.samples == pytest.approx(sum(learned), rel=0.02)


async def test_a_merge_that_runs_twice_late_or_on_two_instances_changes_nothing(shared: SharedStore) -> None:
    me, other = Instance(shared), Instance(shared)
    me.answer()
    other.answer()
    await me.sync.flush()
    await other.sync.flush()
    await me.sync.merge()
    await asyncio.gather(me.sync.merge(), other.sync.merge(), me.sync.merge())
    await me.sync.pull()
    assert me.samples == pytest.approx(2)
    for one in (me, other):
        one.clock.at = NOW + 1800
    await other.sync.merge()
    await me.sync.pull()
    assert me.samples == pytest.approx(2 * math.exp(-1800 / 60)), "late: faded as if it had been on time"
    assert profiles(me.tracker, NOW + 1800)[0].samples == pytest.approx(2 * math.exp(-3), rel=0.01)


async def test_what_a_dead_instance_learned_stays(shared: SharedStore) -> None:
    dead, heir = Instance(shared), Instance(shared)
    dead.answer()
    await dead.sync.flush()
    dead.answer()  # never flushed: the one thing that is lost
    await heir.sync.merge()
    await heir.sync.pull()
    assert heir.samples == pytest.approx(1)


async def test_a_process_that_starts_again_adds_to_what_it_learned_before(shared: SharedStore) -> None:
    """Its totals begin at nothing: under the old process's name they would replace what that one had learned."""
    first, second = Instance(shared), Instance(shared)
    for me in (first, second):
        me.answer()
        await me.sync.flush()
    await second.sync.merge()
    await second.sync.pull()
    assert second.samples == pytest.approx(2)


# ---------------------------------------------------------------------- regions
async def test_two_regions_at_20_and_120_ms_agree_on_the_model_part(shared: SharedStore) -> None:
    near, far = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    for _ in range(30):
        near.answer(model_s=0.8, network_s=0.020)
        far.answer(model_s=0.8, network_s=0.120)
    for stage in ("flush", "merge", "pull"):
        for me in (near, far):
            await getattr(me.sync, stage)()
    parts = [profiles(me.tracker, NOW)[0] for me in (near, far)]
    assert parts[0].model_ttft_ms == pytest.approx(parts[1].model_ttft_ms, rel=0.1)
    assert [row.network_ms for row in parts] == pytest.approx([20, 120])
    assert parts[1].ttft_p50_ms == pytest.approx(920, rel=0.05), "what is observed includes the region's own network"
    assert [row.samples for row in parts] == [30, 30]
    assert near.samples == far.samples == pytest.approx(60), "the model's part is from both"


async def test_a_region_without_samples_takes_the_model_part_of_others_and_its_own_distance(
    shared: SharedStore,
) -> None:
    busy, idle = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    for _ in range(30):
        busy.answer(model_s=2.0, network_s=0.002)
    await busy.sync.refresh()
    await idle.sync.refresh()
    row = profiles(idle.tracker, NOW)[0]
    assert (row.source, row.samples, row.ttft_p50_ms, row.age_s) == ("prior", 0, None, None)
    assert row.model_samples == pytest.approx(30)
    assert row.model_ttft_ms == pytest.approx(profiles(busy.tracker, NOW)[0].model_ttft_ms)
    assert row.network_ms == pytest.approx(idle.tracker.fleet.rtt_ms("swedencentral", "eastus"), abs=0.01)


async def test_a_round_trip_is_shared_within_a_region_and_not_passed_on_for_ever(shared: SharedStore) -> None:
    measured, mute = Instance(shared), Instance(shared)
    measured.answer(network_s=0.05)
    mute.tracker.sent(0, NOW, 0.1)
    await measured.sync.refresh()
    await mute.sync.refresh()
    assert mute.tracker.net_s[0] == 0.05
    rows = await shared.flushed("eastus", NOW)
    assert {t.instance: t.learned.round_trip_s for t in rows} == {
        measured.sync.instance: 0.05,
        mute.sync.instance: None,
    }


async def test_deployments_that_are_not_in_the_fleet_are_skipped_and_counted(shared: SharedStore) -> None:
    newer = Instance(shared, of=fleet(deployment("d0"), deployment("new")))
    newer.answer(d=0)
    newer.answer(d=1)
    await newer.sync.refresh()
    me = Instance(shared)
    await me.sync.pull()
    assert me.samples == pytest.approx(1)
    for _ in range(3):
        await me.sync.pull()
        assert me.sync.unknown == 1, "a state, not a number that rises for ever"


# ---------------------------------------------------------------------- a store that is away
async def test_an_outage_of_any_length_loses_nothing_and_takes_no_memory(tables: Away, shared: SharedStore) -> None:
    me, other = Instance(shared), Instance(shared)
    tables.away = True
    for n in range(200):
        me.clock.at = NOW + n * 1e-3
        me.answer()
        await me.sync.flushing.beat()
        await me.sync.pulling.beat()
    assert me.samples == pytest.approx(200, rel=0.01), "served from memory"
    assert not me.sync.available
    assert me.tracker.own.unmerged <= MOST_UNMERGED * 3
    tables.away = False
    other.clock.at = me.clock.at = NOW + 1
    await me.sync.flushing.beat()
    await other.sync.refresh()
    assert other.samples == pytest.approx(200, rel=0.03)
    await me.sync.pulling.beat()
    assert me.sync.available
    assert me.samples == pytest.approx(200, rel=0.03)


async def test_a_lost_answer_is_written_again_and_counted_once(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    me.answer()
    tables.lost = True
    with pytest.raises(StoreUnavailable):
        await me.sync.flush()
    tables.lost = False
    await me.sync.flush()
    await me.sync.merge()
    await me.sync.pull()
    assert me.samples == pytest.approx(1, rel=1e-3)
    assert len(await shared.flushed("eastus", NOW)) == 1


async def test_an_older_total_is_never_written_over_a_newer_one(tables: Away, shared: SharedStore) -> None:
    """The timer and the background flush at once, and the first write is the slower one."""
    me, gate, write = Instance(shared), asyncio.Event(), tables.upsert

    async def slow(*args: Any) -> None:
        tables.upsert = write  # type: ignore[method-assign]
        await gate.wait()
        await write(*args)

    tables.upsert = slow  # type: ignore[method-assign]
    me.answer()
    first = asyncio.create_task(me.sync.flush())
    await asyncio.sleep(0)
    me.answer()
    second = asyncio.create_task(me.sync.flush())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, second)
    assert [round(total.learned.sums[WIDE_N]) for total in await shared.flushed("eastus", NOW)] == [2]


async def test_no_news_no_write(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    me.answer()
    await me.sync.flush()
    before = tables.calls
    await me.sync.flush()
    assert tables.calls == before


async def test_writes_do_not_depend_on_the_number_of_requests(tables: Away, shared: SharedStore) -> None:
    calls = []
    for requests in (1, 1000):
        me, before = Instance(shared), tables.calls
        for _ in range(requests):
            me.answer()
        await me.sync.refresh()
        calls.append(tables.calls - before)
    assert calls[0] == calls[1]


async def test_a_timer_merges_and_pulls_though_its_own_flush_fails(tables: Away, shared: SharedStore) -> None:
    timer, other = Instance(shared), Instance(shared)
    other.answer()
    await other.sync.flush()
    timer.answer()
    write = tables.upsert

    async def refuses(table: str, *a: Any) -> None:
        if table.startswith(keys.SAMPLES):
            raise StoreUnavailable("samples are throttled")
        await write(table, *a)

    tables.upsert = refuses  # type: ignore[method-assign]
    await timer.sync.refresh()
    assert timer.sync.flushing.failures == 1
    assert timer.samples == pytest.approx(2), "its own, and what it has merged"


async def test_a_timer_that_comes_too_soon_after_a_failure_leaves_the_store_alone(
    tables: Away, shared: SharedStore
) -> None:
    timer = Instance(shared)
    tables.away = True
    await timer.sync.refresh()
    calls = tables.calls
    await timer.sync.refresh()
    assert tables.calls == calls
    assert timer.sync.merging.counts == {"unavailable": 1}


async def test_a_region_whose_head_is_gone_keeps_what_is_known_and_it_is_counted(shared: SharedStore) -> None:
    me = Instance(shared)
    for _ in range(10):
        me.answer()
    await me.sync.refresh()
    await shared.tables.drop(keys.PROFILES)
    await me.sync.pull()
    assert me.samples == pytest.approx(10)
    assert me.sync.merged_at == NOW
    assert shared.rejected == {"profiles:no_head": 1}


async def test_a_dead_instances_round_trip_is_forgotten_after_ten_minutes(shared: SharedStore) -> None:
    dead, me, fresh = Instance(shared), Instance(shared), Instance(shared)
    dead.answer(network_s=0.02)
    await dead.sync.flush()
    for me.clock.at in (NOW, NOW + 601):
        me.answer(network_s=0.12)
    await me.sync.flush()
    fresh.clock.at = me.clock.at
    await me.sync.merge()
    await fresh.sync.pull()
    assert fresh.tracker.net_s[0] == 0.12


# ---------------------------------------------------------------------- homes
async def test_a_user_is_at_home_for_every_region(shared: SharedStore) -> None:
    here, there = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    here.router.affinity.settle("u", "eastus")
    await here.sync.homes()
    assert there.router.affinity.home("u") is None, "not known yet: the request does not wait"
    await there.sync.homes()
    assert there.router.affinity.home("u") == "eastus"


async def test_two_regions_that_saw_a_user_first_agree(shared: SharedStore) -> None:
    here, there = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    here.router.affinity.settle("u", "eastus")
    there.router.affinity.settle("u", "swedencentral")
    await here.sync.homes()
    await there.sync.homes()
    assert {me.router.affinity.home("u") for me in (here, there)} == {"eastus"}


async def test_a_user_who_leaves_takes_the_home_along(shared: SharedStore) -> None:
    here, there = Instance(shared, "eastus"), Instance(shared, "swedencentral")
    here.router.affinity.settle("u", "eastus")
    await here.sync.homes()
    here.router.affinity.settle("u", "westus")
    await here.sync.homes()
    there.router.affinity.home("u")
    await there.sync.homes()
    assert there.router.affinity.home("u") == "westus"


async def test_the_store_is_told_of_changes_only(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    for _ in range(100):
        me.router.affinity.settle("u", "eastus")
        await me.sync.homes()
        me.router.affinity.home("u", NOW)
    assert tables.calls == 2, "one insert, which reads once itself"


async def test_errands_are_run_side_by_side_and_not_all_at_once(shared: SharedStore) -> None:
    """32 homes one after another, each with two ways to the store and back, would take longer than their beat."""
    me, read, at_once, most = Instance(shared), shared.tables.get, 0, 0

    async def far(*a: Any, **k: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return await read(*a, **k)

    shared.tables.get = far  # type: ignore[method-assign]
    for n in range(homes.ERRANDS):
        me.router.affinity.settle(f"aa-{n}", "eastus")
    await me.sync.homes()
    assert me.router.affinity.waiting == 0
    assert most == homes.ERRANDS_AT_ONCE


async def test_errands_wait_while_the_store_is_away(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    me.router.affinity.settle("u", "eastus")
    tables.away = True
    for _ in range(3):
        await me.sync.homing.beat()
    assert me.router.affinity.waiting == 1
    assert me.router.affinity.home("u") == "eastus", "kept locally"
    tables.away = False
    await me.sync.homing.beat()
    assert (await shared.home("u", None, None, NOW) or ("",))[0] == "eastus"

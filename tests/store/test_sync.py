"""Flush, merge and pull: what one instance measured the next one knows, exactly once, whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
import math
from random import Random
from typing import Any

import pytest

from routing.engine import homes, merge, periods
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.engine.pulse import LONGEST_S, Pulse
from routing.engine.sync import Sync
from routing.errors import StoreUnavailable
from routing.latency.profile import profiles
from routing.latency.sums import COLUMNS, TAU_S, WIDE_N
from routing.ports import Override, Profiles
from routing.store import bounds, keys
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.faults.virtual import run
from tests.harness.eventually import eventually
from tests.store.instances import Instance
from tests.store.learned import NOW, learned
from tests.unit.fleets import deployment, fleet


class Away(MemoryTables):
    """Tables that can be out of reach."""

    away = False
    blocked = "no table"  # whose name begins so is out of reach
    lost = False  # writes are done, and their answers lost
    calls = 0

    async def upsert(self, *a: Any, **k: Any) -> None:
        self._call(a[0])
        await super().upsert(*a, **k)
        if self.lost:
            raise StoreUnavailable("the answer was lost")

    async def get(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().get(*a, **k)

    async def query(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().query(*a, **k)

    async def scan(self, *a: Any, **k: Any) -> Any:
        self._call(a[0])
        return await super().scan(*a, **k)

    def _call(self, table: str) -> None:
        self.calls += 1
        if self.away or table.startswith(self.blocked):
            raise StoreUnavailable("away")


@pytest.fixture
def tables() -> Away:
    return Away()


@pytest.fixture
def shared(tables: Away) -> SharedStore:
    return SharedStore(tables)


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
    assert len(me.tracker._unmerged) <= 17
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


async def of_many(instances: int, origin: str = "eastus") -> Instance:
    """One that has pulled, of so many whose flushes all have news of fifty deployments."""
    of = fleet(*(deployment(f"d{n}") for n in range(50)))
    me = Instance(SharedStore(MemoryTables()), origin, of)
    merged = Profiles("eastus", NOW, {}, {d.id: learned() for d in of.deployments}, live=instances)
    assert await me.sync.store.publish(merged, None)
    await me.sync.pull()
    return me


@pytest.mark.parametrize("instances", [1, 10, 100, 1000])
async def test_together_instances_stay_below_what_a_partition_and_an_account_take(instances: int) -> None:
    """Instances are spread over shards by the hash of a random name."""
    me = await of_many(instances)
    for d in range(50):
        me.answer(d=d)
    await me.sync.flush()
    period = me.sync.flush_period()
    assert instances * 50 / period <= 2_000
    rng = Random(instances)
    busiest = [0] * keys.SHARDS
    for _ in range(instances):
        busiest[keys.shard(f"{rng.getrandbits(64):016x}")] += 1
    assert max(busiest) * 50 / period < 100
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
    crew[0].clock.at += merge.LIVE_S + 1
    await crew[0].sync.pull()
    assert crew[0].sync.live == 1


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


# ---------------------------------------------------------------------- orders
async def test_an_order_is_obeyed_and_lifted_again(shared: SharedStore) -> None:
    me = Instance(shared)
    usual = me.router.view.slots.limits[0], me.router.view.quota.nominal[0]
    await shared.order(Override("d0", "ops", NOW + 60, "drain", weight=0.5, limit=3), NOW)
    await me.sync.obey()
    assert (me.router.view.slots.limits[0], me.router.view.quota.nominal[0]) == (3, usual[1] / 2)
    decision = me.router.route()
    assert decision is not None
    assert decision.excluded["d0"].startswith("drain by ops until 20")
    await shared.lift("d0")
    await me.sync.obey()
    assert (me.router.view.slots.limits[0], me.router.view.quota.nominal[0]) == usual


async def test_a_drained_deployment_is_the_last_resort_and_a_disabled_one_is_none(shared: SharedStore) -> None:
    me = Instance(shared, of=fleet(deployment("only")))
    await shared.order(Override("only", "ops", NOW + 60, "drain"), NOW)
    await me.sync.obey()
    decision = me.router.route()
    assert decision is not None
    assert (decision.deployment, decision.reason) == ("only", "only_candidate")
    await shared.order(Override("only", "ops", NOW + 60, "disable"), NOW)
    await me.sync.obey()
    assert me.router.route() is None


async def test_the_last_known_order_survives_an_outage_until_it_expires(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    await me.sync.obey()
    tables.away = True
    for at, obeyed in ((NOW + 59, True), (NOW + 61, False)):
        me.clock.at = at
        await me.sync.ordering.beat()
        assert (0 in me.router.view.orders) is obeyed
    assert me.sync.ordering.counts["unavailable"] == 2


async def test_an_order_is_obeyed_while_the_profiles_cannot_be_read(tables: Away, shared: SharedStore) -> None:
    """The switch that takes a deployment out must not depend on anything else."""
    me = Instance(shared)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    tables.blocked = keys.PROFILES
    await me.sync.refresh()
    assert me.sync.pulling.counts == {"unavailable": 1}
    assert list(me.router.view.orders) == [0]


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


# ---------------------------------------------------------------------- the rhythm
async def failing() -> None:
    raise StoreUnavailable("away")


@pytest.fixture
def pulse() -> Pulse:
    return Pulse("p", failing, lambda: 5.0, Random(3))


async def test_a_failing_stage_backs_off_to_a_minute_with_jitter(pulse: Pulse) -> None:
    pauses = []
    for _ in range(30):
        await pulse.beat()
        pauses.append(pulse.pause())
    assert pulse.counts == {"unavailable": 30}
    assert max(pauses) <= LONGEST_S
    assert len({round(p, 3) for p in pauses[10:]}) > 15, "never in step"
    assert 8 <= pauses[0] <= 12
    assert min(pauses[10:]) >= 30


def test_stages_of_instances_that_start_together_do_not_begin_together() -> None:
    """A hundred processes of one deployment: no tenth of a period has the first flush of a quarter of them."""
    begun: list[float] = []

    async def main() -> None:
        async def work() -> None:
            begun.append(asyncio.get_running_loop().time())

        crew = [asyncio.create_task(Pulse("p", work, lambda: 5.0, Random(seed)).run()) for seed in range(100)]
        await asyncio.sleep(5.0)
        for one in crew:
            one.cancel()

    run(main())
    first = begun[:100]
    assert max(sum(n / 2 <= at < (n + 1) / 2 for at in first) for n in range(10)) < 25


async def test_a_fault_of_our_own_is_logged_and_does_not_end_the_sharing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    pulse = Pulse("merge", broken, lambda: 5.0, Random(3))
    with caplog.at_level(logging.ERROR):
        await pulse.beat()
    assert pulse.counts == {"fault": 1}
    assert "merge failed; it goes on" in caplog.text


async def test_stages_run_by_themselves_until_they_are_stopped(
    shared: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periods, "FLUSH_S", 1e-3)
    monkeypatch.setattr(periods, "PULL_S", 1e-3)
    me = Instance(shared)
    me.answer()
    me.sync.start()
    me.sync.start()
    await eventually(lambda: me.sync.flushing.counts["ok"] > 1 and me.sync.pulling.counts["ok"] > 1)
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("sync-")]
    assert len(tasks) == 4
    await me.sync.stop()
    assert all(task.done() for task in tasks)
    assert len(await shared.flushed("eastus", NOW)) == 1
    assert isinstance(me.sync, Sync)

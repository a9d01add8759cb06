"""The rhythm of a stage: it goes on whatever fails, tells how, and ends only when it is told to."""

from __future__ import annotations

import asyncio
import logging
from random import Random

import pytest

from routing.engine import periods
from routing.engine.pulse import LONGEST_S, Pulse
from routing.engine.sync import Sync
from routing.errors import StoreUnavailable
from routing.ports import Override, Profiles
from routing.store.shared import SharedStore
from tests.faults.virtual import run
from tests.harness.eventually import eventually
from tests.store.away import Away
from tests.store.instances import Instance
from tests.store.learned import NOW


async def failing() -> None:
    raise StoreUnavailable("away")


async def refused(profiles: Profiles, replaces: str | None) -> bool:
    return False


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


async def test_a_call_that_was_cancelled_below_does_not_end_the_sharing(caplog: pytest.LogCaptureFixture) -> None:
    """The same error as if the stage itself were told to end, but it was not."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    pulse = Pulse("orders", cancelled, lambda: 5.0, Random(3))
    with caplog.at_level(logging.ERROR):
        await pulse.beat()
    assert pulse.counts == {"fault": 1}
    assert "orders failed; it goes on" in caplog.text


async def test_a_stage_that_is_told_to_end_ends() -> None:
    waits = asyncio.Event()
    pulse = Pulse("orders", waits.wait, lambda: 5.0, Random(3))
    beat = asyncio.create_task(pulse.beat())
    await asyncio.sleep(0)
    beat.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beat
    assert not pulse.counts


async def test_a_stage_that_somebody_has_ended_begins_anew(shared: SharedStore) -> None:
    me = Instance(shared)
    me.sync.start()
    ended = me.sync._tasks["orders"]
    ended.cancel()
    await asyncio.gather(ended, return_exceptions=True)
    me.sync.start()
    assert not any(task.done() for task in me.sync._tasks.values())
    await me.sync.stop()


async def test_a_merge_of_which_nothing_was_published_is_told_apart(shared: SharedStore) -> None:
    me = Instance(shared)
    publish, me.sync.store.publish = shared.publish, refused  # type: ignore[method-assign]
    await me.sync.merging.beat()
    assert me.sync.merging.counts == {"skipped": 1}
    me.sync.store.publish = publish  # type: ignore[method-assign]
    await me.sync.merging.beat()
    assert me.sync.merging.counts == {"skipped": 1, "ok": 1}


async def test_a_fault_of_our_own_is_not_told_as_a_store_that_is_away(tables: Away, shared: SharedStore) -> None:
    me, read = Instance(shared), shared.overrides

    async def broken(now: float) -> list[Override]:
        raise ZeroDivisionError

    shared.overrides = broken  # type: ignore[method-assign]
    await me.sync.ordering.beat()
    assert (me.sync.available, me.sync.faults) == (True, ["orders"])
    shared.overrides, tables.away = read, True  # type: ignore[method-assign]
    await me.sync.ordering.beat()
    assert (me.sync.available, me.sync.faults) == (False, [])
    tables.away = False
    await me.sync.ordering.beat()
    assert (me.sync.available, me.sync.faults) == (True, [])


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

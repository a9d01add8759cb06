"""When timers fire: on a clock that moves only while the timer sleeps or its function runs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.host.app import AppFault, Function
from local.host.timers import LONGEST_SLEEP_S, Timer, run


def timer(schedule: str, **trigger: Any) -> Timer:
    return Timer.of(
        Function("id", "f", {"type": "timerTrigger", "schedule": schedule, **trigger}), {"NAME": "0 * * * *"}
    )


class World:
    """A clock, and a function that takes `durations_s[i]` in its i-th run, after the last of which the test ends."""

    def __init__(self, now: str, durations_s: list[float]) -> None:
        self.now = datetime.fromisoformat(now).replace(tzinfo=UTC)
        self.durations_s = durations_s
        self.runs: list[tuple[str, Any]] = []
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    async def fire(self, _function: Function, timer_json: str) -> None:
        if len(self.runs) == len(self.durations_s):
            raise asyncio.CancelledError
        self.runs.append((f"{self.now:%H:%M:%S}", json.loads(timer_json)["ScheduleStatus"]))
        self.now += timedelta(seconds=self.durations_s[len(self.runs) - 1])

    async def times(self, timer: Timer) -> list[str]:
        with pytest.raises(asyncio.CancelledError):
            await run(timer, self.fire, lambda: self.now, self.sleep)
        return [time for time, _ in self.runs]


async def test_it_fires_at_each_occurrence() -> None:
    world = World("2026-11-24 06:04:58", [1, 1, 1])
    assert await world.times(timer("0 */5 * * * *")) == ["06:05:00", "06:10:00", "06:15:00"]


async def test_run_on_startup_comes_first_and_does_not_move_the_schedule() -> None:
    world = World("2026-11-24 06:04:58", [1, 1])
    assert await world.times(timer("0 */5 * * * *", runOnStartup=True)) == ["06:04:58", "06:05:00"]


async def test_occurrences_that_pass_during_a_run_are_made_up_for_once() -> None:
    world = World("2026-11-24 06:04:58", [11 * 60, 1, 1])
    assert await world.times(timer("0 */5 * * * *")) == ["06:05:00", "06:16:00", "06:20:00"]


async def test_the_function_gets_the_last_and_the_next_time() -> None:
    world = World("2026-11-24 06:04:58", [1, 1])
    await world.times(timer("0 */5 * * * *"))
    (_, first), (_, second) = world.runs
    assert first["Last"] == "0001-01-01T00:00:00+00:00"
    assert first["Next"] == second["Last"] == second["LastUpdated"] == "2026-11-24T06:05:00+00:00"
    assert second["Next"] == "2026-11-24T06:10:00+00:00"


@pytest.mark.parametrize(("schedule", "trigger"), [("*/10 * * * * *", {}), ("0 */5 * * * *", {"useMonitor": False})])
async def test_without_a_monitor_there_is_no_status(schedule: str, trigger: dict[str, Any]) -> None:
    world = World("2026-11-24 06:04:58", [1])
    await world.times(timer(schedule, **trigger))
    assert world.runs[0][1] is None


async def test_a_long_wait_looks_at_the_clock_again_and_again() -> None:
    """A clock that jumps, for instance after a laptop's sleep, delays a timer by one short sleep at most."""
    world = World("2026-11-24 06:00:00", [1])
    assert await world.times(timer("%NAME%")) == ["07:00:00"]
    assert max(world.sleeps) == LONGEST_SLEEP_S


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("%OTHER%", "function f: schedule: the setting OTHER is not set"),
        ("* * *", "function f: schedule: '[*] [*] [*]' has 3 fields"),
        ("00:05:00", "function f: schedule: '00:05:00' has 1 fields"),
    ],
)
def test_a_schedule_at_fault_is_named(schedule: str, fault: str) -> None:
    with pytest.raises(AppFault, match=fault):
        timer(schedule)

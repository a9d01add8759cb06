"""Timer triggers: when they fire and what their function gets, as the Functions host does it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from local.host.app import AppFault, Function
from local.host.ncrontab import Schedule

NEVER = datetime.min.replace(tzinfo=UTC)  # .NET's default, for a time that has not been
LONGEST_SLEEP_S = 30.0  # then the clock is read again, because it can jump: a suspended laptop, a corrected clock

type Fire = Callable[[Function, str], Awaitable[None]]
type Clock = Callable[[], datetime]
type Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Timer:
    """A function with a timer trigger."""

    function: Function
    schedule: Schedule
    run_on_startup: bool
    monitored: bool  # whether the function is told its ScheduleStatus

    @classmethod
    def of(cls, function: Function, settings: Mapping[str, str]) -> Self:
        """Read the trigger; `%NAME%` in its schedule stands for a setting. Raises AppFault that names the function."""
        trigger = function.trigger
        try:
            schedule = Schedule.parse(_resolved(str(trigger.get("schedule", "")), settings))
        except ValueError as e:
            raise AppFault(f"function {function.name}: schedule: {e}") from e
        monitored = trigger.get("useMonitor") is not False and not schedule.sub_minute
        return cls(function, schedule, bool(trigger.get("runOnStartup")), monitored)


async def run(timer: Timer, fire: Fire, clock: Clock, sleep: Sleep) -> None:
    """Fire at each occurrence, for ever, one at a time.

    Occurrences that pass while the function still runs are made up for once, right after it: as in the Functions host
    the next one counts from the moment at which the function was started.
    """
    last, due = NEVER, timer.schedule.after(clock())
    if not timer.run_on_startup:
        await _until(due, clock, sleep)
    while True:
        started = clock()
        await fire(timer.function, timer_json(last, due, monitored=timer.monitored))
        last, due = started, timer.schedule.after(started)
        await _until(due, clock, sleep)


def timer_json(last: datetime, due: datetime, *, monitored: bool) -> str:
    """What the function gets. Without a store of past runs, as here, no run is ever past due."""
    status = {"Last": last.isoformat(), "Next": due.isoformat(), "LastUpdated": last.isoformat()}
    return json.dumps(
        {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status if monitored else None, "IsPastDue": False}
    )


async def _until(due: datetime, clock: Clock, sleep: Sleep) -> None:
    while (wait_s := (due - clock()).total_seconds()) > 0:
        await sleep(min(wait_s, LONGEST_SLEEP_S))


def _resolved(schedule: str, settings: Mapping[str, str]) -> str:
    name = re.fullmatch("%(.*)%", schedule)
    if name is None:
        return schedule
    if name[1] not in settings:
        raise ValueError(f"the setting {name[1]} is not set")
    return settings[name[1]]

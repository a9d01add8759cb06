"""NCRONTAB, the schedules of timer triggers: parsing and the next occurrence. Pure: `now` is an argument.

The grammar is that of NCrontab, the library behind the Functions host: `second minute hour day month day-of-week`, or
five fields without seconds. A field is a list of `*`, `a` and `a-b`, each with an optional step `/n`; `a/n` runs from
`a` to the field's end, and a range whose ends are swapped means the same range. Months and days may be English names or
the beginning of one. Unlike cron, a day must satisfy day *and* day-of-week.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Self

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> tuple[int, ...]:
        """What the field's text stands for, sorted. Raises ValueError."""
        return tuple(sorted(set(itertools.chain.from_iterable(map(self._item, text.split(","))))))

    def _item(self, text: str) -> range:
        span, slash, step_text = text.partition("/")
        if slash and not (step_text.isdecimal() and int(step_text)):
            raise ValueError(f"{self.name}: the step of '{text}' must be a whole number above 0")
        if span == "*":
            first, last = self.low, self.high
        else:
            start, dash, end = span.partition("-")
            first = self._value(start)
            last = self._value(end) if dash else self.high if slash else first
        return range(min(first, last), max(first, last) + 1, int(step_text or 1))

    def _value(self, text: str) -> int:
        if text.isdecimal() and self.low <= int(text) <= self.high:
            return int(text)
        for i, name in enumerate(self.names):
            if text and name.startswith(text.lower()):
                return self.low + i
        names = f" or one of {', '.join(self.names)}" if self.names else ""
        raise ValueError(f"{self.name}: '{text}' is not a number from {self.low} to {self.high}{names}")


FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day-of-week", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a timer fires: each field's values, sorted."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]  # 0 is Sunday

    @classmethod
    def parse(cls, expression: str) -> Self:
        """Read an NCRONTAB expression of five or six fields. Raises ValueError that names the field."""
        texts = expression.split()
        if len(texts) not in (5, 6):
            raise ValueError(f"'{expression}' has {len(texts)} fields; an NCRONTAB expression has 5, or 6 with seconds")
        texts = ["0", *texts][-6:]
        schedule = cls(*(field.values(text) for field, text in zip(FIELDS, texts, strict=True)))
        if not any(schedule.days[0] <= DAYS_IN_MONTH[month - 1] for month in schedule.months):
            raise ValueError(f"day: no month of '{expression}' has a day {schedule.days[0]}")
        return schedule

    @property
    def sub_minute(self) -> bool:
        """Whether it fires several times in each minute: such a timer gets no ScheduleStatus from the host."""
        every = tuple(field.values("*") for field in FIELDS[1:])
        rest = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return rest == every and len(self.seconds) > 1

    def after(self, now: datetime) -> datetime:
        """The first occurrence later than `now`, in the time zone of `now`."""
        moment = now.replace(microsecond=0) + timedelta(seconds=1)
        day, earliest = moment.date(), moment.time()
        while True:  # ends: `parse` has seen that the day exists
            weekday = day.isoweekday() % 7
            if day.month in self.months and day.day in self.days and weekday in self.weekdays:
                found = self._first_time(earliest)
                if found is not None:
                    return datetime.combine(day, found, now.tzinfo)
            day, earliest = day + timedelta(days=1), time.min

    def _first_time(self, earliest: time) -> time | None:
        h0, m0, s0 = earliest.hour, earliest.minute, earliest.second
        return next(
            (
                time(h, m, s)
                for h in self.hours
                if h >= h0
                for m in self.minutes
                if (h, m) >= (h0, m0)
                for s in self.seconds
                if (h, m, s) >= (h0, m0, s0)
            ),
            None,
        )

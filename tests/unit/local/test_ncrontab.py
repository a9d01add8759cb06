"""NCRONTAB expressions: what they mean, what is refused, and that the next occurrence is the next one."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.ncrontab import FIELDS, Schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "now", "expected"),
    [
        ("* * * * * *", "2026-11-24 06:00:00", "2026-11-24 06:00:01"),
        ("*/15 * * * * *", "2026-11-24 06:00:15", "2026-11-24 06:00:30"),
        ("0 */5 * * * *", "2026-11-24 06:04:59", "2026-11-24 06:05:00"),
        ("0 */5 * * * *", "2026-11-24 06:05:00", "2026-11-24 06:10:00"),  # later than now, never now itself
        ("*/5 * * * *", "2026-11-24 06:05:00", "2026-11-24 06:10:00"),  # five fields: second 0
        ("30 7 * * * *", "2026-11-24 06:07:30", "2026-11-24 07:07:30"),
        ("10/20 * * * * *", "2026-11-24 06:00:10", "2026-11-24 06:00:30"),
        ("10/20 * * * * *", "2026-11-24 06:00:50", "2026-11-24 06:01:10"),  # 10, 30, 50: from 10 to the end
        ("0 0 9-17 * * 1-5", "2026-11-27 17:00:00", "2026-11-30 09:00:00"),  # Friday evening to Monday
        ("0 0 17-9 * * *", "2026-11-24 16:00:00", "2026-11-24 17:00:00"),  # swapped ends: still 9 to 17
        ("0 0 17-9 * * *", "2026-11-24 17:00:00", "2026-11-25 09:00:00"),
        ("0 0 0-23/6 * * *", "2026-11-24 06:00:00", "2026-11-24 12:00:00"),
        ("0 0 5,18 * * *", "2026-11-24 05:00:00", "2026-11-24 18:00:00"),
        ("0 0 5,18 * * *", "2026-11-24 18:00:00", "2026-11-25 05:00:00"),
        ("0 30 9 * Jan Mon", "2026-11-24 00:00:00", "2027-01-04 09:30:00"),
        ("0 30 9 * january MONDAY", "2026-11-24 00:00:00", "2027-01-04 09:30:00"),
        ("0 0 0 * jun-aug *", "2026-11-24 00:00:00", "2027-06-01 00:00:00"),
        ("0 0 0 * * 0", "2026-11-24 00:00:00", "2026-11-29 00:00:00"),  # 0 is Sunday
        ("0 0 0 13 * 5", "2026-11-24 00:00:00", "2027-08-13 00:00:00"),  # day and day-of-week: a Friday the 13th
        ("0 0 0 31 * *", "2026-11-24 00:00:00", "2026-12-31 00:00:00"),
        ("0 0 0 29 2 *", "2026-11-24 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 0 29 2 1", "2097-01-01 00:00:00", "2112-02-29 00:00:00"),  # 2100 is no leap year
        ("59 59 23 31 12 *", "2026-12-31 23:59:59", "2027-12-31 23:59:59"),
    ],
)
def test_the_next_occurrence(expression: str, now: str, expected: str) -> None:
    assert Schedule.parse(expression).after(at(now)) == at(expected)


def test_fractions_of_a_second_do_not_delay_or_repeat_an_occurrence() -> None:
    schedule = Schedule.parse("*/10 * * * * *")
    assert schedule.after(at("2026-11-24 06:00:09.999999")) == at("2026-11-24 06:00:10")
    assert schedule.after(at("2026-11-24 06:00:10.000001")) == at("2026-11-24 06:00:20")


def test_the_answer_is_in_the_time_zone_of_the_question() -> None:
    zone = timezone(timedelta(hours=-5))
    answer = Schedule.parse("0 0 9 * * *").after(datetime(2026, 11, 24, 8, tzinfo=zone))
    assert (answer.hour, answer.tzinfo) == (9, zone)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("* * * *", "has 4 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("", "has 0 fields"),
        ("60 * * * * *", "second: '60'"),
        ("* * 24 * * *", "hour: '24'"),
        ("* * * 0 * *", "day: '0'"),
        ("* * * * 13 *", "month: '13'"),
        ("* * * * * 7", "day-of-week: '7'"),
        ("* * * * * noday", "day-of-week: 'noday'"),
        ("jan * * * * *", "second: 'jan'"),
        ("*/0 * * * * *", "second: the step of '*/0'"),
        ("*/x * * * * *", "second: the step of '*/x'"),
        ("*/ * * * * *", "second: the step of '*/'"),
        ("1,,2 * * * * *", "second: ''"),
        ("-5 * * * * *", "second: ''"),
        ("5- * * * * *", "second: ''"),
        ("? * * * * *", "second: '?'"),
        ("0 0 0 31 2,4 *", "no month of '0 0 0 31 2,4 *' has a day 31"),
    ],
)
def test_a_fault_is_named_with_its_field(expression: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        Schedule.parse(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * * *", True),
        ("0,1 * * * * *", True),
        ("0 * * * * *", False),
        ("*/15 */2 * * * *", False),
        ("*/15 * * * * 1-5", False),
    ],
)
def test_sub_minute_means_several_times_in_each_minute(expression: str, expected: bool) -> None:
    assert Schedule.parse(expression).sub_minute is expected


def part(index: int) -> st.SearchStrategy[str]:
    numbers = st.integers(FIELDS[index].low, min(FIELDS[index].high, 28)).map(str)
    spans = st.one_of(st.just("*"), numbers, st.tuples(numbers, numbers).map("-".join))
    stepped = st.tuples(spans, st.integers(1, 30).map(str)).map("/".join)
    return st.one_of(spans, stepped, st.lists(spans, min_size=1).map(",".join))


@given(
    st.tuples(*(part(i) for i in range(3)), st.just("*"), st.just("*"), st.just("*")).map(" ".join),
    st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC)),
)
def test_an_occurrence_fits_every_field_and_none_lies_before_it(expression: str, now: datetime) -> None:
    """Against the definition: of the occurrences of today and tomorrow, listed in full, it is the first after now."""
    schedule = Schedule.parse(expression)
    found = schedule.after(now)
    moments = list(itertools.product(schedule.hours, schedule.minutes, schedule.seconds))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (midnight, midnight + timedelta(days=1))
    listed = (day + timedelta(hours=h, minutes=m, seconds=s) for day in days for h, m, s in moments)
    assert found == next(moment for moment in listed if moment > now)

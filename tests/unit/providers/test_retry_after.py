"""How long a provider asks to be left alone, in all the forms that they use, and in those that make no sense."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.providers.retry_after import DEFAULT_S, HEADERS, LONGEST_S, parse
from tests.harness.wire import BAD_RETRY_HINTS, RETRY_HINTS, Header, retry_after_date

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
LATER = "Mon, 23 Nov 2026 10:00:30 GMT"


def of(headers: tuple[Header, ...]) -> float | None:
    """As the transport gives them: a name that comes twice is one value with a comma."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return parse(joined, NOW)


@pytest.mark.parametrize(("headers", "seconds"), list(RETRY_HINTS.values()), ids=list(RETRY_HINTS))
def test_every_form_that_providers_use_is_read(headers: tuple[Header, ...], seconds: float) -> None:
    assert of(headers) == pytest.approx(seconds)


def test_a_date_counts_from_now_where_the_response_has_none() -> None:
    assert of((retry_after_date(NOW.replace(second=30)),)) == pytest.approx(30.0)


@pytest.mark.parametrize("date", ["Mon, 23 Nov 2026 10:10:00 GMT", "Mon, 23 Nov 2026 09:50:00 GMT"])
def test_a_clock_ten_minutes_off_does_no_harm(date: str) -> None:
    """The provider's clock is off, so both of its dates are, and their difference is not."""
    until = date.replace(":00 GMT", ":07 GMT")
    assert of((("date", date), ("retry-after", until))) == pytest.approx(7.0)


def test_a_response_date_that_makes_no_sense_is_passed_over() -> None:
    assert of((("date", "soon"), ("retry-after", LATER))) == pytest.approx(30.0)


@pytest.mark.parametrize("headers", list(BAD_RETRY_HINTS.values()), ids=list(BAD_RETRY_HINTS))
def test_a_hint_without_sense_is_the_default_and_one_too_long_the_cap(headers: tuple[Header, ...]) -> None:
    expected = LONGEST_S if headers[0][1] == "1000000000" else DEFAULT_S
    assert of(headers) == expected


@pytest.mark.parametrize(
    "value",
    ["0", "0.0", "-0", "+inf", "-inf", "1e999", "0x10", "1,5", "1 s", "٣ s", "Mon", "21 Oct 99999999999 07:28:00 GMT",
     "1 Jan 2000 00:00:00 +9999999999", "\0", "1\0", "é", "9" * 5000],
)  # fmt: skip
def test_what_is_no_number_of_seconds_above_zero_is_the_default_or_the_cap(value: str) -> None:
    for name in ("retry-after", "retry-after-ms", "x-ms-retry-after-ms"):
        assert of(((name, value),)) in (DEFAULT_S, LONGEST_S)


def test_no_header_is_no_hint() -> None:
    assert parse({}, NOW) is None
    assert parse({"date": LATER}, NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("retry-after-ms", "soon"), ("retry-after", "2")), 2.0),
        ((("retry-after-ms", "-1"), ("x-ms-retry-after-ms", "300"), ("retry-after", "2")), 0.3),
        ((("retry-after-ms", "soon"), ("retry-after", LATER)), 30.0),
        ((("retry-after-ms", "soon"), ("retry-after", "soon")), DEFAULT_S),
        ((("retry-after-ms", "150000"),), LONGEST_S),
        ((("retry-after", "120"),), LONGEST_S),
        ((("retry-after", "119.5"),), 119.5),
        ((("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT"),), LONGEST_S),
        ((("retry-after", "Mon, 23 Nov 2026 10:00:30"),), 30.0),
    ],
)
def test_the_first_header_that_makes_sense_counts(headers: tuple[Header, ...], seconds: float) -> None:
    assert of(headers) == pytest.approx(seconds)


VALUES = st.one_of(
    st.binary(max_size=9).map(lambda raw: raw.decode("latin-1")), st.floats().map(str), st.integers().map(str)
)


@given(st.dictionaries(st.sampled_from(HEADERS), VALUES))
def test_no_header_of_any_kind_raises_or_leaves_the_range(headers: dict[str, str]) -> None:
    seconds = parse(headers, NOW)
    assert (seconds is None) == (not set(headers) - {"date"})
    assert seconds is None or (0 < seconds <= LONGEST_S and math.isfinite(seconds))

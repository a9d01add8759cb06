"""How long a provider asks us to stay away, in all the forms in which they say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 120.0  # no hint keeps a deployment closed for longer
DEFAULT_S = 5.0  # for a hint that makes no sense
IN_MS = ("retry-after-ms", "x-ms-retry-after-ms")  # finer than seconds, so they win
HEADERS = (*IN_MS, "retry-after", "date")  # all that `parse` looks at


def parse(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to stay away, within (0, 120], or None where no header says so. Never raises.

    `retry-after-ms` and `x-ms-retry-after-ms` win over `retry-after` in seconds or as a date; a date counts from the
    response's own `date`, so that skewed clocks do no harm. Of several headers, one that makes no sense is passed over;
    where none does, five seconds are assumed.
    """
    said = [_number(headers[name], 1000.0) for name in IN_MS if name in headers]
    if "retry-after" in headers:
        value = headers["retry-after"]
        said += [_number(value, 1.0), _until(value, headers.get("date"), now)]
    if not said:
        return None
    return next((min(seconds, LONGEST_S) for seconds in said if seconds), DEFAULT_S)


def _number(text: str, per_second: float) -> float | None:
    """A finite number of seconds above 0, or None."""
    try:
        seconds = float(text) / per_second
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _until(value: str, date: str | None, now: datetime) -> float | None:
    """Seconds until the moment that `value` names, or None where it is none or past."""
    then = _date(value)
    if then is None:
        return None
    seconds = (then - ((_date(date) if date else None) or now)).total_seconds()
    return seconds if seconds > 0 else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""How long a provider asks us to stay away, in all the forms in which they say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 120.0  # no hint keeps a deployment closed for longer
DEFAULT_S = 5.0  # for a hint that makes no sense
IN_MS = ("retry-after-ms", "x-ms-retry-after-ms")  # finer than seconds, so they win


def parse(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to stay away, within (0, 120], or None where no header says so. Never raises.

    `retry-after-ms` and `x-ms-retry-after-ms` win over `retry-after` in seconds or as a date; a date counts from the
    response's own `date`, so that skewed clocks do no harm.
    """
    for name in IN_MS:
        if name in headers:
            return _bounded(headers[name], 1000.0)
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _from_date(value, headers.get("date"), now)
    return _bounded(value, 1.0) if seconds is None else _clamp(seconds)


def _bounded(text: str, per_second: float) -> float:
    try:
        return _clamp(float(text) / per_second)
    except ValueError:
        return DEFAULT_S


def _clamp(seconds: float) -> float:
    return min(seconds, LONGEST_S) if math.isfinite(seconds) and seconds > 0 else DEFAULT_S


def _from_date(value: str, date: str | None, now: datetime) -> float | None:
    then = _date(value)
    if then is None:
        return None
    return (then - ((_date(date) if date else None) or now)).total_seconds()


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

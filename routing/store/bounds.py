"""What a row may hold: what cannot have been measured or meant is refused by those who write and those who read."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from routing.ports import Learned, Override

COLUMNS = 13  # decayed sums of a sketch, as routing.latency.sums numbers them; a test holds the two together
BUCKETS = 134  # of a histogram, as routing.latency.histogram divides it; the same test holds them together
FUTURE_S = 60.0  # a row from further ahead is nobody's measurement: clocks that are known to differ are translated
MOST_VERSION = 2**63 - 1  # of a flush or a home: the store's integers
# A sample is the logarithm of a ratio of times. Between 5 ms and 10 minutes lie 12, and e^15 is a factor of 3 million:
# a mean further out was not measured, and e to the power of it is no number any more.
MOST_MEAN = 15.0
MOST_ROUND_TRIP_S = 10.0
LONGEST_NAME = 128  # of an instance, a deployment, a region, an author
LONGEST_ORDER_S = 31 * 86_400.0  # beyond it lies a wrong unit or clock, and what should hold for longer is no order
WEIGHTS = (0.01, 10.0)
MOST_IN_FLIGHT = 100_000
STATES = ("", "drain", "disable")
_UNFIT = re.compile(r"^~|[/\\#?|\x00-\x1f\x7f-\x9f]")  # what no key may hold, and what ours are marked with
_PLAIN = (0, 2, 4, 6, 8, 9, 10, 11, 12)  # columns that are counts or weights
_POSITIVE = (*_PLAIN, 3)  # ... or squares: never negative
# A sum, the count that it is under, and the most that it grows by with a sample
_UNDER = ((1, 0, MOST_MEAN), (3, 2, MOST_MEAN**2), (5, 4, MOST_MEAN), (7, 6, MOST_MEAN))


class Limits(NamedTuple):
    """Of a total: samples in one count, and how much a sum may be beyond its count, as both are rounded."""

    most: float
    slack: float


OWN = Limits(1e9, 1e-6)  # of one instance
MERGED = Limits(1e14, 1e-3)  # of a region: wider, so that what is merged from totals that were taken is never refused


class Refused(Exception):
    """A row or a total that is not stored and not used. `reason` is a label for the metric, `field` for an author."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.reason, self.field = reason, field


# ---------------------------------------------------------------------- rows
def check(learned: Learned, limits: Limits) -> None:
    """Raises Refused for a total that cannot have been measured."""
    sums, histograms = learned.sums, (learned.ttft_ms, learned.total_ms)
    bins = [pair for histogram in histograms for pair in histogram.items()]
    times = [learned.at, 0.0 if learned.newest_at is None else learned.newest_at]
    if len(sums) != COLUMNS or any(len(histogram) > BUCKETS for histogram in histograms):
        raise Refused("shape")
    if not all(map(math.isfinite, (*sums, *times, *(count for _, count in bins)))):
        raise Refused("not_finite")
    if any(sums[column] < 0 for column in _POSITIVE) or any(count < 0 for _, count in bins) or min(times) < 0:
        raise Refused("negative")
    most, slack = limits
    if any(sums[column] > most for column in _PLAIN) or any(not 0 <= b < BUCKETS or n > most for b, n in bins):
        raise Refused("range")
    if any(abs(sums[column]) > each * sums[count] * (1 + slack) + slack for column, count, each in _UNDER):
        raise Refused("range")
    if learned.round_trip_s is not None and not 0 < learned.round_trip_s <= MOST_ROUND_TRIP_S:
        raise Refused("range")


def check_override(override: Override, now: float) -> None:
    """Raises Refused, with the field, for an order that makes no sense at `now` (s)."""
    name(override.deployment, "deployment")
    name(override.author, "author")
    if len(override.reason) > LONGEST_NAME:
        raise Refused("name", "reason")
    if override.state not in STATES:
        raise Refused("range", "state")
    if not WEIGHTS[0] <= override.weight <= WEIGHTS[1]:
        raise Refused("range", "weight")
    if override.limit is not None and not 1 <= override.limit <= MOST_IN_FLIGHT:
        raise Refused("range", "limit")
    if not math.isfinite(override.expires_at):
        raise Refused("not_finite", "expires_at")
    if override.expires_at > now + LONGEST_ORDER_S:
        raise Refused("future", "expires_at")


# ---------------------------------------------------------------------- values
def name(value: Any, field: str = "") -> str:
    """The value, if it is fit to be a key. Raises Refused."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or _UNFIT.search(value):
        raise Refused("name", field)
    return value


def whole(value: Any) -> int:
    """The value, if it is an integer of the store, and not negative. Raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("type")
    if not 0 <= value <= MOST_VERSION:
        raise Refused("range")
    return value


def number(value: Any) -> float:
    """The value, if it is a finite number. Raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("type")
    try:
        finite = float(value)
    except OverflowError as e:  # an integer of more than 308 digits
        raise Refused("range") from e
    if not math.isfinite(finite):
        raise Refused("not_finite")
    return finite

"""The way between a user's region and the router: what no server sees, and frontends report.

Every caller has ways of its own: what it reports is taken off the targets of its own users, and nobody else's. Among
these one may make things up, so a way that counts moves with time and not with the number of reports: by a tenth in
ten seconds at most. A way of which nothing is heard is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

WEIGHT, PERIOD_S = 0.1, 10.0  # of a report so long after the one before; of a sooner one as much less
MOST_FACTOR = 2.0  # of the present way: a longer one is taken for this
LONGEST_S = 5.0  # a longer way is a suspended browser, not a network
FEWEST = 5  # reports before it counts; it is their mean until then
FORGET_S = 600.0  # without a report
MOST_WAYS = 4096  # callers times regions


class _Way(NamedTuple):
    seconds: float
    reports: int
    heard_at: float


class LastMile:
    """Seconds by caller and region of its users."""

    __slots__ = ("_ways",)

    def __init__(self) -> None:
        self._ways: OrderedDict[tuple[str, str], _Way] = OrderedDict()  # the least recently heard first

    def add(self, caller: str, region: str, seconds: float, now: float) -> bool:
        """Take one report. False for one that cannot be: negative, not finite or too long."""
        if not 0 <= seconds <= LONGEST_S:  # which nothing that is no number is, either
            return False
        self._ways[caller, region] = _moved(self._way(caller, region, now), seconds, now)
        self._ways.move_to_end((caller, region))
        if len(self._ways) > MOST_WAYS:
            self._ways.popitem(last=False)
        return True

    def of(self, region: str | None, caller: str, now: float) -> float:
        """The way to a caller's users in a region, in seconds; 0 where too little is known, or nothing any more."""
        way = self._way(caller, region, now) if region else None
        return way.seconds if way is not None and way.reports >= FEWEST else 0.0

    def known(self, caller: str, now: float) -> dict[str, float]:
        """A caller's ways that count, in ms by region."""
        own = (region for whose, region in self._ways if whose == caller)
        return {region: round(1000 * way, 1) for region in own if (way := self.of(region, caller, now))}

    def _way(self, caller: str, region: str, now: float) -> _Way | None:
        way = self._ways.get((caller, region))
        return None if way is None or now - way.heard_at > FORGET_S else way


def _moved(way: _Way | None, seconds: float, now: float) -> _Way:
    """The way after one more report."""
    if way is None:
        return _Way(seconds, 1, now)
    seen = min(seconds, max(MOST_FACTOR * way.seconds, 0.01))
    counts = way.reports >= FEWEST
    weight = WEIGHT * min(1.0, (now - way.heard_at) / PERIOD_S) if counts else 1 / (way.reports + 1)
    return _Way(way.seconds + weight * (seen - way.seconds), way.reports + 1, now)

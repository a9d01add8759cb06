"""The way between a user's region and the router: what no server sees, and frontends report.

A report moves only the estimate of its own user's region, by a tenth, and by no more than if it were twice the present
one: who reports rubbish is heard by the users of that region alone, and slowly.
"""

from __future__ import annotations

from typing import NamedTuple

WEIGHT = 0.1  # of one report
MOST_FACTOR = 2.0
LONGEST_S = 5.0  # a longer way is a suspended browser, not a network
FEWEST = 5  # reports before it counts
MOST_REGIONS = 64


class _Way(NamedTuple):
    seconds: float
    reports: int


class LastMile:
    """Seconds by user region."""

    __slots__ = ("_ways",)

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}

    def add(self, region: str, seconds: float) -> bool:
        """Take one report. False for one that cannot be: negative, not finite, too long, of one region too many."""
        if not 0 <= seconds <= LONGEST_S:  # which nothing that is no number is, either
            return False
        way = self._ways.get(region)
        if way is None:
            if len(self._ways) >= MOST_REGIONS:
                return False
            self._ways[region] = _Way(seconds, 1)
            return True
        seen = min(seconds, max(MOST_FACTOR * way.seconds, 0.01))
        self._ways[region] = _Way(
            way.seconds + max(WEIGHT, 1 / (way.reports + 1)) * (seen - way.seconds), way.reports + 1
        )
        return True

    def of(self, region: str | None) -> float:
        """The way to users of a region in seconds; 0 where too little is known."""
        way = self._ways.get(region) if region else None
        return way.seconds if way is not None and way.reports >= FEWEST else 0.0

    def known(self) -> dict[str, float]:
        """All that count, in ms."""
        return {region: round(1000 * self.of(region), 1) for region, way in self._ways.items() if way.reports >= FEWEST}

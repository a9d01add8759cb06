"""The network's share of a deployment's latency: a minimum over the last minutes, as BBR keeps its round trip.

A round trip that was seen is the line's plus whatever waited on the way; the least of many is the line's.
"""

from __future__ import annotations

import math

WINDOW_S = 300.0  # the minimum is over one to two such windows, so that a longer route is noticed within ten minutes
STALE_S = 2 * WINDOW_S  # what was seen so long ago tells nothing of the route that there is now


class NetworkFloor:
    """Round trip in seconds: the prior until one was seen, here or by another instance of the same region.

    What was seen here comes first, for as long as it is fresh; then what others see, and else the last that was known.
    """

    __slots__ = ("_before", "_current", "_seen_at", "_since", "value")

    def __init__(self, prior: float) -> None:
        self.value = prior
        self._current: float | None = None
        self._before: float | None = None
        self._since = 0.0
        self._seen_at = -math.inf

    def add(self, round_trip: float, now: float) -> float:
        """Take one round trip into account; returns the new value. What is not finite and positive tells nothing."""
        if not 0 < round_trip < math.inf:
            return self.value
        if self._current is None or now - self._since > WINDOW_S:
            self._before = self._current if now - self._since <= STALE_S else None
            self._current, self._since = round_trip, now
        else:
            self._current = min(self._current, round_trip)
        self._seen_at = now
        self.value = self._current if self._before is None else min(self._current, self._before)
        return self.value

    def measured(self, now: float) -> float | None:
        """What was seen here lately: only that is passed on, or an old word would never die."""
        return self.value if now - self._seen_at <= STALE_S else None

    def heard(self, round_trip: float | None, now: float) -> float:
        """Take another instance's word where none was seen here lately; returns the new value."""
        if round_trip is not None and self.measured(now) is None:
            self.value = round_trip
        return self.value

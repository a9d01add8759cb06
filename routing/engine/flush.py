"""Flush: an instance's own totals, written where they have changed.

A total and not what is new: writing it again changes nothing, and what fails is in the next flush. A store that is
away costs nothing but news: totals wait in memory, of the size they have anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from routing.engine.router import LatencyRouter
from routing.latency.sketch import Sketch
from routing.ports import Store

# A write whose answer never came may still be carried out: Table Storage gives up after 30 s, a gateway before that
LATE_S = 60.0


class Flush:
    """What one instance has learned since it began, and what of it the store does not have yet."""

    def __init__(self, router: LatencyRouter, instance: str) -> None:
        self._router, self._instance = router, instance
        self.last_rows = 0
        self.rows_written = 0
        self.news_at = router.clock.now()  # when something was learned last, as flushes see it; at first, when it began
        self._own: dict[int, Sketch] = {}
        self._changed: set[int] = set()
        self._doubtful: dict[int, float] = {}  # deployments in a write of unknown outcome, and when it can come no more
        self._version = 0
        # The timer and the background may flush at once: an older total must not be written over a newer one.
        self._writing = asyncio.Lock()

    async def write_news(self, store: Store) -> None:
        """Write the totals that have changed. Raises StoreUnavailable; they are in the next flush then."""
        async with self._writing:
            now = self._next_version()
            self._take(now)
            written = sorted(self._changed | self._doubtful.keys())
            if written:
                await self._write(store, written, now)

    def _next_version(self) -> float:
        """The moment of this flush, in whole milliseconds: they are its version, which rises with each."""
        self._version = max(self._version + 1, int(1000 * self._router.clock.now()))
        return self._version / 1000

    def _take(self, now: float) -> None:
        """Add what the tracker has learned since the last flush."""
        for d, news in self._router.tracker.flush(now).items():
            self._own.setdefault(d, Sketch(now)).merge(news)
            self._changed.add(d)
            self.news_at = now

    async def _write(self, store: Store, written: Sequence[int], now: float) -> None:
        """Write these totals. One of unknown outcome may replace newer ones later: they are written until it cannot."""
        names, tracker = self._router.fleet.deployments, self._router.tracker
        totals = {names[d].id: self._own[d].learned(now, tracker.network[d].measured(now)) for d in written}
        try:
            await store.flush(tracker.origin, self._instance, self._version, totals, now)
        except BaseException:
            late = self._router.clock.now() + LATE_S
            self._doubtful.update(dict.fromkeys(written, late))
            raise
        self._changed.difference_update(written)
        self._doubtful = {d: late for d, late in self._doubtful.items() if late > now}
        self.last_rows = len(written)
        self.rows_written += len(written)

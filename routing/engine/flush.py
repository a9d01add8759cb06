"""Flush: an instance's own totals, written where they have changed.

A total and not what is new: writing it again changes nothing, and what fails is in the next flush. A store that is
away costs nothing but news: totals wait in memory, of the size they have anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import batched

from routing.engine.router import LatencyRouter
from routing.latency.sketch import Sketch
from routing.ports import Learned, Store

# Deployments that are written together, all or none: a transaction of Table Storage. A test holds the two together
AT_ONCE = 100
TOTALS_A_TURN = 10  # taken before other tasks of the loop run: 1 ms
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
        """Write the totals that have changed. Raises StoreUnavailable; they are in the next flush then.

        Each part has a version of its own, and news are taken with the part that they are written in: a profile that
        holds a version so holds all that was taken up to it, whatever became of the parts behind it.
        """
        async with self._writing:
            rows = 0
            for part in batched(self._waiting(), AT_ONCE, strict=False):
                now = self._next_version()
                self._take(part, now)
                await self._write(store, part, now)
                rows += len(part)
            self.last_rows = rows or self.last_rows

    def _waiting(self) -> list[int]:
        """Deployments to be written. First those of the part that failed last: its news are older than all others."""
        news = self._router.tracker.news
        return list(dict.fromkeys([*sorted(self._changed), *sorted(self._doubtful), *sorted(news)]))

    def _next_version(self) -> float:
        """The moment of this part, in whole milliseconds: they are its version, which rises with each."""
        self._version = max(self._version + 1, int(1000 * self._router.clock.now()))
        return self._version / 1000

    def _take(self, part: Iterable[int], now: float) -> None:
        """Add what the tracker has learned of these deployments since the last flush."""
        for d, news in self._router.tracker.flush(now, part).items():
            self._own.setdefault(d, Sketch(now)).merge(news)
            self._changed.add(d)
            self.news_at = now

    async def _write(self, store: Store, written: Sequence[int], now: float) -> None:
        """Write these totals. One of unknown outcome may replace newer ones later: they are written until it cannot."""
        totals = await self._totals(written, now)
        try:
            await store.flush(self._router.tracker.origin, self._instance, self._version, totals, now)
        except BaseException:
            late = self._router.clock.now() + LATE_S
            self._doubtful.update(dict.fromkeys(written, late))
            raise
        self._changed.difference_update(written)
        self._doubtful = {d: late for d, late in self._doubtful.items() if late > now}
        self.rows_written += len(written)

    async def _totals(self, written: Sequence[int], now: float) -> dict[str, Learned]:
        """Own totals by deployment. They change with the next part only, so others may run meanwhile."""
        names, network = self._router.fleet.deployments, self._router.tracker.network
        totals = {}
        for n, d in enumerate(written, 1):
            totals[names[d].id] = self._own[d].learned(now, network[d].measured(now))
            if n % TOTALS_A_TURN == 0:
                await asyncio.sleep(0)
        return totals

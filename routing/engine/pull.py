"""Pull: take what all regions have merged. The model's part is everybody's; the network's is its region's own."""

from __future__ import annotations

import asyncio

from routing.engine.regions import Regions
from routing.engine.router import LatencyRouter
from routing.ports import Store


class Pull:
    """What one instance believes of what all have learned."""

    def __init__(self, router: LatencyRouter, instance: str) -> None:
        self._router, self._instance = router, instance
        self.regions = Regions(router.tracker.origin)
        self.unknown = 0  # rows of all profiles that are of no deployment of our fleet
        # The timer and the background may pull at once: an older profile must not be taken after a newer one.
        self._reading = asyncio.Lock()

    @property
    def merged_at(self) -> float | None:
        """When the profiles of this region that are in use were merged."""
        return None if self.regions.own is None else self.regions.own.merged_at

    async def take_news(self, store: Store) -> None:
        """Take what was merged since the last time. Raises StoreUnavailable when what was read before it is taken."""
        async with self._reading:
            try:
                await self.regions.read(store, self._router.clock.now())
            finally:
                if self.regions.changed:
                    await self._take()

    async def _take(self) -> None:
        tracker, clock, regions = self._router.tracker, self._router.clock, self.regions
        known = await regions.known(tracker.index)
        for deployment, learned in regions.own_learned().items():
            if deployment in tracker.index:
                tracker.hear_network(tracker.index[deployment], learned.round_trip_s, clock.now())
        holds = regions.own.holds.get(self._instance, 0) if regions.own is not None else 0
        tracker.pull(known, holds / 1000, clock.now())
        self.unknown = regions.unknown(tracker.index)
        regions.changed = False

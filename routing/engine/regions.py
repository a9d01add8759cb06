"""What all regions have merged, as it was read last: the heads each time, the rest only where a region merged since.

Rows are what costs: their bytes, and the time of the event loop on which requests are served. A region whose head is
not there, or cannot be read, is kept as it was: what it told fades by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from routing.latency.sketch import Sketch
from routing.ports import Head, Learned, Store

# Another region that nobody merged for so long is there no more: its instances are not counted. A test holds it to the
# time after which the store forgets profiles.
GONE_S = 7_200.0
REST_S = 0.005  # between regions: requests that came meanwhile have the loop for themselves


class Regions:
    """The profiles of all regions, as seen from one of them."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._heads: dict[str, Head] = {}
        self._learned: dict[str, Mapping[str, Learned]] = {}
        self.changed = False  # since whoever uses it has set it back

    async def read(self, store: Store, now: float) -> None:
        """Take what is new in `store`. Raises StoreUnavailable, and keeps what was read before that."""
        heads = {head.origin: head for head in await store.heads()}
        if self._origin in self._heads and self._origin not in heads:
            store.rejected["profiles:no_head"] += 1
        for origin, head in heads.items():
            before = self._heads.get(origin)
            if before is None or (before.revision, before.holds) != (head.revision, head.holds):
                learned = await store.learned(head, origin == self._origin, now)
                if learned is not None:  # else it is being merged right now: the next pull will find it whole
                    self._heads[origin], self._learned[origin] = head, learned
                    self.changed = True
                await asyncio.sleep(REST_S)

    @property
    def own(self) -> Head | None:
        """The head of this region's own profiles, once there was one."""
        return self._heads.get(self._origin)

    def own_learned(self) -> Mapping[str, Learned]:
        """This region's own profiles, by deployment."""
        return self._learned.get(self._origin, {})

    @property
    def rows(self) -> int:
        """Deployments in the largest region's profiles."""
        return max(map(len, self._learned.values()), default=0)

    def live(self, now: float) -> int:
        """Instances of all regions that wrote lately, as the last merge of each region counted them.

        A region that merges no more keeps its count: its timer has failed, and its instances go on writing. If they
        believed to be alone, they would flush as often as one that is.
        """
        return sum(
            head.live for head in self._heads.values() if head.origin == self._origin or now - head.merged_at < GONE_S
        )

    def unknown(self, index: Mapping[str, int]) -> int:
        """Rows of deployments that are not in `index`: of a fleet that is older or newer than ours."""
        return sum(deployment not in index for rows in self._learned.values() for deployment in rows)

    async def known(self, index: Mapping[str, int]) -> dict[int, Sketch]:
        """By deployment: this region's own profile, and of the others the model's part."""
        known = {index[name]: Sketch.of(learned) for name, learned in self.own_learned().items() if name in index}
        for origin, rows in self._learned.items():
            if origin == self._origin:
                continue
            await asyncio.sleep(REST_S)
            for name, learned in rows.items():
                if name in index:
                    known.setdefault(index[name], Sketch(learned.at)).merge_model_part(learned)
        return known

"""Merge: the newest totals of all instances of a region become its profiles. A timer does it, on any instance.

The same totals make the same profiles: a merge may run twice, late, or on two instances at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from routing.latency.fold import Fold
from routing.ports import Flushed, Profiles, Store

FOLDS_A_TURN = 200  # totals added up before other tasks of the loop run
LIVE_S = 180.0  # an instance whose newest flush is older is counted no more, where flushes are not rare


async def merge(store: Store, origin: str, now: float, live_s: float) -> bool:
    """Merge what the instances of `origin` wrote. False where another merge was faster, or the store refuses a total.

    Raises StoreUnavailable.
    """
    replaces = await store.head(origin)
    folded = await fold(origin, await store.flushed(origin, now), now, live_s)
    return await store.publish(folded, replaces)


async def fold(origin: str, totals: Sequence[Flushed], now: float, live_s: float = LIVE_S) -> Profiles:
    """The profiles of a region from the totals of its instances.

    An instance is live if it wrote within `live_s` seconds: by the moment of the total, which is on our clock, not by
    its version, which is on the writer's.
    """
    folds: dict[str, Fold] = {}
    holds: dict[str, int] = {}
    live: set[str] = set()
    for n, total in enumerate(totals):
        if n % FOLDS_A_TURN == FOLDS_A_TURN - 1:
            await asyncio.sleep(0)
        folds.setdefault(total.deployment, Fold(now)).add(total.learned)
        holds[total.instance] = max(total.version, holds.get(total.instance, 0))
        if now - total.learned.at < live_s:
            live.add(total.instance)
    learned = {deployment: fold.learned() for deployment, fold in folds.items()}
    return Profiles(origin, now, holds, learned, len(live))

"""Errands about users' homes, run in the background, some side by side. Those that fail are put off."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from routing.affinity import Errand
from routing.engine.router import LatencyRouter
from routing.ports import Store

ERRANDS, ERRANDS_AT_ONCE = 32, 8  # at a beat
# Between two moves of a user that are stored. Where quotas of regions are used up in turn, users leave with many of
# their requests: no prompt cache is worth anything then, and calls would rise with the requests.
MOVE_S = 60.0


class Homes:
    """Runs the errands that the router's affinity has collected."""

    def __init__(self, router: LatencyRouter) -> None:
        self._router = router
        self._moved_at: OrderedDict[str, float] = OrderedDict()  # users whose move was stored in the last MOVE_S
        # The timer and the background may do this at once: an older home must not be taken after a newer one.
        self._running = asyncio.Lock()

    async def run_errands(self, store: Store) -> None:
        """Run those that are due. Raises StoreUnavailable when the others have ended."""
        async with self._running:
            errands = self._due()
            try:
                runs = (self._run(store, errands) for _ in range(min(ERRANDS_AT_ONCE, len(errands))))
                for failure in await asyncio.gather(*runs, return_exceptions=True):
                    if failure is not None:
                        raise failure
            finally:
                self._router.affinity.put_off(errands)

    def _due(self) -> list[Errand]:
        """The oldest errands, less the moves of users who moved lately: each next request of theirs brings it again."""
        now, moved_at = self._router.clock.now(), self._moved_at
        while moved_at and now - next(iter(moved_at.values())) >= MOVE_S:
            moved_at.popitem(last=False)
        due: list[Errand] = []
        while len(due) < ERRANDS and (oldest := self._router.affinity.errands(1)):
            due += [errand for errand in oldest if errand.leaves is None or errand.user not in moved_at]
        return due

    async def _run(self, store: Store, errands: list[Errand]) -> None:
        """Run one after another of the errands that are left, until there are none or one fails."""
        affinity, clock = self._router.affinity, self._router.clock
        while errands:
            errand = errands.pop()
            try:
                home = await store.home(errand.user, errand.region, errand.leaves, clock.now())
            except BaseException:
                errands.append(errand)
                raise
            affinity.answered(errand, home, clock.now())
            if errand.leaves is not None and home is not None:
                self._moved_at[errand.user] = clock.now()
                self._moved_at.move_to_end(errand.user)

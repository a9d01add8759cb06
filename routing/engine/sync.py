"""Sharing what is learned: when each stage runs, and how often. In the background, never on a request's path.

    flush   own totals of what changed since the last one, in one transaction
    merge   the newest totals of all instances of this region become its profiles; a timer does it, on any instance
    pull    the profiles of all regions
    orders  of operators: whatever else fails, they are obeyed
    homes   of users

How often depends on how many instances there are, and never on how many requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from uuid import uuid4

from routing.engine import periods
from routing.engine.flush import Flush
from routing.engine.homes import Homes
from routing.engine.merge import LIVE_S, merge
from routing.engine.pull import Pull
from routing.engine.pulse import Pulse
from routing.engine.router import LatencyRouter
from routing.ports import Override, Store

HOMES_S = 1.0  # between errands about homes
# Between pulls of an instance that has nothing to write, and so is not counted among those: a thousand of them read
# fifty rows each with 1,670 in a second
IDLE_PULL_S = 30.0
# Between its looks at orders, of which there are few; of more than fifteen it is as long as a thousand such must wait
IDLE_ORDERS_S, IDLE = 10.0, 1_000
LIVE_FLUSHES = 4.0  # where flushes are rare, an instance lives that missed less than so many of them
OLD_S = 60.0  # profiles that were not merged for so long are a fault, where merges are seconds apart
OLD_ROUNDS = 3.0  # ... and for so many merges and pulls, where they are rarer
LOG = logging.getLogger("routing.sync")


class Sync:
    """One instance's part in what all share."""

    def __init__(self, router: LatencyRouter, store: Store, instance: str | None = None) -> None:
        self.router, self.store = router, store
        self.origin = router.tracker.origin
        self.instance = instance or uuid4().hex[:16]
        self._began_at = self._told_at = router.clock.now()
        self._pulled_at = self._merging_at = 0.0
        self.live = 1  # instances of all regions that write, ourselves included
        self.probed_at: dict[int, float] = {}  # by deployment: when a probe of it was granted or denied last
        self.orders: Sequence[Override] = ()
        self._flush, self._pull = Flush(router, self.instance), Pull(router, self.instance)
        self._homes = Homes(router)
        # The timer and the background may ask at once: older orders must not be obeyed after newer ones.
        self._asking = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.flushing = Pulse("flush", self.flush, self.flush_period, router.rng)
        self.pulling = Pulse("pull", self.pull, self.look_period, router.rng)
        self.ordering = Pulse("orders", self.obey, self.order_period, router.rng)
        self.homing = Pulse("homes", self.homes, lambda: HOMES_S, router.rng)
        self.merging = Pulse("merge", self.merge, lambda: periods.MERGE_S, router.rng)  # a timer beats it

    # ------------------------------------------------------------------ life
    def start(self) -> None:
        """Begin, on the running loop. Starting twice is starting once; a stage that somebody has ended begins anew."""
        loop = asyncio.get_running_loop()
        for pulse in self._pulses:
            task = self._tasks.get(pulse.name)
            if task is None or task.done():
                self._tasks[pulse.name] = loop.create_task(pulse.run(), name=f"sync-{pulse.name}")

    async def stop(self) -> None:
        """End the background tasks and close the store."""
        tasks, self._tasks = [*self._tasks.values()], {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    # ------------------------------------------------------------------ how it stands
    @property
    def available(self) -> bool:
        """Whether the store answered at the last beat of each stage."""
        return not any(pulse.failing == "unavailable" for pulse in self._pulses)

    @property
    def faults(self) -> list[str]:
        """Stages whose last beat ended in a fault of ours; the log has it."""
        return [pulse.name for pulse in self._pulses if pulse.failing == "fault"]

    @property
    def _pulses(self) -> tuple[Pulse, ...]:
        """Those that beat by themselves; for merges a timer comes, to whatever instance."""
        return self.flushing, self.pulling, self.ordering, self.homing

    @property
    def rows_written(self) -> int:
        """Rows of samples, since the start."""
        return self._flush.rows_written

    @property
    def unknown(self) -> int:
        """Rows of all profiles that are of no deployment of our fleet."""
        return self._pull.unknown

    @property
    def merged_at(self) -> float | None:
        """When the profiles of this region that are in use were merged."""
        return self._pull.merged_at

    def age(self, now: float) -> float | None:
        """Seconds since the merge of the profiles in use; None before the first pull that found any."""
        return None if self.merged_at is None else max(0.0, now - self.merged_at)

    def stale_s(self, now: float) -> float:
        """The same, counted from our own start while no profiles were ever found; 0 where nothing is shared."""
        return max(0.0, now - (self.merged_at or self._began_at)) if self.store.shared else 0.0

    def old_s(self) -> float:
        """From how many seconds on that is a fault: it rises with the periods, and they with the instances."""
        return max(OLD_S, OLD_ROUNDS * (self.merge_period() + self.pull_period()))

    # ------------------------------------------------------------------ how often
    def flush_period(self) -> float:
        """Seconds between two flushes: longer with more instances."""
        return periods.flush_s(self.live, self._flush.last_rows)

    def pull_period(self) -> float:
        """Seconds between two pulls: longer with more instances."""
        return periods.pull_s(self.live, self._pull.regions.rows)

    def look_period(self) -> float:
        """Seconds between two looks whether to pull: whoever was idle and is asked again pulls at once."""
        return periods.PULL_S if self.idle(self.router.clock.now()) else self.pull_period()

    def order_period(self) -> float:
        """Seconds between two looks at orders: as between pulls, and longer while idle, when orders concern nobody."""
        if not self.idle(self.router.clock.now()):
            return self.pull_period()
        return max(IDLE_ORDERS_S, periods.pull_s(IDLE, len(self.orders)))

    def writers_period(self) -> float:
        """Seconds between two flushes of one with news of all deployments; an instance of the timer's own has none."""
        return periods.flush_s(self.live, self._pull.regions.rows)

    def merge_period(self) -> float:
        """Seconds between two merges."""
        return periods.merge_s(self.live, self._pull.regions.rows)

    def live_s(self) -> float:
        """How old the newest flush of an instance may be that is counted."""
        return max(LIVE_S, LIVE_FLUSHES * self.writers_period())

    def idle(self, now: float) -> bool:
        """Whether this instance has learned nothing for so long that it is not counted, and does not merge either."""
        last = max(self._flush.news_at, self._merging_at)
        return not self.router.tracker.news and now - last > self.live_s()

    # ------------------------------------------------------------------ the stages
    async def refresh(self) -> None:
        """All stages but the homes, as a timer does them: each whether the others can or not, and none too often."""
        for pulse in (self.flushing, self.merging, self.pulling, self.ordering):
            await pulse.tick()

    async def flush(self) -> None:
        """Write own totals where they have changed. What fails is in the next flush."""
        await self._flush.write_news(self.store)

    async def merge(self) -> bool:
        """Add up the totals of this region's instances. False where it is too early, or another merge was faster."""
        now = self._merging_at = self.router.clock.now()
        if self.merged_at is not None and now - self.merged_at < self.merge_period() - periods.MERGE_S:
            return False  # the timer comes again before it is time
        return await merge(self.store, self.origin, now, self.live_s())

    async def pull(self) -> None:
        """Take what everybody learned, where there is news; rarely while idle."""
        now = self.router.clock.now()
        try:
            if not self.idle(now) or now - self._pulled_at >= IDLE_PULL_S - periods.PULL_S / 2:
                await self._pull.take_news(self.store)
                self._pulled_at = now
                self.live = max(1, self._pull.regions.live(self.router.clock.now()))
        finally:
            self._tell_age()

    async def catch_up(self) -> None:
        """Take the news at once, however idle this instance is."""
        self._pulled_at = 0.0
        await self.pulling.beat()

    async def obey(self) -> None:
        """Take the orders of operators. Those that are known hold until they expire."""
        async with self._asking:
            try:
                self.orders = await self.store.overrides(self.router.clock.now())
            finally:
                now, index = self.router.clock.now(), self.router.tracker.index
                self.orders = [order for order in self.orders if order.expires_at > now]
                self.router.view.obey({index[o.deployment]: o for o in self.orders if o.deployment in index})

    async def homes(self) -> None:
        """Tell and ask about users' homes."""
        await self._homes.run_errands(self.store)

    def _tell_age(self) -> None:
        """Once a minute while profiles are old; an alert reads the line."""
        now = self.router.clock.now()
        age = self.stale_s(now)
        if age > self.old_s() and now - self._told_at >= OLD_S:
            self._told_at = now
            LOG.warning("the shared profiles are %.0f s old: does the timer refresh_profiles run?", age)

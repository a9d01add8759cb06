"""Sharing what is learned: flush, merge, pull. Stages in the background, never on a request's path.

    flush   own totals of what changed since the last one, in one transaction
    merge   the newest totals of all instances of this region become its profiles; a timer does it, on any instance
    pull    the profiles of all regions
    orders  of operators: whatever else fails, they are obeyed
    homes   of users

The model's part of what was learned is everybody's; what was seen of the network is its region's own. A store that
is away costs nothing but news: totals wait in memory, of the size they have anyway, and the next flush holds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from uuid import uuid4

from routing.affinity import Errand
from routing.engine.pulse import Pulse
from routing.engine.regions import Regions
from routing.engine.router import LatencyRouter
from routing.latency.fold import Fold
from routing.latency.sketch import Sketch
from routing.ports import Flushed, Override, Profiles, Store

# In simulation 0.44 +- 0.13 points of hit rate more than 5, 10 and 5 s, for a dollar or two of table calls a month
FLUSH_S, MERGE_S, PULL_S, HOMES_S = 2.0, 5.0, 2.0, 1.0
MERGES_A_FLUSH = 3.0  # no more often than this between two flushes of an instance: with many, both are rare
# Rows that all instances together write in a second, at most. Table Storage takes 2,000 into a partition: with 16
# shards, and instances spread unevenly over them, this is below 100 in each.
ROWS_PER_S = 800.0
READS_PER_S = 1_500.0  # rows of one region's profiles that all instances together read in a second, at most
OLD_S = 60.0  # profiles that were not merged for so long are a fault: merges are seconds apart
# A write whose answer never came may still be carried out: Table Storage gives up after 30 s, a gateway before that
LATE_S = 60.0
LIVE_S = 180.0  # an instance whose newest flush is older is counted no more,
LIVE_FLUSHES = 4.0  # and where flushes are rarer, one that missed so many of them
ERRANDS, ERRANDS_AT_ONCE = 32, 8  # of users' homes, at a beat
FOLDS_A_TURN = 200  # totals added up before other tasks of the loop run
LOG = logging.getLogger("routing.sync")


class Sync:
    """One instance's part in what all share."""

    def __init__(self, router: LatencyRouter, store: Store, instance: str | None = None) -> None:
        self.router, self.store = router, store
        self.origin = router.tracker.origin
        self.instance = instance or uuid4().hex[:16]
        self._began_at = self._told_at = router.clock.now()
        self.live = 1  # instances of all regions that write, ourselves included
        self.rows_written = 0
        self.unknown = 0  # rows of all profiles that are of no deployment of our fleet
        self.probed_at: dict[int, float] = {}  # by deployment: when a probe of it was granted or denied last
        self.orders: Sequence[Override] = ()
        self._own: dict[int, Sketch] = {}
        self._changed: set[int] = set()
        self._doubtful: dict[int, float] = {}  # deployments in a write of unknown outcome, and when it can come no more
        self._version = 0
        self._last_rows = 0
        self._regions = Regions(self.origin)
        # The timer and the background may do the same stage at once: an older total must not be written over a newer
        # one, nor an older profile or home be taken after a newer one.
        self._flushing, self._pulling, self._homing = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.flushing = Pulse("flush", self.flush, self.flush_period, router.rng)
        self.pulling = Pulse("pull", self.pull, self.pull_period, router.rng)
        self.ordering = Pulse("orders", self.obey, self.pull_period, router.rng)
        self.homing = Pulse("homes", self.homes, lambda: HOMES_S, router.rng)
        self.merging = Pulse("merge", self.merge, lambda: MERGE_S, router.rng)  # beaten by a timer, not by a task

    # ------------------------------------------------------------------ life
    def start(self) -> None:
        """Begin, on the running loop. Starting twice is starting once."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            pulses = self.flushing, self.pulling, self.ordering, self.homing
            self._tasks = [loop.create_task(pulse.run(), name=f"sync-{pulse.name}") for pulse in pulses]

    async def stop(self) -> None:
        """End the background tasks and close the store."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    @property
    def available(self) -> bool:
        """Whether the store answered at the last beat of each stage."""
        return not any(pulse.failures for pulse in (self.flushing, self.pulling, self.ordering, self.homing))

    @property
    def merged_at(self) -> float | None:
        """When the profiles of this region that are in use were merged."""
        return None if self._regions.own is None else self._regions.own.merged_at

    def age(self, now: float) -> float | None:
        """Seconds since the merge of the profiles in use; None before the first pull that found any."""
        return None if self.merged_at is None else max(0.0, now - self.merged_at)

    def stale_s(self, now: float) -> float:
        """The same, counted from our own start while no profiles were ever found; 0 where nothing is shared."""
        return max(0.0, now - (self.merged_at or self._began_at)) if self.store.shared else 0.0

    def flush_period(self) -> float:
        """Seconds between two flushes: longer with more instances, so that together they stay below ROWS_PER_S."""
        return max(FLUSH_S, self.live * self._last_rows / ROWS_PER_S)

    def pull_period(self) -> float:
        """Seconds between two pulls: longer with more instances, as all of them read the same partitions."""
        return max(PULL_S, self.live * self._regions.rows / READS_PER_S)

    def writers_period(self) -> float:
        """Seconds between two flushes of one with news of all deployments; an instance of the timer's own has none."""
        return max(FLUSH_S, self.live * self._regions.rows / ROWS_PER_S)

    def merge_period(self) -> float:
        """Seconds between two merges: longer where flushes are rarer, as each reads what all instances wrote."""
        return max(MERGE_S, self.writers_period() / MERGES_A_FLUSH)

    def live_s(self) -> float:
        """How old the newest flush of an instance may be that is counted."""
        return max(LIVE_S, LIVE_FLUSHES * self.writers_period())

    # ------------------------------------------------------------------ the stages
    async def refresh(self) -> None:
        """All stages but the homes, as a timer does them: each whether the others can or not, and none too often."""
        for pulse in (self.flushing, self.merging, self.pulling, self.ordering):
            await pulse.tick()

    async def flush(self) -> None:
        """Write own totals where they have changed. What fails is in the next flush."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        tracker, clock = self.router.tracker, self.router.clock
        self._version = max(self._version + 1, int(1000 * clock.now()))
        now = self._version / 1000
        for d, news in tracker.flush(now).items():
            self._own.setdefault(d, Sketch(now)).merge(news)
            self._changed.add(d)
        written = sorted(self._changed | self._doubtful.keys())
        if written:
            await self._write(written, now)

    async def _write(self, written: Sequence[int], now: float) -> None:
        """Write these totals. One of unknown outcome may replace newer ones later: they are written until it cannot."""
        names, network = self.router.fleet.deployments, self.router.tracker.network
        totals = {names[d].id: self._own[d].learned(now, network[d].measured(now)) for d in written}
        try:
            await self.store.flush(self.origin, self.instance, self._version, totals, now)
        except BaseException:
            late = self.router.clock.now() + LATE_S
            self._doubtful.update(dict.fromkeys(written, late))
            raise
        self._changed.difference_update(written)
        self._doubtful = {d: late for d, late in self._doubtful.items() if late > now}
        self._last_rows = len(written)
        self.rows_written += len(written)

    async def merge(self) -> bool:
        """Add up the totals of this region's instances. False where it is too early, or another merge was faster."""
        now = self.router.clock.now()
        if self.merged_at is not None and now - self.merged_at < self.merge_period() - MERGE_S:
            return False  # the timer comes again before it is time
        replaces = await self.store.head(self.origin)
        folded = await fold(self.origin, await self.store.flushed(self.origin, now), now, self.live_s())
        return await self.store.publish(folded, replaces)

    async def pull(self) -> None:
        """Take what everybody learned, where there is news."""
        try:
            async with self._pulling:
                await self._pull()
        finally:
            self._tell_age()

    async def obey(self) -> None:
        """Take the orders of operators. Those that are known hold until they expire."""
        try:
            self.orders = await self.store.overrides(self.router.clock.now())
        finally:
            now, index = self.router.clock.now(), self.router.tracker.index
            self.orders = [order for order in self.orders if order.expires_at > now]
            self.router.view.obey({index[o.deployment]: o for o in self.orders if o.deployment in index})

    async def homes(self) -> None:
        """Run errands about users' homes, some side by side. Those that fail are put off."""
        async with self._homing:
            affinity = self.router.affinity
            errands = affinity.errands(ERRANDS)
            try:
                runs = (self._run(errands) for _ in range(min(ERRANDS_AT_ONCE, len(errands))))
                for failure in await asyncio.gather(*runs, return_exceptions=True):
                    if failure is not None:
                        raise failure
            finally:
                affinity.put_off(errands)

    # ------------------------------------------------------------------ inside
    async def _run(self, errands: list[Errand]) -> None:
        """Run one after another of the errands that are left, until there are none or one fails."""
        affinity, clock = self.router.affinity, self.router.clock
        while errands:
            errand = errands.pop()
            try:
                home = await self.store.home(errand.user, errand.region, errand.leaves, clock.now())
            except BaseException:
                errands.append(errand)
                raise
            affinity.answered(errand, home, clock.now())

    async def _pull(self) -> None:
        regions, clock = self._regions, self.router.clock
        try:
            await regions.read(self.store, clock.now())
        finally:
            if regions.changed:
                await self._take()
        self.live = max(1, regions.live(clock.now(), self.live_s()))

    async def _take(self) -> None:
        """Believe what the regions tell: the network's part of our own, the model's part of all."""
        tracker, clock, regions = self.router.tracker, self.router.clock, self._regions
        known = await regions.known(tracker.index)
        for deployment, learned in regions.own_learned().items():
            if deployment in tracker.index:
                tracker.hear_network(tracker.index[deployment], learned.round_trip_s, clock.now())
        holds = regions.own.holds.get(self.instance, 0) if regions.own is not None else 0
        tracker.pull(known, holds / 1000, clock.now())
        self.unknown = regions.unknown(tracker.index)
        regions.changed = False

    def _tell_age(self) -> None:
        """Once a minute while profiles are old; an alert reads the line."""
        now = self.router.clock.now()
        age = self.stale_s(now)
        if age > OLD_S and now - self._told_at >= OLD_S:
            self._told_at = now
            LOG.warning("the shared profiles are %.0f s old: does the timer refresh_profiles run?", age)


async def fold(origin: str, totals: Sequence[Flushed], now: float, live_s: float = LIVE_S) -> Profiles:
    """The profiles of a region from the totals of its instances. The same totals make the same profiles.

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

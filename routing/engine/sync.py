"""Sharing what is learned: flush, merge, pull. Three stages in the background, never on a request's path.

    flush   own totals of what changed since the last one, in one transaction
    merge   the newest totals of all instances of this region become its profiles; a timer does it, on any instance
    pull    the profiles of all regions, the operators' orders, and the homes of users

The model's part of what was learned is everybody's; what was seen of the network is its region's own. A store that
is away costs nothing but news: totals wait in memory, of the size they have anyway, and the next flush holds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import uuid4

from routing.engine.pulse import Pulse
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
LIVE_S = 180.0  # an instance whose newest flush is older is counted no more
ERRANDS = 32  # of users' homes at a beat
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
        self.merged_at: float | None = None  # of the region's profiles that are in use
        self.rows_written = self.unknown = 0
        self.orders: Sequence[Override] = ()
        self._own: dict[int, Sketch] = {}
        self._changed: set[int] = set()
        self._doubtful: dict[int, float] = {}  # deployments in a write of unknown outcome, and when it can come no more
        self._version = 0
        self._last_rows = self._profile_rows = 0
        # The timer and the background may do the same stage at once: an older total must not be written over a newer
        # one, nor an older profile be taken after a newer one.
        self._flushing, self._pulling = asyncio.Lock(), asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.flushing = Pulse("flush", self.flush, self.flush_period, router.rng)
        self.pulling = Pulse("pull", self.pull, self.pull_period, router.rng)
        self.homing = Pulse("homes", self.homes, lambda: HOMES_S, router.rng)
        self.merging = Pulse("merge", self.refresh, lambda: MERGE_S, router.rng)  # beaten by a timer, not by a task

    # ------------------------------------------------------------------ life
    def start(self) -> None:
        """Begin, on the running loop. Starting twice is starting once."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            pulses = self.flushing, self.pulling, self.homing
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
        return not any(pulse.failures for pulse in (self.flushing, self.pulling, self.homing))

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
        return max(PULL_S, self.live * self._profile_rows / READS_PER_S)

    def merge_period(self) -> float:
        """Seconds between two merges: longer where flushes are rarer, as each reads what all instances wrote."""
        return max(MERGE_S, self.flush_period() / MERGES_A_FLUSH)

    # ------------------------------------------------------------------ the stages
    async def refresh(self) -> None:
        """All stages after one another, as the timer does them. Raises StoreUnavailable."""
        await self.flush()
        await self.merge()
        await self.pull()

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
        totals = {names[d].id: self._own[d].learned(now, network[d].measured) for d in written}
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
        folded = await fold(self.origin, await self.store.flushed(self.origin, now), now)
        return await self.store.publish(folded, replaces)

    async def pull(self) -> None:
        """Take what everybody learned, and the orders of operators. Those that are known hold until they expire."""
        try:
            async with self._pulling:
                await self._pull_profiles()
            self.orders = await self.store.overrides(self.router.clock.now())
        finally:
            self._obey()
            self._tell_age()

    async def homes(self) -> None:
        """Run errands about users' homes. Those that fail are put off."""
        affinity, clock = self.router.affinity, self.router.clock
        errands = affinity.errands(ERRANDS)
        while errands:
            errand = errands[-1]
            try:
                home = await self.store.home(errand.user, errand.region, errand.leaves, clock.now())
            except BaseException:
                affinity.put_off(errands)
                raise
            errands.pop()
            if home is not None:
                affinity.confirmed(errand.user, home.region, home.version, clock.now())

    # ------------------------------------------------------------------ inside
    async def _pull_profiles(self) -> None:
        tracker, clock = self.router.tracker, self.router.clock
        profiles = await self.store.profiles(clock.now())
        now = clock.now()
        own = next((p for p in profiles if p.origin == self.origin), None)
        if own is not None:
            self.merged_at = own.merged_at
            for deployment, learned in own.learned.items():
                d = tracker.index.get(deployment)
                if d is not None:
                    tracker.hear_network(d, learned.round_trip_s)
        holds = own.holds.get(self.instance, 0) if own is not None else 0
        tracker.pull(self._known(profiles), holds / 1000, now)
        self._profile_rows = max((len(p.learned) for p in profiles), default=0)
        newest = [version / 1000 for p in profiles for version in p.holds.values()]
        self.live = max(1, sum(now - at < LIVE_S for at in newest))

    def _known(self, profiles: Sequence[Profiles]) -> Mapping[int, Sketch]:
        """By deployment: this region's own profile, and of the others the model's part."""
        index = self.router.tracker.index
        known: dict[int, Sketch] = {}
        for p in sorted(profiles, key=lambda p: p.origin != self.origin):
            for deployment, learned in p.learned.items():
                d = index.get(deployment)
                if d is None:
                    self.unknown += 1  # of a fleet that is older or newer than ours
                elif p.origin == self.origin:
                    known[d] = Sketch.of(learned)
                else:
                    known.setdefault(d, Sketch(learned.at)).merge_model_part(learned)
        return known

    def _tell_age(self) -> None:
        """Once a minute while profiles are old; an alert reads the line."""
        now = self.router.clock.now()
        age = self.stale_s(now)
        if age > OLD_S and now - self._told_at >= OLD_S:
            self._told_at = now
            LOG.warning("the shared profiles are %.0f s old: does the timer refresh_profiles run?", age)

    def _obey(self) -> None:
        now, index = self.router.clock.now(), self.router.tracker.index
        self.orders = [order for order in self.orders if order.expires_at > now]
        self.router.view.obey({index[o.deployment]: o for o in self.orders if o.deployment in index})


async def fold(origin: str, totals: Sequence[Flushed], now: float) -> Profiles:
    """The profiles of a region from the totals of its instances. The same totals make the same profiles."""
    folds: dict[str, Fold] = {}
    holds: dict[str, int] = {}
    for n, total in enumerate(totals):
        if n % FOLDS_A_TURN == FOLDS_A_TURN - 1:
            await asyncio.sleep(0)
        folds.setdefault(total.deployment, Fold(now)).add(total.learned)
        holds[total.instance] = max(total.version, holds.get(total.instance, 0))
    return Profiles(origin, now, holds, {deployment: fold.learned() for deployment, fold in folds.items()})

"""Calls and bytes of one instance's minute, at several rates of requests, as Table Storage would bill them."""

from __future__ import annotations

from itertools import cycle

from bench.store.instance import Instance
from bench.store.merging import merge_all, totals_of
from bench.store.meter import Meter
from routing.engine.clock import Clock
from routing.engine.periods import FLUSH_S, MERGE_S
from routing.engine.sync import HOMES_S
from routing.fleet import Fleet
from routing.store.shared import SharedStore

RATES = 1, 100  # requests a second
USERS = 20
MINUTE_S, MONTH_S = 60.0, 30 * 86_400.0
STAGES = {"flush": ("write samples",), "pull": ("read heads", "read profiles"), "orders": ("read overrides",)}
HOMES = "read affinity", "write affinity"


class Steps(Clock):
    """A clock that is set by hand: a minute takes as long as its work."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        super().__init__()
        self.at = super().now()

    def now(self) -> float:
        """Now, in seconds."""
        return self.at


class Minute:
    """One instance, whose stages come as often as they do while there are few, beside regions that all merge."""

    def __init__(self, fleet: Fleet, port: int, per_s: int) -> None:
        self.clock = Steps()
        self.meter, self._others = Meter(self.clock, port), SharedStore(Meter(self.clock, port))
        self._instance = Instance(fleet, SharedStore(self.meter), self.clock)
        self._totals, self._regions = totals_of(fleet, self.clock.now()), [region.id for region in fleet.regions]
        self._users, self._per_s = cycle(f"{per_s}-{n}" for n in range(USERS)), per_s
        self._merge_at = self.clock.at

    async def run(self) -> None:
        """Meet all users and make the tables; then count: requests one after the other, and the stages between them."""
        await self._span(self.clock.at, USERS)
        self.meter.reset()
        began = self.clock.at
        for n in range(round(MINUTE_S / FLUSH_S)):
            await self._span(began + n * FLUSH_S, round(FLUSH_S * self._per_s))

    async def merge(self) -> int:
        """The calls of one merge of the instance's region."""
        self.meter.reset()
        await self._instance.sync.merge()
        return self.meter.made.total()

    async def close(self) -> None:
        """Close connections."""
        await self._instance.sync.stop()
        await self._others.close()

    async def _span(self, begins_at: float, requests: int) -> None:
        """From one flush to the next."""
        for n in range(requests):
            self.clock.at = begins_at + FLUSH_S * n / requests
            await self._instance.ask(next(self._users))
        self.clock.at = begins_at + FLUSH_S
        await self._stages()

    async def _stages(self) -> None:
        if self.clock.at >= self._merge_at:
            await merge_all(self._others, self._totals, self._regions, self.clock.at)
            self._merge_at += MERGE_S
        sync = self._instance.sync
        await sync.flush()
        await sync.pull()
        await sync.obey()
        for _ in range(round(FLUSH_S / HOMES_S)):
            await sync.homes()


async def traffic(fleet: Fleet, port: int) -> None:
    """Print a minute's calls by what they are for, and a month's bytes."""
    print(f"table calls of an instance and minute; {len(fleet.regions)} regions merge, {USERS} users have a home")
    for per_s in RATES:
        minute = Minute(fleet, port, per_s)
        await minute.run()
        stages = {stage: minute.meter.of(what) for stage, what in STAGES.items()}
        calls, size = (sum(each) for each in zip(*stages.values(), strict=True))
        told = ", ".join(f"{stage} {made}" for stage, (made, _) in stages.items())
        moves, month = minute.meter.of(HOMES)[0], size * MONTH_S / MINUTE_S / 1e9
        print(f"  {per_s:4} requests/s: {calls} ({told}), {month:.1f} GB in 30 days; ", end="")
        print(f"moves of homes: {moves}; a merge: {await minute.merge()}")
        await minute.close()

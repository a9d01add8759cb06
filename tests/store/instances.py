"""Router instances for tests: each with a tracker, a clock that is set by hand, and its part in what all share."""

from __future__ import annotations

from random import Random

from routing.engine.clock import Clock
from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.fleet import Fleet
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from routing.ports import Store
from tests.store.learned import NOW
from tests.unit.fleets import REGIONS, deployment, fleet


class Hand(Clock):
    """A clock that stands still."""

    __slots__ = ("at",)

    def __init__(self, at: float = NOW) -> None:
        super().__init__()
        self.at = at

    def now(self) -> float:
        return self.at


def three() -> Fleet:
    """One deployment in each of three regions."""
    return fleet(*(deployment(f"d{n}", region=region["id"]) for n, region in enumerate(REGIONS)))


class Instance:
    """One process of a region's app."""

    def __init__(self, store: Store, origin: str = "eastus", of: Fleet | None = None, name: str | None = None) -> None:
        self.clock = Hand()
        self.tracker = LatencyTracker(of or three(), origin)
        self.router = LatencyRouter(self.tracker, clock=self.clock, rng=Random(1))
        self.sync = Sync(self.router, store, name)

    def answer(self, model_s: float = 0.7, network_s: float = 0.02, d: int = 0, tokens: int = 101) -> None:
        """One answered call: what the plan would tell the tracker."""
        now, ttft = self.clock.now(), model_s + network_s
        self.tracker.saw_network(d, now, network_s)
        self.tracker.first_content(d, now, ttft, 1_000)
        self.tracker.pace(d, now, 0.02)
        done = LatencyMeasurement(1000 * network_s, 0.0, 1000 * ttft, 2_000.0, 1000 * ttft + 2_000, tokens)
        self.tracker.answered(d, now, done)

    @property
    def samples(self) -> float:
        """How many it knows of."""
        return self.tracker.belief(0, self.clock.now()).samples

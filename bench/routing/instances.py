"""Router instances, and the store through which alone they learn of each other."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from routing.fleet import Fleet
from routing.latency import sketch
from routing.latency.histogram import DecayedHistogram
from routing.latency.sketch import Sketch
from routing.latency.tracker import LatencyTracker
from routing.load.lengths import Lengths
from routing.policy.seam import Policy
from routing.policy.view import View


class Instance:
    """One router instance: the product's view, policy and randomness, and which connections are open."""

    def __init__(self, fleet: Fleet, origin: str, policy: Policy, seed: int) -> None:
        self.view = View.of(fleet, LatencyTracker(fleet, origin))
        self.policy = policy
        self.rng = Random(seed)
        self.lengths = Lengths()  # of answers, where callers do not tell
        self.connected: set[int] = set()  # deployments whose round trip has been seen

    def connect(self, d: int, round_trip: float) -> float | None:
        """The round trip that a new connection to deployment d shows; None where one is open already."""
        if d in self.connected:
            return None
        self.connected.add(d)
        return round_trip


class SharedStore:
    """What instances flushed, merged from time to time, and what of it they pull."""

    def __init__(self) -> None:
        self._appended: list[Mapping[int, Sketch]] = []
        self._merged: dict[int, Sketch] = {}
        self._merged_at = 0.0

    def flush(self, instance: Instance, now: float) -> None:
        """An instance writes what it learned since its last flush."""
        self._appended.append(instance.view.tracker.flush(now))

    def merge(self, now: float) -> None:
        """The timer adds what was written to what is read."""
        appended, self._appended, self._merged_at = self._appended, [], now
        for additions in appended:
            for d, added in additions.items():
                self._merged.setdefault(d, Sketch(now)).merge(added)

    def pull(self, instance: Instance, now: float) -> None:
        """An instance reads what was merged."""
        instance.view.tracker.pull(self._merged, self._merged_at, now)


class Uncounted(DecayedHistogram):
    """A histogram that counts nothing. Those of the product are for people and no choice rests on them; without
    them a run takes a quarter less time."""

    def add(self, value: float, now: float) -> None:
        """Count nothing."""

    def merge(self, other: DecayedHistogram) -> None:
        """Add nothing."""


def count_histograms(wanted: bool) -> None:
    """Whether sketches made from now on in this process hold histograms."""
    sketch.__dict__["DecayedHistogram"] = DecayedHistogram if wanted else Uncounted

"""Adding up totals gives what adding up their sketches gives, in any order."""

from __future__ import annotations

from random import Random

import pytest

from routing.latency.fold import Fold
from routing.latency.network import STALE_S
from routing.latency.sketch import Sketch
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import equal


def sketches(rng: Random) -> list[Sketch]:
    made = []
    for n in range(5):
        tracker = LatencyTracker(equal(1))
        for step in range(20):
            now = 1000.0 + 40 * n + step
            tracker.first_content(0, now, rng.uniform(0.2, 3.0), 1_000)
            tracker.pace(0, now, rng.uniform(0.01, 0.05))
            total = rng.uniform(1_000, 4_000)
            tracker.answered(0, now, LatencyMeasurement(2.0, 0.0, 500.0, total - 500, total, 50))
        made.append(tracker.known[0])
    return made


@pytest.mark.parametrize("seed", range(5))
def test_folding_is_merging(seed: int) -> None:
    rng, now = Random(seed), 1300.0
    all_of_them = sketches(rng)
    merged, fold = Sketch(now), Fold(now)
    for sketch in all_of_them:
        merged.merge(sketch)
    for sketch in rng.sample(all_of_them, 5):
        fold.add(sketch.learned(sketch.sums.at, round_trip_s=rng.uniform(0.01, 0.1)))
    folded = Sketch.of(fold.learned())
    assert folded.sums.age(now) == pytest.approx(merged.sums.age(now))
    assert folded.newest_at == merged.newest_at
    for name in ("ttft_ms", "total_ms"):
        assert getattr(folded, name).count(now) == pytest.approx(getattr(merged, name).count(now), rel=1e-3)
        assert getattr(folded, name).quantile(0.95) == getattr(merged, name).quantile(0.95)


def test_the_least_round_trip_counts_and_an_empty_fold_has_none() -> None:
    fold = Fold(10.0)
    assert fold.learned().round_trip_s is None
    for value in (0.05, None, 0.02, 0.9):
        fold.add(Sketch(10.0).learned(10.0, value))
    assert fold.learned().round_trip_s == 0.02


def test_round_trips_of_totals_that_nobody_writes_any_more_do_not_count() -> None:
    """The least wins: that of a dead instance would win for as long as its total is read."""
    now = 10_000.0
    fold = Fold(now)
    fold.add(Sketch(now - STALE_S - 1).learned(now - STALE_S - 1, 0.02))
    assert fold.learned().round_trip_s is None
    fold.add(Sketch(now - STALE_S).learned(now - STALE_S, 0.05))
    assert fold.learned().round_trip_s == 0.05


def test_a_sketch_survives_being_told_as_numbers() -> None:
    told = sketches(Random(1))[0].learned(1100.0)
    again = Sketch.of(told).learned(1100.0)
    assert (again.sums, again.newest_at) == (told.sums, told.newest_at)
    for name in ("ttft_ms", "total_ms"):
        assert getattr(again, name) == pytest.approx(getattr(told, name), rel=1e-6)

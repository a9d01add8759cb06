"""Sharing what is learned: flush, merge and pull count each instance's own additions exactly once, in any order."""

from __future__ import annotations

import itertools
import math

import pytest

from routing.latency.news import MOST_UNMERGED
from routing.latency.sketch import Sketch
from routing.latency.sums import ANSWERS, FAILURES, PACE_N, SENT, N
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import equal

DONE = LatencyMeasurement(2.0, 0.0, 502.0, 2_000.0, 2_502.0, 101)


class Shared:
    """A store as instances see it: additions are appended, a timer merges them, everybody reads the result."""

    def __init__(self) -> None:
        self.appended: list[dict[int, Sketch]] = []
        self.profiles: dict[int, Sketch] = {}
        self.merged_at = -math.inf

    def merge(self, now: float) -> None:
        for additions in self.appended:
            for d, sketch in additions.items():
                self.profiles.setdefault(d, Sketch(now)).merge(sketch)
        self.appended, self.merged_at = [], now


class Instance:
    """One router instance and a clock that hardly moves, so that nothing fades while a test runs."""

    def __init__(self, shared: Shared, clock: itertools.count[int]) -> None:
        self.tracker, self.shared, self._clock = LatencyTracker(equal(2)), shared, clock

    @property
    def now(self) -> float:
        return 1_000.0 + 1e-6 * next(self._clock)

    def learn(self) -> None:
        self.tracker.first_content(0, self.now, 0.7, 1_000)

    def flush(self) -> None:
        self.shared.appended.append(self.tracker.flush(self.now))

    def merge(self) -> None:
        self.shared.merge(self.now)

    def pull(self) -> None:
        self.tracker.pull(self.shared.profiles, self.shared.merged_at, self.now)

    @property
    def count(self) -> float:
        return self.tracker.known[0].sums.values[N]


def instances(n: int) -> list[Instance]:
    shared, clock = Shared(), itertools.count()
    return [Instance(shared, clock) for _ in range(n)]


@pytest.mark.parametrize("steps", list(itertools.permutations(("flush", "merge", "pull", "learn"))))
def test_own_samples_are_counted_once_whatever_the_order_of_the_stages(steps: tuple[str, ...]) -> None:
    me = instances(1)[0]
    me.learn()
    learned = 1
    for _ in range(3):
        for step in steps:
            getattr(me, step)()
            learned += step == "learn"
            assert me.count == pytest.approx(learned, rel=1e-3), step


def test_what_others_learned_arrives_after_flush_merge_and_pull() -> None:
    me, other = instances(2)
    other.learn()
    for step in (other.flush, me.pull, other.merge):
        step()
        assert me.count == 0
    me.pull()
    assert me.count == pytest.approx(1.0, rel=1e-3)
    me.learn()
    me.pull()
    assert me.count == pytest.approx(2.0, rel=1e-3)


def test_a_flush_holds_only_what_is_new() -> None:
    me = instances(1)[0].tracker
    assert me.flush(0.0) == {}
    me.failed(1, 1.0, rate_limited=False)
    me.answered(1, 1.0, DONE)
    me.sent(1, 1.0, 0.5)
    me.pace(1, 1.0, 0.02)
    news = me.flush(1.0)
    assert list(news) == [1]
    values = news[1].sums.values
    assert [values[c] for c in (FAILURES, ANSWERS, SENT, PACE_N)] == [1.0, 1.0, 0.5, 1.0]
    assert news[1].total_ms.count(1.0) == 1.0
    assert me.flush(2.0) == {}


def test_the_way_from_one_region_is_no_other_regions_business() -> None:
    """East cannot connect to a deployment that answers West: only East expects it to fail, and does so all the same."""
    east, west = LatencyTracker(equal(2)), LatencyTracker(equal(2))
    for _ in range(8):
        east.failed(0, 1.0, rate_limited=False, own=True)
    for _ in range(100):
        west.answered(0, 1.0, DONE)
    for mine, other in ((east, west), (west, east)):
        known = Sketch.of(mine.known[0].learned(1.0))
        known.merge_model_part(other.known[0].learned(1.0))
        mine.known[0] = known
    assert east.belief(0, 1.0).keep == pytest.approx(1 - 8 / 12)
    assert west.belief(0, 1.0).keep == 1.0


def test_a_pull_renews_beliefs_at_once() -> None:
    me, other = instances(2)
    for _ in range(30):
        other.tracker.first_content(0, other.now, 5.0, 1_000)
    other.flush()
    other.merge()
    before = me.tracker.beliefs[0].level
    me.pull()
    assert me.tracker.beliefs[0].level > before + 1.5


def test_everything_unmerged_survives_several_pulls() -> None:
    """Two flushes are on their way when the first of them is merged."""
    me = instances(1)[0]
    me.learn()
    me.flush()
    me.merge()
    me.learn()
    me.flush()
    for _ in range(3):
        me.pull()
        assert me.count == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("held", range(1, 2 * MOST_UNMERGED))
def test_own_samples_count_once_whichever_of_many_small_flushes_a_profile_holds(held: int) -> None:
    """Instances that are many merge and pull rarely, while one that learns of a single deployment flushes often."""
    me, flushes = instances(1)[0], 2 * MOST_UNMERGED
    for n in range(1, flushes + 1):
        me.learn()
        me.flush()
        if n == held:
            me.merge()
    me.pull()
    assert me.count == pytest.approx(flushes, rel=1e-3)


def test_what_waits_for_a_merge_takes_bounded_memory_and_none_of_it_is_lost() -> None:
    me = instances(1)[0]
    for n in range(20 * MOST_UNMERGED):
        me.learn()
        if n % 3:
            me.tracker.failed(1, me.now, rate_limited=False)
        me.flush()
        assert me.tracker.own.unmerged <= MOST_UNMERGED * 2
    me.pull()
    assert me.count == pytest.approx(20 * MOST_UNMERGED, rel=1e-3)


def test_a_flush_of_some_deployments_leaves_the_news_of_others_for_the_next() -> None:
    me = instances(1)[0].tracker
    me.failed(0, 1.0, rate_limited=False)
    me.failed(1, 1.0, rate_limited=False)
    assert list(me.flush(1.0, [1])) == [1]
    assert set(me.news) == {0}
    me.pull({}, 1.0, 1.0)
    assert [sketch.sums.values[FAILURES] for sketch in me.known] == [1.0, 0.0]


def test_profiles_are_read_and_never_changed_by_a_pull() -> None:
    me, other = instances(2)
    other.learn()
    other.flush()
    other.merge()
    me.pull()
    me.learn()
    assert me.shared.profiles[0].sums.values[N] == pytest.approx(1.0, rel=1e-3)


def test_unmerged_additions_are_forgotten_once_merged() -> None:
    """Memory does not grow with the number of flushes."""
    me = instances(1)[0]
    for _ in range(100):
        me.learn()
        me.flush()
        me.merge()
        me.pull()
    assert me.tracker.own.unmerged <= 1

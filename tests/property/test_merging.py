"""What is learned can be merged in any order and grouping, and stays finite whatever finite thing is learned."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.latency.histogram import BUCKETS, DecayedHistogram
from routing.latency.sketch import Sketch
from routing.latency.sums import COLUMNS, DecayedSums
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import equal

TIMES = st.floats(0.0, 100_000.0)
# a value, and when it was seen
SAMPLES = st.lists(st.tuples(st.floats(0.001, 1e7), TIMES), max_size=8)
SUMS = st.builds(DecayedSums, TIMES, st.lists(st.floats(-1e6, 1e6), min_size=COLUMNS, max_size=COLUMNS))


def sketch(samples: list[tuple[float, float]]) -> Sketch:
    ordered = sorted(samples, key=lambda sample: sample[1])
    made = Sketch(ordered[0][1] if ordered else 0.0)
    for value, now in ordered:
        made.ttft_ms.add(value, now)
        made.total_ms.add(2 * value, now)
        made.sums.age(now)[0] += 1
        made.newest_at = now
    return made


def merged(*parts: Sketch) -> Sketch:
    """A new sketch of all parts, in their order."""
    total = Sketch()
    for part in parts:
        total.merge(part)
    return total


def numbers(whole: Sketch, now: float) -> list[float]:
    """Everything in a sketch as of `now`."""
    factor = math.exp(-(now - whole.ttft_ms.origin) / 600)
    counts = [float(c) * factor for c in whole.ttft_ms.counts]
    return [*DecayedSums(whole.sums.at, whole.sums.values).age(now), *counts, whole.newest_at or -1.0]


def same(a: list[float], b: list[float]) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-6) for x, y in zip(a, b, strict=True))


@given(SUMS, SUMS, SUMS)
def test_sums_merge_in_any_order_and_grouping(a: DecayedSums, b: DecayedSums, c: DecayedSums) -> None:
    one, two, three = a.merged(b).merged(c), a.merged(b.merged(c)), c.merged(b).merged(a)
    assert one.at == two.at == three.at
    assert one.values == pytest.approx(two.values, rel=1e-9, abs=1e-6)
    assert one.values == pytest.approx(three.values, rel=1e-9, abs=1e-6)


@given(SAMPLES, SAMPLES, SAMPLES)
def test_sketches_merge_in_any_order_and_grouping(
    a: list[tuple[float, float]], b: list[tuple[float, float]], c: list[tuple[float, float]]
) -> None:
    one = merged(sketch(a), sketch(b), sketch(c))
    two = merged(sketch(c), merged(sketch(b), sketch(a)))
    assert same(numbers(one, 100_000.0), numbers(two, 100_000.0))


@given(SAMPLES, SAMPLES)
def test_merging_equals_adding_everything_to_one_histogram(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    assert same(numbers(merged(sketch(a), sketch(b)), 100_000.0), numbers(sketch(a + b), 100_000.0))


@given(st.lists(st.tuples(st.floats(), TIMES), max_size=20))
def test_a_histogram_is_finite_whatever_it_is_fed(samples: list[tuple[float, float]]) -> None:
    """In any order of time, too."""
    made = DecayedHistogram()
    for value, now in samples:
        made.add(value, now)
    assert len(made.counts) <= BUCKETS
    assert math.isfinite(sum(made.counts))
    told = [made.quantile(q) for q in (0.0, 0.5, 1.0)]
    assert all(value is None or 0 < value < math.inf for value in told)
    known = [value for value in told if value is not None]
    assert known == sorted(known)


@given(st.lists(st.floats(1.0, 500_000.0), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_every_quantile_is_within_five_percent_of_a_sample_of_its_rank(values: list[float], q: float) -> None:
    made = DecayedHistogram()
    for value in values:
        made.add(value, 0.0)
    told = made.quantile(q)
    ranked, n = sorted(values), len(values)
    near = {ranked[min(n - 1, max(0, math.ceil(q * n) - 1 + step))] for step in (-1, 0, 1)}  # sums are rounded
    assert any(told == pytest.approx(value, rel=0.05 + 1e-6) for value in near)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(1e-6, 1e6)
CALLS = st.one_of(
    st.tuples(st.just("first_content"), POSITIVE, st.floats(0, 1e9)),
    st.tuples(st.just("pace"), st.floats(0, 1e6)),
    st.tuples(st.just("silent"), POSITIVE, st.floats(0, 1e9)),
    st.tuples(st.just("failed"), st.booleans()),
    st.tuples(st.just("sent"), st.floats(0, 1e6)),
    st.tuples(st.just("whole"), POSITIVE, st.floats(0, 1e9), st.integers(0, 10**6)),
    st.tuples(st.just("saw_network"), FINITE),
)


@given(st.lists(st.tuples(CALLS, st.floats(0.0, 1_000.0)), max_size=25))
def test_beliefs_are_finite_whatever_finite_thing_is_learned(events: list[tuple[tuple[str, float], float]]) -> None:
    tracker, now = LatencyTracker(equal(1)), 1_000.0
    for (name, *arguments), passed in events:
        now += passed
        getattr(tracker, name)(0, now, *arguments)
        tracker.answered(0, now, LatencyMeasurement(1.0, 0.0, 10.0, 100.0, 110.0, 10))
    belief = tracker.belief(0, now)
    assert all(math.isfinite(value) for value in belief)
    assert 0 < belief.keep <= 1
    assert belief.spread > 0
    assert belief.pace > 0
    assert 0 < belief.doubt <= 1


@given(st.lists(st.integers(0, 3), max_size=40))
def test_additions_of_several_instances_sum_to_what_one_would_know(owners: list[int]) -> None:
    """Each sample is learned by one of four instances; their flushes, merged, are what one instance knows of all."""
    alone, instances = LatencyTracker(equal(1)), [LatencyTracker(equal(1)) for _ in range(4)]
    for k, owner in enumerate(owners):
        now = 1_000.0 + 3 * k
        for tracker in (alone, instances[owner]):
            tracker.sent(0, now, 0.01)
            tracker.failed(0, now, rate_limited=k % 2 == 0)
            tracker.answered(0, now, LatencyMeasurement(1.0, 0.0, 10.0, 100.0, 110.0 + k, 10))
    end = 1_000.0 + 3 * len(owners)
    parts = [news[0] for news in (tracker.flush(end) for tracker in instances) if news]
    both = merged(*parts)
    assert both.sums.age(end) == pytest.approx(alone.known[0].sums.age(end), abs=1e-9)
    assert both.total_ms.count(end) == pytest.approx(alone.known[0].total_ms.count(end), rel=1e-4, abs=1e-9)

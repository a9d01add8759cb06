"""The decayed histogram: measured percentiles within 5 %, counts that fade, merging that is addition."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

import pytest

from routing.latency.histogram import BUCKETS, GROWTH, LARGEST, RELATIVE_ERROR, TAU_S, DecayedHistogram

QUANTILES = (0.0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def histogram(values: Iterable[float], now: float = 0.0, origin: float = 0.0) -> DecayedHistogram:
    made = DecayedHistogram(origin)
    for value in values:
        made.add(value, now)
    return made


def exact(values: list[float], q: float) -> float:
    """The nearest-rank quantile."""
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


@pytest.mark.parametrize("spread", [0.1, 0.8, 2.0])
def test_quantiles_are_within_five_percent_of_the_exact_ones(spread: float) -> None:
    rng = Random(7)
    values = [min(500_000.0, max(1.0, rng.lognormvariate(math.log(900), spread))) for _ in range(5_000)]
    told = histogram(values)
    for q in QUANTILES:
        assert told.quantile(q) == pytest.approx(exact(values, q), rel=RELATIVE_ERROR + 1e-9)


def test_the_error_bound_holds_at_both_edges_of_every_bucket() -> None:
    for i in range(1, BUCKETS - 1):
        for value in (GROWTH ** (i - 1) * 1.000001, GROWTH**i * 0.999999):
            assert histogram([value]).quantile(0.5) == pytest.approx(value, rel=RELATIVE_ERROR + 1e-5)


@pytest.mark.parametrize("value", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_and_positive_is_not_counted(value: float) -> None:
    told = histogram([value])
    assert told.count(0.0) == 0.0
    assert told.quantile(0.5) is None


def test_what_is_out_of_range_counts_as_the_nearest_bucket() -> None:
    assert histogram([1e-9]).quantile(0.5) == histogram([1.0]).quantile(0.5)
    assert histogram([1e300]).quantile(0.5) == pytest.approx(LARGEST, rel=2 * RELATIVE_ERROR)
    assert histogram([1e-9, 1e300]).count(0.0) == 2.0


def test_without_samples_there_is_no_quantile() -> None:
    assert DecayedHistogram().quantile(0.5) is None


def test_a_count_fades_to_its_1_over_e_in_the_time_constant() -> None:
    told = histogram([100.0] * 10)
    assert told.count(TAU_S) == pytest.approx(10 / math.e)


def test_a_new_sample_outweighs_an_old_one() -> None:
    told = histogram([100.0] * 3)
    told.add(1_000.0, 2 * TAU_S)  # 3 e^-2 = 0.41 old ones are left
    assert told.quantile(0.5) == pytest.approx(1_000.0, rel=RELATIVE_ERROR)


def test_rescaling_changes_neither_counts_nor_quantiles() -> None:
    """Samples for 100 time constants: the weights are rescaled several times and stay finite."""
    told, times = DecayedHistogram(), [TAU_S * k / 10 for k in range(1_000)]
    for now in times:
        told.add(250.0, now)
    assert told.count(times[-1]) == pytest.approx(sum(math.exp((t - times[-1]) / TAU_S) for t in times), rel=1e-4)
    assert told.quantile(0.5) == pytest.approx(250.0, rel=RELATIVE_ERROR)
    assert math.isfinite(sum(told.counts))


def test_a_first_sample_at_the_time_of_day_is_counted_whole() -> None:
    """The origin is 0 and the clock shows seconds since the epoch."""
    assert histogram([100.0], now=1.8e9).count(1.8e9) == 1.0


def test_a_clock_that_steps_back_loses_no_sample() -> None:
    told = histogram([100.0], now=50.0)
    told.add(100.0, 40.0)
    assert told.count(50.0) == pytest.approx(1 + math.exp(-10 / TAU_S))


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.0, 900.0), (900.0, 0.0), (0.0, 60_000.0)])
def test_merging_equals_adding_everything_to_one(left: float, right: float) -> None:
    """Whatever the origins of the two."""
    rng, now = Random(3), 1_000.0 if right < 60_000 else 60_500.0
    a, b = ([rng.lognormvariate(6, 1) for _ in range(size)] for size in (400, 401))
    both, merged = histogram(a + b, now), histogram(a, now, left)
    merged.merge(histogram(b, now, right))
    assert merged.count(now) == pytest.approx(801.0, rel=1e-4)
    assert [merged.quantile(q) for q in QUANTILES] == [both.quantile(q) for q in QUANTILES]


def test_merging_leaves_the_other_as_it_was() -> None:
    a, b = histogram([10.0]), histogram([20.0])
    a.merge(b)
    assert b.count(0.0) == 1.0


def test_only_the_buckets_between_the_least_and_the_greatest_are_kept() -> None:
    told = histogram([100.0, 1_000.0])
    assert len(told.counts) == math.ceil(math.log(10) / math.log(GROWTH))
    told.add(50.0, 0.0)
    assert told.quantile(0.0) == pytest.approx(50.0, rel=RELATIVE_ERROR)
    assert told.quantile(1.0) == pytest.approx(1_000.0, rel=RELATIVE_ERROR)


def test_one_histogram_takes_at_most_half_a_kilobyte() -> None:
    """Two of them are kept for each deployment, in a few copies."""
    told = histogram([1e-9, 1e300])
    assert told.counts.itemsize * len(told.counts) <= 600

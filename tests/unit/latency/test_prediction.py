"""From beliefs to probabilities."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from routing.latency.prediction import Belief, below, prompt_log, ttft_at, within

AT, SPREAD = math.log(0.5), 0.6
POINTS = (-3.0, -1.5, -0.4, 0.0, 0.3, 1.2816, 2.3263)


def test_priors_hold_at_a_prompt_of_1000_tokens() -> None:
    assert prompt_log(1_000) == 0.0
    assert prompt_log(0) == pytest.approx(-math.log(1.05))
    assert prompt_log(20_000) == pytest.approx(math.log(2 / 1.05))


@pytest.mark.parametrize("z", POINTS)
def test_the_lower_half_is_half_as_wide(z: float) -> None:
    assert below(z) == pytest.approx(NormalDist().cdf(z if z > 0 else 2 * z))


@pytest.mark.parametrize("z", POINTS)
def test_a_wait_at_a_point_of_the_distribution_is_met_with_that_probability(z: float) -> None:
    assert within(ttft_at(z, AT, SPREAD), AT, SPREAD, 0.0) == pytest.approx(NormalDist().cdf(z))


@pytest.mark.parametrize("rest", [0.0, -1.0, -math.inf])
def test_without_time_nothing_is_met(rest: float) -> None:
    assert within(rest, AT, SPREAD, 0.0) == 0.0
    assert within(rest, AT, SPREAD, 1.0) == 0.0


def test_with_endless_time_everything_is_met() -> None:
    assert within(math.inf, AT, SPREAD, 3.0) == pytest.approx(1.0)
    assert within(math.inf, AT, SPREAD, 3.0) <= 1.0


def test_a_whole_answer_is_judged_at_three_lengths() -> None:
    """Short, as expected, long: e^(-0.66), 1, e^(0.66) with weights 1/6, 2/3, 1/6."""
    factors = {1 / 6: math.exp(-0.38 * math.sqrt(3)), 2 / 3: 1.0}
    parts = [w * within(4.0 - 2.0 * f, AT, SPREAD, 0.0) for w, f in factors.items()]
    long = within(4.0 - 2.0 * math.exp(0.38 * math.sqrt(3)), AT, SPREAD, 0.0) / 6
    assert within(4.0, AT, SPREAD, 2.0) == pytest.approx(sum(parts) + long)


def test_where_only_a_short_answer_fits_its_weight_is_all_that_is_left() -> None:
    assert within(1.2, math.log(0.001), 0.15, 2.0) == pytest.approx(1 / 6)


def test_a_belief_tells_its_median_in_seconds() -> None:
    assert Belief(AT, SPREAD, 0.02, 1.0, 1.0, 0.0, 0.0, 0.0).median_s == pytest.approx(0.5)


def test_a_median_is_told_with_more_certainty_the_more_samples_there_are_and_never_with_all() -> None:
    widths = [Belief(AT, SPREAD, 0.02, 1.0, 1.0, 0.0, 0.0, n).median_interval for n in (0.0, 3.0, 30.0, 1e9)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(1.645 * SPREAD * math.sqrt(1 / 2 + 1 / 4), rel=1e-3)
    assert widths[-1] == pytest.approx(1.645 * SPREAD / 2, rel=1e-3)

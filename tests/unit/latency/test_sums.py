"""Decayed sums: every column fades with its own time constant, and merging is addition."""

from __future__ import annotations

import math

import pytest

from routing.latency.sums import COLUMNS, TAU_S, DecayedSums

ONES = [1.0] * COLUMNS


@pytest.mark.parametrize("past", [0.001, 7.0, 300.0])
def test_each_column_fades_with_its_own_time_constant(past: float) -> None:
    aged = DecayedSums(100.0, ONES).age(100.0 + past)
    assert aged == pytest.approx([math.exp(-past / tau) for tau in TAU_S])


def test_ageing_in_steps_equals_ageing_at_once() -> None:
    steps = DecayedSums(0.0, ONES)
    for now in range(1, 31):
        steps.age(float(now))
    assert steps.age(30.0) == pytest.approx(DecayedSums(0.0, ONES).age(30.0))


def test_a_clock_that_steps_back_ages_nothing() -> None:
    sums = DecayedSums(100.0, ONES)
    assert sums.age(40.0).tolist() == ONES
    assert sums.at == 100.0
    assert sums.age(100.0).tolist() == ONES


def test_a_lifetime_of_silence_leaves_nothing_and_overflows_nothing() -> None:
    assert DecayedSums(0.0, ONES).age(1.8e9).tolist() == [0.0] * COLUMNS


def test_a_sum_of_two_is_as_of_the_later_and_ages_the_earlier() -> None:
    old, new = DecayedSums(0.0, ONES), DecayedSums(10.0, ONES)
    for merged in (old.merged(new), new.merged(old)):
        assert merged.at == 10.0
        assert merged.values == pytest.approx([1 + math.exp(-10 / tau) for tau in TAU_S])


def test_merging_changes_neither_side() -> None:
    old, new = DecayedSums(0.0, ONES), DecayedSums(10.0, ONES)
    old.merged(new)
    assert (old.at, old.values.tolist(), new.at, new.values.tolist()) == (0.0, ONES, 10.0, ONES)

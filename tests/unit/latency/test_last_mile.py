"""The way to a user's region, as frontends report it."""

from __future__ import annotations

import math
from random import Random

import pytest

from routing.latency.last_mile import FEWEST, LONGEST_S, MOST_REGIONS, LastMile


def reported(*seconds: float, region: str = "eu") -> LastMile:
    mile = LastMile()
    for value in seconds:
        mile.add(region, value)
    return mile


def test_it_counts_from_the_fifth_report_on() -> None:
    assert reported(*[0.1] * (FEWEST - 1)).of("eu") == 0
    assert reported(*[0.1] * FEWEST).of("eu") == pytest.approx(0.1)
    assert reported(*[0.1] * FEWEST).known() == {"eu": 100.0}


def test_a_report_is_believed_for_its_own_region_only() -> None:
    mile = reported(*[4.0] * 50, region="far")
    assert mile.of("eu") == mile.of(None) == 0


def test_it_follows_what_most_report() -> None:
    rng = Random(3)
    mile = reported(*(0.08 * math.exp(rng.gauss(0, 0.2)) for _ in range(200)))
    assert mile.of("eu") == pytest.approx(0.08, rel=0.2)


def test_one_wild_report_moves_it_by_a_tenth_at_most() -> None:
    mile = reported(*[0.1] * 20, LONGEST_S)
    assert mile.of("eu") <= 0.11 + 1e-9


@pytest.mark.parametrize("seconds", [-0.001, LONGEST_S + 1, math.nan, math.inf])
def test_what_cannot_be_is_refused(seconds: float) -> None:
    mile = reported(*[0.1] * 10)
    assert not mile.add("eu", seconds)
    assert mile.of("eu") == pytest.approx(0.1)


def test_memory_is_bounded() -> None:
    mile = LastMile()
    assert [mile.add(f"r{n}", 0.1) for n in range(MOST_REGIONS + 5)].count(True) == MOST_REGIONS

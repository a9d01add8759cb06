"""Quota: what a call takes of it, and how long a header's word counts."""

from __future__ import annotations

import math

import pytest

from routing.load.quota import HEADER_MAX_AGE_S, HEADER_TAU_S, Quota


def quota() -> Quota:
    """One deployment: 10 requests and 10,000 tokens a second."""
    return Quota([600], [600_000])


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 0.1), (1_000, 0.1), (5_000, 0.5), (30_000, 3.0)])
def test_a_call_takes_requests_or_tokens_whichever_is_scarcer(tokens: int, seconds: float) -> None:
    assert quota().cost_s(0, tokens) == pytest.approx(seconds)


def test_no_call_takes_more_than_a_minutes_quota() -> None:
    """Else one caller's `max_tokens` would keep everybody away from a deployment for longer than its provider does."""
    assert quota().cost_s(0, 160_000_000) == 60.0


def test_without_a_header_the_known_sends_count() -> None:
    assert quota().utilisation(0, 100.0, sent=0.3) == 0.3


@pytest.mark.parametrize("age", [0.0, 5.0, HEADER_TAU_S, 59.9])
def test_a_headers_word_fades_towards_the_known_sends(age: float) -> None:
    q = quota()
    q.saw(0, 100.0, 0.9)
    assert q.utilisation(0, 100.0 + age, sent=0.3) == pytest.approx(0.3 + math.exp(-age / HEADER_TAU_S) * 0.6)


def test_a_minute_later_the_header_is_forgotten() -> None:
    q = quota()
    q.saw(0, 100.0, 0.9)
    assert q.utilisation(0, 100.0 + HEADER_MAX_AGE_S, sent=0.3) == 0.3


def test_the_newest_header_counts() -> None:
    q = quota()
    q.saw(0, 100.0, 0.9)
    q.saw(0, 101.0, 0.1)
    assert q.utilisation(0, 101.0, sent=0.3) == pytest.approx(0.1)


@pytest.mark.parametrize(("told", "taken"), [(-0.5, 0.0), (1.7, 1.0), (math.nan, 0.0), (math.inf, 1.0)])
def test_a_share_out_of_range_is_clamped(told: float, taken: float) -> None:
    q = quota()
    q.saw(0, 100.0, told)
    assert q.utilisation(0, 100.0, sent=0.3) == pytest.approx(taken)


def test_a_clock_that_steps_back_makes_a_header_no_more_than_fresh() -> None:
    q = quota()
    q.saw(0, 100.0, 0.9)
    assert q.utilisation(0, 40.0, sent=0.3) == pytest.approx(0.9)


def test_load_is_shared_by_the_request_rate() -> None:
    assert Quota([600, 60], [1, 1]).nominal == [10.0, 1.0]

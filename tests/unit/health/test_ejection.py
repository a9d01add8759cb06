"""Ejection: who is closed, for how long, and that most of the fleet never is."""

from __future__ import annotations

from random import Random

import pytest

from routing.health.ejection import (
    FIRST_S,
    IN_A_ROW,
    JITTER,
    LONGEST_S,
    MISCONFIGURED_S,
    RATE_LIMIT_DEFAULT_S,
    RATE_LIMIT_JITTER,
    Ejections,
)

NOW = 1_000.0


def fail(health: Ejections, d: int, times: int, now: float = NOW, seed: int = 1) -> None:
    rng = Random(seed)
    for _ in range(times):
        health.failed(d, now, rng)


def closed(health: Ejections, now: float = NOW) -> list[int]:
    return [d for d, until in enumerate(health.closed_until) if until > now]


def test_the_third_failure_in_a_row_ejects() -> None:
    health = Ejections(4)
    fail(health, 0, IN_A_ROW - 1)
    assert closed(health) == []
    fail(health, 0, 1)
    assert closed(health) == [0]
    assert health.why[0] == "ejected"


def test_content_in_between_starts_the_count_again() -> None:
    health = Ejections(4)
    fail(health, 0, IN_A_ROW - 1)
    health.succeeded(0)
    fail(health, 0, IN_A_ROW - 1)
    assert closed(health) == []


@pytest.mark.parametrize(("failures", "seconds"), [(3, 5.0), (4, 10.0), (5, 15.0), (9, 15.0), (5_000, 15.0)])
def test_an_ejection_doubles_with_each_further_failure_up_to_the_longest(failures: int, seconds: float) -> None:
    assert (FIRST_S, LONGEST_S) == (5.0, 15.0)
    for seed in range(20):
        health = Ejections(4)
        health.in_a_row[0] = failures - 1
        fail(health, 0, 1, seed=seed)
        assert JITTER[0] * seconds <= health.closed_until[0] - NOW <= JITTER[1] * seconds


def test_instances_do_not_return_at_the_same_moment() -> None:
    moments = set()
    for seed in range(10):
        health = Ejections(4)
        fail(health, 0, 3, seed=seed)
        moments.add(health.closed_until[0])
    assert len(moments) == 10


@pytest.mark.parametrize(("size", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (20, 10)])
def test_at_most_half_of_the_fleet_is_ejected(size: int, most: int) -> None:
    health = Ejections(size)
    for d in range(size):
        fail(health, d, 5)
    assert len(closed(health)) == most


def test_when_one_returns_another_may_be_ejected() -> None:
    health = Ejections(2)
    fail(health, 0, 3)
    fail(health, 1, 3)
    assert closed(health) == [0]
    fail(health, 1, 1, now=NOW + 20)
    assert closed(health, NOW + 20) == [1]


def test_a_deployment_that_is_out_may_stay_out_longer_while_half_is_out() -> None:
    """It does not count against itself."""
    health = Ejections(2)
    fail(health, 0, 3)
    before = health.closed_until[0]
    fail(health, 0, 2)
    assert health.closed_until[0] > before


@pytest.mark.parametrize("hint", [0.25, 1.0, 7.0, 120.0])
def test_a_429_is_stayed_away_from_at_least_as_long_as_it_says(hint: float) -> None:
    for seed in range(20):
        health = Ejections(1)
        health.rate_limited(0, NOW, hint, Random(seed))
        assert hint * RATE_LIMIT_JITTER[0] <= health.closed_until[0] - NOW <= hint * RATE_LIMIT_JITTER[1]
        assert health.why[0] == "rate_limited"


def test_a_429_without_a_hint_closes_for_the_default() -> None:
    health = Ejections(1)
    health.rate_limited(0, NOW, None, Random(1))
    assert RATE_LIMIT_DEFAULT_S <= health.closed_until[0] - NOW <= 1.5 * RATE_LIMIT_DEFAULT_S


def test_a_policy_may_stay_away_for_longer_than_a_429_says_but_never_for_shorter() -> None:
    """What it adds is not the provider's word: panic routing may go there once the hint is over."""
    health = Ejections(2)
    health.rate_limited(0, NOW, 0.01, Random(1), least_s=5.0)
    health.rate_limited(1, NOW, 60.0, Random(1), least_s=5.0)
    assert health.closed_until[0] == NOW + 5.0
    assert health.refused_until[0] < NOW + 1.0
    assert health.closed_until[1] >= NOW + 60.0


def test_a_later_shorter_hint_shortens_nothing() -> None:
    health = Ejections(1)
    health.rate_limited(0, NOW, 60.0, Random(1))
    until = health.closed_until[0]
    health.rate_limited(0, NOW + 1, 0.5, Random(1))
    assert health.closed_until[0] == until


def test_429s_close_the_whole_fleet_if_they_must() -> None:
    """They are the provider's word, unlike failures, which may be ours."""
    health = Ejections(3)
    for d in range(3):
        health.rate_limited(d, NOW, 10.0, Random(1))
    assert closed(health) == [0, 1, 2]


def test_a_429_is_no_failure_in_a_row() -> None:
    health = Ejections(4)
    for _ in range(5):
        health.rate_limited(0, NOW, 0.001, Random(1))
    fail(health, 0, IN_A_ROW - 1, now=NOW + 1)
    assert closed(health, NOW + 1) == []


def test_what_refuses_our_credentials_is_closed_at_once() -> None:
    health = Ejections(1)
    health.misconfigured(0, NOW)
    assert health.closed_until[0] == NOW + MISCONFIGURED_S
    assert health.why[0] == "misconfigured"


@pytest.mark.parametrize("hint", [2.0, 60.0])
def test_an_ejection_does_not_hide_when_a_429_asked_to_come_back(hint: float) -> None:
    """Whichever of the two is longer, both moments are kept: panic routing ignores ejections, never a 429."""
    health = Ejections(4)
    health.rate_limited(0, NOW, hint, Random(1))
    fail(health, 0, 8)
    assert health.refused_until[0] >= NOW + hint
    assert health.closed_until[0] >= max(health.refused_until[0], NOW + JITTER[0] * LONGEST_S)
    assert health.refused_until[1] == 0.0


@pytest.mark.parametrize(("answered_by_then", "silences"), [(0.5, 10), (0.85, 4), (0.99, 2), (1.0, 1)])
def test_silences_are_no_chance_when_there_are_too_many_in_a_row(answered_by_then: float, silences: int) -> None:
    health = Ejections(2)
    said = [health.silent(0, answered_by_then) for _ in range(silences)]
    assert said == [False] * (silences - 1) + [True]
    assert health.silent(1, answered_by_then) is (silences == 1), "each deployment by itself"


def test_an_answer_between_silences_makes_them_chance() -> None:
    health = Ejections(1)
    for _ in range(100):
        assert not health.silent(0, 0.95)
        health.answers(0, NOW)


def test_silence_before_an_answer_was_due_means_nothing() -> None:
    health = Ejections(1)
    assert not any(health.silent(0, 0.0) for _ in range(1_000))

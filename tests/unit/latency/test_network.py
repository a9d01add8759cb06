"""The network floor: the least round trip of the last minutes."""

from __future__ import annotations

import math

import pytest

from routing.latency.network import STALE_S, WINDOW_S, NetworkFloor


def test_before_any_round_trip_was_seen_it_is_the_prior() -> None:
    assert NetworkFloor(0.08).value == 0.08


def test_the_first_round_trip_replaces_the_prior_even_if_it_is_longer() -> None:
    assert NetworkFloor(0.08).add(0.2, 0.0) == 0.2


def test_within_a_window_the_least_counts() -> None:
    floor = NetworkFloor(0.08)
    assert [floor.add(rtt, now) for now, rtt in enumerate((0.03, 0.05, 0.02, 0.9))] == [0.03, 0.03, 0.02, 0.02]


@pytest.mark.parametrize("round_trip", [0.0, -0.01, math.nan, math.inf])
def test_what_is_no_round_trip_tells_nothing(round_trip: float) -> None:
    floor = NetworkFloor(0.08)
    floor.add(0.03, 0.0)
    assert floor.add(round_trip, 1.0) == floor.value == 0.03
    assert NetworkFloor(0.08).add(round_trip, 1.0) == 0.08


def test_a_longer_route_is_noticed_after_two_windows_at_the_latest() -> None:
    floor = NetworkFloor(0.08)
    floor.add(0.02, 0.0)
    seen = [(now, floor.add(0.09, float(now))) for now in range(10, int(2 * WINDOW_S) + 30, 10)]
    assert seen[0][1] == 0.02
    assert next(now for now, value in seen if value == 0.09) <= 2 * WINDOW_S + 20


def test_the_old_floor_holds_through_the_next_window() -> None:
    """One slow round trip at the start of a window does not raise the floor."""
    floor = NetworkFloor(0.08)
    floor.add(0.02, 0.0)
    assert floor.add(0.09, WINDOW_S + 1) == 0.02


def test_after_two_windows_of_silence_the_old_floor_is_forgotten() -> None:
    for silence, value in ((2 * WINDOW_S, 0.02), (2 * WINDOW_S + 1, 0.09), (7_200.0, 0.09)):
        floor = NetworkFloor(0.08)
        floor.add(0.02, 0.0)
        assert floor.add(0.09, silence) == value


def test_what_was_seen_here_is_passed_on_for_ten_minutes() -> None:
    floor = NetworkFloor(0.08)
    assert floor.measured(0.0) is None
    floor.add(0.02, 0.0)
    assert [floor.measured(now) for now in (0.0, STALE_S, STALE_S + 1)] == [0.02, 0.02, None]


def test_others_are_believed_where_nothing_was_seen_here_lately() -> None:
    floor = NetworkFloor(0.08)
    assert floor.heard(None, 0.0) == 0.08
    assert floor.heard(0.05, 0.0) == 0.05
    assert floor.measured(0.0) is None, "hearsay is not passed on"
    floor.add(0.02, 1.0)
    assert floor.heard(0.05, 1.0 + STALE_S) == 0.02
    assert floor.heard(None, 2.0 + STALE_S) == 0.02, "the last that was known"
    assert floor.heard(0.05, 2.0 + STALE_S) == 0.05

"""Where users are at home."""

from __future__ import annotations

import pytest

from routing import affinity
from routing.affinity import CONFIRM_S, Affinity, Errand


def test_a_user_is_at_home_where_the_last_answer_came_from() -> None:
    homes = Affinity()
    assert homes.home("u") is None
    homes.settle("u", "eastus")
    homes.settle("u", "westus")
    assert homes.home("u") == "westus"
    assert homes.home("v") is None


def test_nobody_has_no_home() -> None:
    homes = Affinity()
    homes.settle(None, "eastus")
    assert homes.home(None) is None


def test_the_least_recently_seen_user_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "CAPACITY", 3)
    homes = Affinity()
    for user in "abc":
        homes.settle(user, "eastus")
    homes.home("a")  # seen by being asked for
    homes.settle("b", "westus")  # seen by an answer
    homes.settle("d", "eastus")
    assert [homes.home(user) for user in "abcd"] == ["eastus", "westus", None, "eastus"]


# ---------------------------------------------------------------------- errands to a shared store
def test_an_unknown_user_is_asked_for_once_and_a_known_one_is_not() -> None:
    homes = Affinity()
    homes.home("u")
    homes.home("u")
    assert homes.errands(10) == [Errand("u", None, None)]
    homes.confirmed("u", "eastus", 3, 0.0)
    assert homes.home("u", CONFIRM_S) == "eastus"
    assert homes.errands(10) == []


def test_a_home_that_was_not_confirmed_for_long_is_asked_for_again() -> None:
    homes = Affinity()
    homes.confirmed("u", "eastus", 3, 0.0)
    assert homes.home("u", CONFIRM_S + 1) == "eastus", "stale, and used while it is asked for"
    assert homes.errands(10) == [Errand("u", None, None)]


def test_the_store_is_told_of_a_first_home_and_of_the_version_that_was_left() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    assert homes.errands(10) == [Errand("u", "eastus", None)]
    homes.confirmed("u", "eastus", 1, 0.0)
    homes.settle("u", "eastus")
    assert homes.errands(10) == []
    homes.settle("u", "westus")
    homes.home("u")
    assert homes.errands(10) == [Errand("u", "westus", 1)]


def test_a_home_never_moves_back() -> None:
    homes = Affinity()
    homes.confirmed("u", "westus", 4, 0.0)
    homes.confirmed("u", "eastus", 3, 1.0)
    assert homes.home("u") == "westus"
    homes.confirmed("u", "eastus", 5, 2.0)
    assert homes.home("u") == "eastus"


def test_errands_that_were_put_off_do_not_replace_newer_ones() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    homes.settle("v", "eastus")
    taken = homes.errands(10)
    homes.settle("u", "westus")
    homes.put_off(taken)
    assert {errand.user: errand.region for errand in homes.errands(10)} == {"u": "westus", "v": "eastus"}


def test_errands_are_bounded_and_those_dropped_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "MOST_ERRANDS", 3)
    homes = Affinity()
    for user in "abcde":
        homes.settle(user, "eastus")
    assert (homes.waiting, homes.dropped) == (3, 2)
    assert [errand.user for errand in homes.errands(2)] == ["c", "d"]

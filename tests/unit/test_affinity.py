"""Where users are at home."""

from __future__ import annotations

import pytest

from routing import affinity
from routing.affinity import CONFIRM_S, NONE_S, Affinity, Errand
from routing.ports import Home


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


def test_one_detour_leaves_the_home_where_it_was() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    for _ in range(3):
        homes.left("u", "eastus", "westus")
        assert homes.home("u") == "eastus"
        homes.stayed("u", "eastus")


def test_the_second_detour_in_a_row_moves_the_home() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    homes.left("u", "eastus", "westus")
    homes.left("u", "eastus", "northeurope")
    assert homes.home("u") == "northeurope"
    homes.left("u", "northeurope", "westus")
    assert homes.home("u") == "northeurope", "counted anew"


def test_a_detour_may_move_the_home_at_once() -> None:
    homes = Affinity()
    homes.settle("u", "mars")
    homes.left("u", "mars", "westus", at_once=True)
    assert homes.home("u") == "westus"


def test_requests_that_were_decided_before_the_user_moved_say_nothing_of_the_new_home() -> None:
    """Five leave a crowded region side by side: the home moves once, and the next detour is the first from there."""
    homes = Affinity()
    homes.settle("u", "eastus")
    for region in ("westus", "westus", "northeurope", "northeurope", "northeurope"):
        homes.left("u", "eastus", region)
    assert homes.home("u") == "westus"
    homes.left("u", "westus", "northeurope")
    homes.stayed("u", "eastus")
    homes.left("u", "westus", "northeurope")
    assert homes.home("u") == "northeurope"


def test_who_settles_where_they_are_at_home_has_made_no_detour() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    homes.left("u", "eastus", "westus")
    homes.settle("u", "eastus")
    homes.left("u", "eastus", "westus")
    assert homes.home("u") == "eastus"


def test_only_a_user_who_is_not_known_is_met() -> None:
    homes = Affinity()
    homes.meet("u", "eastus")
    homes.meet("u", "westus")
    homes.meet(None, "eastus")
    assert (homes.home("u"), homes.home(None)) == ("eastus", None)


def test_nobody_and_whom_nobody_knows_make_no_detour() -> None:
    homes = Affinity()
    for user in (None, "u"):
        homes.left(user, "eastus", "westus")
        homes.left(user, "eastus", "westus", at_once=True)
        homes.stayed(user, "eastus")
        assert homes.home(user) is None


# ---------------------------------------------------------------------- errands to a shared store
ASK = Errand("u", None, None)


def test_an_unknown_user_is_asked_for_once_and_a_known_one_is_not() -> None:
    homes = Affinity()
    homes.home("u")
    homes.home("u")
    assert homes.errands(10) == [ASK]
    homes.answered(ASK, Home("eastus", 3, 0.0), 0.0)
    assert homes.home("u", CONFIRM_S) == "eastus"
    assert homes.errands(10) == []


def test_a_home_that_was_not_confirmed_for_long_is_asked_for_again() -> None:
    homes = Affinity()
    homes.answered(ASK, Home("eastus", 3, 0.0), 0.0)
    assert homes.home("u", CONFIRM_S + 1) == "eastus", "stale, and used while it is asked for"
    assert homes.errands(10) == [ASK]


def test_the_store_is_told_of_a_first_home_and_of_the_version_that_was_left() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    assert homes.errands(10) == [Errand("u", "eastus", None)]
    homes.answered(Errand("u", "eastus", None), Home("eastus", 1, 0.0), 0.0)
    homes.settle("u", "eastus")
    assert homes.errands(10) == []
    homes.settle("u", "westus")
    homes.home("u")
    assert homes.errands(10) == [Errand("u", "westus", 1)]


def test_until_the_store_was_told_each_request_of_the_user_brings_the_errand_again() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    for _ in range(3):
        assert homes.errands(10) == [Errand("u", "eastus", None)], "and it got lost"
        homes.home("u")
    homes.answered(Errand("u", "eastus", None), None, 0.0)  # others were faster, thrice
    assert homes.home("u") == "eastus"
    assert homes.errands(10) == [Errand("u", "eastus", None)]


def test_a_user_whom_another_region_moved_is_at_home_there() -> None:
    homes = Affinity()
    homes.answered(ASK, Home("eastus", 1, 0.0), 0.0)
    homes.settle("u", "westus")
    homes.answered(Errand("u", "westus", 1), Home("swedencentral", 2, 0.0), 0.0)
    assert homes.home("u") == "swedencentral"


def test_an_answer_from_before_the_user_left_changes_nothing() -> None:
    homes = Affinity()
    homes.answered(ASK, Home("eastus", 4, 0.0), 0.0)
    homes.settle("u", "westus")
    for version in (3, 4):
        homes.answered(ASK, Home("eastus", version, 0.0), 1.0)
        assert homes.home("u", 1.0) == "westus"
    assert homes.errands(10) == [Errand("u", "westus", 4)]


def test_a_user_who_moves_on_while_the_store_is_told_leaves_the_home_that_it_was_told_of() -> None:
    homes = Affinity()
    homes.settle("u", "eastus")
    [errand] = homes.errands(10)
    homes.settle("u", "westus")
    homes.answered(errand, Home("eastus", 1, 0.0), 1.0)
    assert homes.home("u", 1.0) == "westus"
    assert homes.errands(10) == [Errand("u", "westus", 1)]


def test_a_home_that_the_store_has_lost_is_told_again() -> None:
    homes = Affinity()
    homes.answered(ASK, Home("eastus", 4, 0.0), 0.0)
    homes.answered(ASK, None, 1.0)
    assert homes.home("u", 1.0) == "eastus"
    assert homes.errands(10) == [Errand("u", "eastus", None)]


def test_nothing_is_told_of_a_user_whom_nobody_knows() -> None:
    homes = Affinity()
    homes.answered(ASK, None, 0.0)
    assert homes.errands(10) == []


def test_a_user_of_whom_the_store_has_no_home_is_not_asked_for_again_for_some_time() -> None:
    """Their requests may all fail, and those that are only explained are answered by nobody."""
    homes = Affinity()
    homes.answered(ASK, None, 0.0)
    for _ in range(3):
        assert homes.home("u", NONE_S) is None
    assert homes.errands(10) == []
    assert homes.home("u", NONE_S + 1) is None
    assert homes.errands(10) == [ASK]
    homes.answered(ASK, None, NONE_S + 1)
    homes.home("u", NONE_S + 2)
    assert homes.errands(10) == []


def test_a_user_of_whom_the_store_has_no_home_gets_the_first_one_that_is_found() -> None:
    homes = Affinity()
    homes.answered(ASK, None, 0.0)
    homes.meet("u", "eastus")
    assert homes.home("u", 0.0) == "eastus"
    assert homes.errands(10) == [Errand("u", "eastus", None)]
    homes.answered(Errand("v", None, None), None, 0.0)
    homes.answered(Errand("v", None, None), Home("westus", 3, 0.0), NONE_S + 1)
    assert homes.home("v", NONE_S + 1) == "westus"


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

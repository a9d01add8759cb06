"""Where users are at home."""

from __future__ import annotations

import pytest

from routing import affinity
from routing.affinity import Affinity


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

"""The way to a caller's users in a region, as its frontends report it."""

from __future__ import annotations

import math
from random import Random

import pytest

from routing.latency import last_mile
from routing.latency.last_mile import FEWEST, FORGET_S, LONGEST_S, PERIOD_S, LastMile

CALLER = "web"


class Reported:
    """Reports of one caller of one region, with a clock that is set by hand: PERIOD_S from one to the next."""

    def __init__(self, *seconds: float, region: str = "eu", apart_s: float = PERIOD_S) -> None:
        self.now = 100.0
        self.mile = LastMile()
        self.report(*seconds, region=region, apart_s=apart_s)

    def report(self, *seconds: float, caller: str = CALLER, region: str = "eu", apart_s: float = PERIOD_S) -> None:
        for value in seconds:
            self.now += apart_s
            self.mile.add(caller, region, value, self.now)

    def of(self, region: str | None = "eu", caller: str = CALLER) -> float:
        return self.mile.of(region, caller, self.now)

    def known(self, caller: str = CALLER) -> dict[str, float]:
        return self.mile.known(caller, self.now)


def test_it_counts_from_the_fifth_report_on_and_is_their_mean() -> None:
    assert Reported(*[0.1] * (FEWEST - 1)).of() == 0
    heard = Reported(0.08, 0.12, 0.1, 0.09, 0.11, apart_s=0.0)
    assert heard.of() == pytest.approx(0.1)
    assert heard.known() == {"eu": 100.0}


def test_a_report_is_believed_for_its_own_callers_users_in_its_own_region_only() -> None:
    heard = Reported(*[4.0] * 50, region="far")
    heard.report(*[0.1] * FEWEST, caller="another", region="far")
    assert heard.of("eu") == heard.of(None) == heard.of("far", "a third") == 0
    assert heard.of("far", "another") == pytest.approx(0.1)
    assert heard.known("another") == {"far": 100.0}


@pytest.mark.parametrize("apart_s", [0.5, PERIOD_S, 60.0])
def test_it_follows_what_most_report(apart_s: float) -> None:
    rng = Random(3)
    heard = Reported(*[0.3] * FEWEST)
    heard.report(*(0.08 * math.exp(rng.gauss(0, 0.2)) for _ in range(round(50 * PERIOD_S / apart_s))), apart_s=apart_s)
    if apart_s > PERIOD_S:
        heard.report(*[0.08] * 40, apart_s=apart_s)
    assert heard.of() == pytest.approx(0.08, rel=0.2)


def test_one_wild_report_moves_it_by_a_tenth_at_most() -> None:
    heard = Reported(*[0.1] * 20)
    heard.report(LONGEST_S, apart_s=FORGET_S / 2)
    assert heard.of() == pytest.approx(0.11)


@pytest.mark.parametrize("seconds", [0.0, LONGEST_S])
@pytest.mark.parametrize("reports", [1, 90, 10_000])
def test_however_many_reports_move_it_by_a_tenth_in_ten_seconds_at_most(seconds: float, reports: int) -> None:
    heard = Reported(*[0.03] * 20)
    heard.report(*[seconds] * reports, apart_s=PERIOD_S / reports)
    assert 0.03 * 0.9 - 1e-9 <= heard.of() <= 0.03 * math.exp(0.1) + 1e-9


def test_reports_of_one_instant_do_not_move_what_counts() -> None:
    heard = Reported(*[0.03] * 20)
    before = heard.of()
    heard.report(*[4.9] * 90, apart_s=0.0)
    assert heard.of() == before


@pytest.mark.parametrize("seconds", [-0.001, LONGEST_S + 1, math.nan, math.inf])
def test_what_cannot_be_is_refused(seconds: float) -> None:
    heard = Reported(*[0.1] * 10)
    assert not heard.mile.add(CALLER, "eu", seconds, heard.now)
    assert heard.of() == pytest.approx(0.1)


def test_a_way_of_which_nothing_is_heard_is_forgotten() -> None:
    heard = Reported(*[0.1] * 10)
    heard.now += FORGET_S
    assert heard.of() == pytest.approx(0.1)
    heard.now += 1
    assert heard.of() == 0
    assert heard.known() == {}
    heard.report(*[0.02] * FEWEST)
    assert heard.of() == pytest.approx(0.02), "as if nothing had ever been known"


def test_memory_is_bounded_and_the_least_recently_heard_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_mile, "MOST_WAYS", 3)
    heard = Reported()
    for region in ("a", "b", "c"):
        heard.report(*[0.1] * FEWEST, region=region)
    heard.report(0.1, region="a")
    heard.report(*[0.1] * FEWEST, region="d")
    assert heard.known() == {"c": 100.0, "a": 100.0, "d": 100.0}

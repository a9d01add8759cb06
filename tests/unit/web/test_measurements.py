"""What frontends report: bounded, rate-limited, and believed of their own requests only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.errors import RequestError, TooManyRequests
from routing.latency.last_mile import FEWEST, LastMile
from routing.web import measurements
from routing.web.measurements import BURST, PER_S, Answered, Measurements


class Desk:
    """Measurements with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.taken = Measurements(LastMile(), lambda: self.now)

    def answered(self, request_id: str, caller: str = "web", region: str | None = "swedencentral") -> None:
        self.taken.answered(request_id, Answered(caller, region, 500.0))

    def report(self, caller: str = "web", **body: Any) -> dict[str, Any]:
        return self.taken.report(caller, json.dumps({"request_id": "r", "ttft_ms": 580.0} | body).encode())


def test_the_difference_to_what_the_router_saw_is_the_last_mile() -> None:
    desk = Desk()
    for n in range(FEWEST):
        desk.answered(f"r{n}")
        assert desk.report(request_id=f"r{n}", total_ms=2_000)["recorded"]
    assert desk.taken.last_mile.of("swedencentral") == pytest.approx(0.08)
    assert desk.taken.counts == {"recorded": FEWEST}


def test_a_request_is_reported_once_and_by_its_caller_only() -> None:
    desk = Desk()
    desk.answered("r")
    assert desk.report(caller="another")["recorded"] is False
    assert desk.report()["recorded"] is True
    assert desk.report()["recorded"] is False
    assert desk.report(request_id="never seen")["recorded"] is False
    assert desk.taken.counts == {"recorded": 1, "unknown_request": 3}


@pytest.mark.parametrize("ttft_ms", [1.0, 499.0, 10_000.0])
def test_less_than_the_router_took_and_far_too_much_are_not_believed(ttft_ms: float) -> None:
    desk = Desk()
    desk.answered("r")
    assert desk.report(ttft_ms=ttft_ms)["recorded"] is False
    assert desk.taken.counts == {"implausible": 1}


def test_without_a_user_region_nothing_is_learned() -> None:
    desk = Desk()
    desk.answered("r", region=None)
    assert desk.report()["reason"] == "the request did not say where its user is"
    assert desk.taken.last_mile.known() == {}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("{}", "request_id"),
        ('{"request_id": 5, "ttft_ms": 1}', "request_id"),
        ('{"request_id": "' + "x" * 200 + '", "ttft_ms": 1}', "request_id"),
        ('{"request_id": "r"}', "ttft_ms"),
        ('{"request_id": "r", "ttft_ms": true}', "ttft_ms"),
        ('{"request_id": "r", "ttft_ms": -1}', "ttft_ms"),
        ('{"request_id": "r", "ttft_ms": 1e12}', "ttft_ms"),
        ('{"request_id": "r", "ttft_ms": "5"}', "ttft_ms"),
        ('{"request_id": "r", "ttft_ms": 9, "total_ms": 5}', "total_ms"),
        ('{"request_id": "r", "ttft_ms": 9, "deployment": "d"}', "deployment"),
        ('{"request_id": "r", "ttft_ms": NaN}', None),
        ("[]", None),
    ],
)
def test_a_wrong_report_is_a_400_that_names_the_field(raw: str, field: str | None) -> None:
    with pytest.raises(RequestError) as error:
        Desk().taken.report("web", raw.encode())
    assert error.value.param == field


def test_a_caller_may_report_so_often_and_is_told_when_to_come_back() -> None:
    desk = Desk()
    for _ in range(int(BURST)):
        desk.report()
    with pytest.raises(TooManyRequests) as error:
        desk.report()
    assert 0 < error.value.retry_after_s <= 1 / PER_S
    desk.report(caller="another")
    desk.now += error.value.retry_after_s + 1e-6
    desk.report()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "REMEMBERED", 3)
    desk = Desk()
    for n in range(5):
        desk.answered(f"r{n}")
    assert [desk.report(request_id=f"r{n}")["recorded"] for n in range(5)] == [False, False, True, True, True]

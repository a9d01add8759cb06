"""What frontends report: for receipts of their own, once, in time, where the answer came from; bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.errors import RequestError, TooManyRequests
from routing.latency.last_mile import FEWEST, LastMile
from routing.web import measurements
from routing.web.auth import Keys
from routing.web.measurements import BURST, LIVES_S, PER_S, Measurements
from routing.web.receipt import Receipt, sign

REGIONS = "eastus", "swedencentral", "westus"
KEYS = {"a" * 64: "web", "b" * 64: "another"}


class Desk:
    """Measurements of one instance, with a clock that is set by hand."""

    def __init__(self, origin: str = "eastus", keys: dict[str, str] = KEYS, secret: bytes = b"shared") -> None:
        self.now = 100.0
        self.taken = Measurements(Keys(keys), secret, origin, REGIONS, LastMile(), lambda: self.now)

    def receipt(self, request_id: str = "r", caller: str = "web", region: str = "swedencentral") -> str:
        return self.taken.receipt(caller, request_id, region, 500.0).decode()

    def report(self, receipt: str, caller: str = "web", **body: Any) -> dict[str, Any]:
        return self.taken.report(caller, json.dumps({"receipt": receipt, "ttft_ms": 580.0} | body).encode())


def test_the_difference_to_what_the_router_saw_is_the_last_mile() -> None:
    desk = Desk()
    for n in range(FEWEST):
        told = desk.report(desk.receipt(f"r{n}"), total_ms=2_000)
        assert told == {"object": "router.measurement", "request_id": f"r{n}", "recorded": True, "reason": None}
    assert desk.taken.last_mile.known("web", desk.now) == {"swedencentral": 80.0}
    assert desk.taken.last_mile.known("another", desk.now) == {}
    assert desk.taken.counts == {"recorded": FEWEST}


def test_any_instance_with_the_same_settings_takes_it() -> None:
    here, there = Desk(), Desk()
    assert there.report(here.receipt())["recorded"] is True
    assert there.taken.counts == {"recorded": 1}


def test_an_instance_takes_a_receipt_once() -> None:
    desk = Desk()
    receipt = desk.receipt()
    assert desk.report(receipt)["recorded"] is True
    assert desk.report(receipt, ttft_ms=600.0)["reason"] == "this receipt was reported before"
    assert desk.taken.counts == {"recorded": 1, "repeated": 1}


def test_a_receipt_is_good_for_its_time() -> None:
    desk = Desk()
    late, too_late = desk.receipt("late"), desk.receipt("too late")
    desk.now += LIVES_S
    assert desk.report(late)["recorded"] is True
    desk.now += 1
    assert desk.report(too_late)["reason"] == "a receipt is good for 15 minutes"
    assert desk.taken.counts == {"recorded": 1, "expired": 1}


def test_another_region_does_not_take_it_and_says_which_would() -> None:
    desk = Desk(origin="westus")
    told = desk.report(Desk().receipt())
    assert (told["recorded"], told["reason"]) == (False, "eastus answered this request, and this is westus")
    assert desk.taken.counts == {"other_region": 1}


@pytest.mark.parametrize("ttft_ms", [1.0, 499.0, 10_000.0])
def test_less_than_the_router_took_and_far_too_much_are_not_believed(ttft_ms: float) -> None:
    desk = Desk()
    assert desk.report(desk.receipt(), ttft_ms=ttft_ms)["recorded"] is False
    assert desk.taken.counts == {"implausible": 1}


@pytest.mark.parametrize(
    ("issuer", "caller"),
    [(Desk(), "another"), (Desk(keys={"c" * 64: "web"}), "web"), (Desk(secret=b"other"), "web")],
    ids=["another caller's", "signed where the caller has another key", "another app's"],
)
def test_a_receipt_that_is_not_the_callers_is_a_400(issuer: Desk, caller: str) -> None:
    desk = Desk()
    with pytest.raises(RequestError) as error:
        desk.report(issuer.receipt(), caller=caller)
    assert error.value.param == "receipt"
    assert desk.taken.counts == {"invalid_receipt": 1}
    assert desk.taken.last_mile.known(caller, desk.now) == {}


def test_a_caller_cannot_sign_a_receipt_with_what_it_knows_of_itself() -> None:
    desk = Desk()
    made_up = Receipt("r", "eastus", "westus", 0.1, desk.now)
    with pytest.raises(RequestError):
        desk.report(sign(made_up, Keys(KEYS).secret("web")).decode())
    assert desk.taken.counts == {"invalid_receipt": 1}


def test_a_region_that_is_not_in_the_fleet_is_not_recorded_and_takes_no_memory() -> None:
    desk = Desk()
    for n in range(3):
        told = desk.report(desk.receipt(f"r{n}", region="atlantis"))
        assert (told["recorded"], told["reason"]) == (False, "there is no region 'atlantis' in the fleet")
    assert desk.taken.counts == {"unknown_region": 3}
    assert not desk.taken.last_mile._ways


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("{}", "receipt"),
        ('{"receipt": 5, "ttft_ms": 1}', "receipt"),
        ('{"receipt": null, "ttft_ms": 1}', "receipt"),
        ('{"receipt": "", "ttft_ms": 1}', "receipt"),
        ('{"receipt": "r", "ttft_ms": 1}', "receipt"),
        ('{"receipt": "é.é", "ttft_ms": 1}', "receipt"),
        ('{"receipt": "\\ud800", "ttft_ms": 1}', None),
        ('{"receipt": "r"}', "ttft_ms"),
        ('{"receipt": "r", "ttft_ms": true}', "ttft_ms"),
        ('{"receipt": "r", "ttft_ms": -1}', "ttft_ms"),
        ('{"receipt": "r", "ttft_ms": 1e12}', "ttft_ms"),
        ('{"receipt": "r", "ttft_ms": "5"}', "ttft_ms"),
        ('{"receipt": "r", "ttft_ms": 9, "total_ms": 5}', "total_ms"),
        ('{"receipt": "r", "ttft_ms": 9, "request_id": "r"}', "request_id"),
        ('{"receipt": "r", "ttft_ms": NaN}', None),
        ("[]", None),
    ],
)
def test_a_wrong_report_is_a_400_that_names_the_field(raw: str, field: str | None) -> None:
    with pytest.raises(RequestError) as error:
        Desk().taken.report("web", raw.encode())
    assert error.value.param == field


def test_a_caller_may_report_so_often_and_is_told_when_to_come_back() -> None:
    desk = Desk()
    receipts = {caller: desk.receipt(caller=caller) for caller in ("web", "another")}
    for _ in range(int(BURST)):
        desk.report(receipts["web"])
    with pytest.raises(TooManyRequests) as error:
        desk.report(receipts["web"])
    assert 0 < error.value.retry_after_s <= 1 / PER_S
    desk.report(receipts["another"], caller="another")
    desk.now += error.value.retry_after_s + 1e-6
    desk.report(receipts["web"])


def test_the_memory_of_receipts_is_bounded_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "REMEMBERED", 3)
    desk = Desk()
    receipts = [desk.receipt(f"r{n}") for n in range(4)]
    for receipt in receipts:
        assert desk.report(receipt)["recorded"]
    assert [desk.report(receipt)["recorded"] for receipt in receipts[::-1]] == [False, False, False, True]

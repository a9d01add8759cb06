"""Faults: what is set, what it covers, when it ends, and what is no order at all."""

import json
from pathlib import Path

import pytest

from local.simulator.faults import Faults, Invalid, parse
from routing.fleet import Fleet, load


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return load(Path(__file__).parents[3] / "fleet.json")


def order(faults: Faults, now: float = 0.0, **fields: object) -> None:
    faults.set(parse(json.dumps(fields).encode()), now)


def test_a_fault_holds_until_its_time_is_over(fleet: Fleet) -> None:
    faults = Faults(fleet)
    order(faults, now=100.0, deployment="eastus-gpt-5.4", mode="slow", factor=3, for_s=60)
    fault = faults.of("eastus-gpt-5.4", 159.9)
    assert fault is not None
    assert (fault.mode, fault.factor) == ("slow", 3)
    assert faults.of("westus-gpt-5.4", 159.9) is None
    assert faults.of("eastus-gpt-5.4", 160.0) is None
    assert faults.listed(159.0) == []


def test_a_fault_without_a_time_holds_until_it_is_lifted(fleet: Fleet) -> None:
    faults = Faults(fleet)
    order(faults, deployment="eastus-gpt-5.4", mode="dead")
    assert faults.listed(1e6) == [{"deployment": "eastus-gpt-5.4", "mode": "dead", "remaining_s": None}]
    order(faults, deployment="eastus-gpt-5.4", mode="ok")
    assert faults.listed(1e6) == []


def test_a_fault_of_a_region_covers_its_deployments_by_id_and_by_alias(fleet: Fleet) -> None:
    here = {d.id for d in fleet.deployments if d.region == "westus"}
    for name in ("westus", "us-west"):
        faults = Faults(fleet)
        order(faults, region=name, mode="429", retry_after_s=0.5)
        listed = faults.listed(0.0)
        assert {fault["deployment"] for fault in listed} == here
        assert listed[0]["retry_after_s"] == 0.5


def test_the_last_order_counts(fleet: Fleet) -> None:
    faults = Faults(fleet)
    order(faults, region="westus", mode="dead")
    order(faults, deployment="westus-gpt-5.4", mode="ok")
    order(faults, deployment="westus-gpt-5.1", mode="cut")
    modes = {fault["deployment"]: fault["mode"] for fault in faults.listed(0.0)}
    assert "westus-gpt-5.4" not in modes
    assert modes["westus-gpt-5.1"] == "cut"
    assert modes["westus-gpt-5.4-nano"] == "dead"
    faults.clear()
    assert faults.listed(0.0) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ("[]", "body"),
        ("{}", "mode"),
        ('{"mode": "slow"}', "deployment"),
        ('{"mode": "slow", "deployment": "eastus-gpt-5.4", "region": "eastus"}', "deployment"),
        ('{"mode": "slow", "deployment": "nowhere"}', "deployment"),
        ('{"mode": "slow", "region": "mars"}', "region"),
        ('{"mode": "slow", "region": ""}', "region"),
        ('{"mode": "wobbly", "region": "eastus"}', "mode"),
        ('{"mode": 429, "region": "eastus"}', "mode"),
        ('{"mode": "slow", "region": "eastus", "factor": 0.5}', "factor"),
        ('{"mode": "slow", "region": "eastus", "factor": "8"}', "factor"),
        ('{"mode": "slow", "region": "eastus", "factor": NaN}', "factor"),
        ('{"mode": "429", "region": "eastus", "retry_after_s": 0}', "retry_after_s"),
        ('{"mode": "dead", "region": "eastus", "for_s": -1}', "for_s"),
        ('{"mode": "dead", "region": "eastus", "for_s": 1e9}', "for_s"),
        ('{"mode": "dead", "region": "eastus", "for": 60}', "for"),
    ],
)
def test_a_wrong_order_is_refused_by_the_name_of_its_field(fleet: Fleet, body: str, field: str) -> None:
    faults = Faults(fleet)
    with pytest.raises(Invalid) as caught:
        faults.set(parse(body.encode()), 0.0)
    assert caught.value.field == field
    assert faults.listed(0.0) == []

"""Which deployments may serve a request at all, and the reason for each one that may not."""

from __future__ import annotations

import pytest

from routing.fleet import Fleet
from routing.policy import eligible
from routing.policy.eligible import Eligibility, Eligible
from routing.request import Demand
from tests.unit.fleets import deployment, fleet, model


def small() -> Fleet:
    """One deployment of each kind that matters: s(tandard), z(one) and g(lobal) in eastus, e in Sweden, c of Claude."""
    return fleet(
        deployment("s"),
        deployment("z", type="DataZoneStandard"),
        deployment("g", type="GlobalStandard"),
        deployment("e", region="swedencentral", type="DataZoneStandard"),
        deployment("c", model="claude", provider="claude_foundry", region="westus"),
        models=[
            model("m", unsupported_parameters=["temperature", "top_p"]),
            model("claude", vendor="anthropic", quality_tier=5, capabilities=["tools"], max_output_tokens=64_000),
        ],
    )


def of(demand: Demand, disabled: frozenset[int] = frozenset()) -> Eligible:
    return Eligibility(small(), disabled).of(demand)


def names(deployments: tuple[int, ...]) -> str:
    return "".join(small().deployments[d].id for d in deployments)


def test_without_demands_everything_may_serve() -> None:
    assert of(Demand()) == Eligible((0, 1, 2, 3, 4), (), {})


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        (("us",), "szc"),
        (("eu",), "e"),
        (("eastus",), "s"),  # a data zone is no region
        (("us-east",), "s"),
        (("swedencentral",), ""),
        (("westus", "eu"), "ec"),
        (("asia",), ""),
        (("nowhere",), ""),
    ],
)
def test_residency_is_judged_by_where_inference_may_run(allowed: tuple[str, ...], left: str) -> None:
    """Standard: its region or geography. Data zone: its geography. Global: nowhere in particular, so never."""
    told = of(Demand(allowed_regions=allowed))
    assert names(told.first) == left
    assert set(told.excluded.values()) == {"residency"}


@pytest.mark.parametrize(
    ("demand", "left", "reason"),
    [
        (Demand(models=("m",)), "szge", "model"),
        (Demand(min_quality_tier=4), "c", "quality_tier"),
        (Demand(dialect="anthropic", untranslatable="thinking"), "c", "dialect: thinking"),
        (Demand(needs=frozenset({"tools", "json_schema", "images"})), "szge", "capability: images"),
        (Demand(parameters=frozenset({"top_p", "temperature", "seed"})), "c", "parameter: temperature"),
        (Demand(output_tokens=64_000), "c", "output limit: max_tokens above 16384"),
        (Demand(output_tokens=16_384), "szgec", None),
        (Demand(pinned="g"), "g", "pinned"),
    ],
)
def test_each_demand_excludes_with_its_reason(demand: Demand, left: str, reason: str | None) -> None:
    told = of(demand)
    assert names(told.first) == left
    assert set(told.excluded.values()) == ({reason} if reason else set())


def test_each_deployment_is_either_eligible_or_excluded() -> None:
    told = of(Demand(models=("m",), allowed_regions=("us",), fallbacks=("claude",)))
    assert sorted((*told.first, *told.standby, *told.excluded)) == [0, 1, 2, 3, 4]


def test_stand_ins_keep_every_other_demand() -> None:
    told = of(Demand(models=("m",), fallbacks=("claude",), allowed_regions=("us",)))
    assert (names(told.first), names(told.standby)) == ("sz", "c")
    assert of(Demand(models=("m",), fallbacks=("claude",), allowed_regions=("eu",))).standby == ()


def test_a_deployment_without_an_endpoint_is_out() -> None:
    told = of(Demand(), frozenset({1}))
    assert names(told.first) == "sgec"
    assert told.excluded == {1: "no_endpoint"}


def test_answers_are_computed_once_per_kind_of_request_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligible, "REMEMBERED", 2)
    told = Eligibility(small(), frozenset())
    first = told.of(Demand(min_quality_tier=1))
    assert told.of(Demand(min_quality_tier=1)) is first
    told.of(Demand(min_quality_tier=2))
    told.of(Demand(min_quality_tier=3))
    assert len(told._known) == 2
    assert told.of(Demand(min_quality_tier=1)) == first

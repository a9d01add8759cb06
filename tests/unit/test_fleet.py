"""The fleet file: what it may say, how faults are told, and what follows from it."""

from __future__ import annotations

import itertools
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from routing.errors import ConfigurationError, UnknownModel
from routing.fleet import Fleet, LatencyProfile, Region, json_schema, load
from tests.unit.fleets import deployment, file, fleet, model, prior

ROOT = Path(__file__).parents[2]


def written(content: Any, folder: Path) -> Path:
    path = folder / "fleet.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# ---------------------------------------------------------------------- the product's own file
def test_the_products_fleet_loads() -> None:
    assert load(ROOT / "fleet.json").deployments


def test_the_products_fleet_is_valid_against_its_schema() -> None:
    schema = json.loads((ROOT / "fleet.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((ROOT / "fleet.json").read_text()), schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_is_the_codes() -> None:
    """`make schema` writes it."""
    assert (ROOT / "fleet.schema.json").read_text() == json_schema()


def test_nothing_is_provisioned_that_has_retired() -> None:
    real = load(ROOT / "fleet.json")
    retired = {m.id for m in real.models if m.retires and m.retires < date(2026, 11, 24)}
    assert [d.id for d in real.deployments if d.provision and d.model in retired] == []


# ---------------------------------------------------------------------- faults are told with their place
def _set(*path: str | int, to: Any) -> Any:
    """A change of the valid file: `to` at the end of `path`, or the key gone where `to` is None."""

    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        if to is None:
            del content[path[-1]]
        else:
            content[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_set("deployments", 1, "model", to="nope"), "deployments[1].model: no model 'nope'"),
        (_set("deployments", 1, "region", to="mars"), "deployments[1].region: no region 'mars'"),
        (_set("deployments", 1, "region", to="us-east"), "deployments[1].region: no region 'us-east'"),
        (_set("deployments", 1, "id", to="a"), "deployments: the name 'a' stands twice"),
        (_set("deployments", 0, "concurrency", to=0), "deployments[0].concurrency: "),
        (_set("deployments", 0, "concurrency", to="many"), "deployments[0].concurrency: "),
        (_set("deployments", 0, "tokens_per_minute", to=-5), "deployments[0].tokens_per_minute: "),
        (_set("deployments", 0, "type", to="Regional"), "deployments[0].type: "),
        (_set("deployments", 0, "provider", to="acme"), "deployments[0].provider: "),
        (_set("deployments", 0, "resource", to="a b"), "deployments[0].resource: "),
        (_set("deployments", 0, "endpoint", to="https://x"), "deployments[0].endpoint: "),
        (_set("deployments", 0, "resource", to=None), "deployments[0].resource: "),
        (_set("deployments", to=[]), "deployments: "),
        (_set("models", 0, "latency", "ttft_ms", to=0), "models[0].latency.ttft_ms: "),
        (_set("models", 0, "latency", "ttft_p90_ms", to=100), "models[0].latency: ttft_ms, ttft_p90_ms"),
        (_set("models", 0, "quality_tier", to=6), "models[0].quality_tier: "),
        (_set("models", 0, "capabilities", to=["telepathy"]), "models[0].capabilities[0]: "),
        (_set("models", 0, "retires", to="soon"), "models[0].retires: "),
        (_set("models", 0, "first_content_timeout_s", to=300), "models[0].first_content_timeout_s: "),
        (_set("regions", 1, "latitude", to=97), "regions[1].latitude: "),
        (_set("regions", 1, "aliases", to=["us-east"]), "regions: the name 'us-east' stands twice"),
        (_set("aliases", to=[{"name": "fast", "models": ["m", "gone"]}]), "aliases[0].models: no model 'gone'"),
        (_set("aliases", to=[{"name": "m", "models": ["m"]}]), "models: the name 'm' stands twice"),
        (_set("aliases", to=[{"name": "auto", "models": ["m"]}]), "models: the name 'auto' stands twice"),
        (_set("aliases", to=[{"name": "fast", "models": []}]), "aliases[0].models: "),
        (_set("fallbacks", to=[{"model": "gone", "models": ["m"]}]), "fallbacks[0].model: no model 'gone'"),
        (_set("fallbacks", to=[{"model": "m", "models": ["gone"]}]), "fallbacks[0].models: no model 'gone'"),
        (_set("fallbacks", to=[{"model": "m", "models": ["m"]}] * 2), "fallbacks: the name 'm' stands twice"),
        (_set("colour", to="blue"), "colour: "),
    ],
)
def test_a_fault_is_told_with_its_place_in_the_file(change: Any, place: str, tmp_path: Path) -> None:
    content = file(deployment("a"), deployment("b"))
    Fleet.model_validate_json(json.dumps(content))
    change(content)
    with pytest.raises(ConfigurationError) as refused:
        load(written(content, tmp_path))
    assert place in refused.value.message
    assert "fleet.json" in refused.value.message


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    content = file(deployment("a", model="x"), deployment("b", region="y"))
    with pytest.raises(ConfigurationError) as refused:
        load(written(content, tmp_path))
    assert "deployments[0].model: no model 'x'; deployments[1].region: no region 'y'" in refused.value.message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_must_be_finite(number: str, tmp_path: Path) -> None:
    text = json.dumps(file(deployment("a", latency=prior(777.0)))).replace("777.0", number)
    with pytest.raises(ConfigurationError, match=r"deployments\[0\].latency.ttft_ms|Invalid JSON"):
        load(written(text, tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '"fleet"', "{} {}"])
def test_what_is_no_fleet_file_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fleet\.json"):
        load(written(text, tmp_path))


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ROUTER_FLEET"):
        load(tmp_path / "none.json")


# ---------------------------------------------------------------------- names
def test_names_resolve_to_models_and_stand_ins() -> None:
    made = fleet(
        deployment("a"),
        models=[model("m"), model("n"), model("o")],
        aliases=[{"name": "fast", "models": ["n", "o"]}],
        fallbacks=[{"model": "m", "models": ["o"]}],
    )
    assert made.resolve("auto") == ((), ())
    assert made.resolve("fast") == (("n", "o"), ())
    assert made.resolve("m") == (("m",), ("o",))
    assert made.resolve("n") == (("n",), ())


def test_an_unknown_name_is_told_to_the_caller() -> None:
    with pytest.raises(UnknownModel, match="'gpt-9' is no model") as refused:
        fleet(deployment("a")).resolve("gpt-9")
    assert (refused.value.param, refused.value.status) == ("model", 404)


def test_an_upstream_name_is_the_models_unless_given() -> None:
    made = fleet(deployment("a"), deployment("b", name="prod-m"))
    assert [d.upstream_name for d in made.deployments] == ["m", "prod-m"]


@pytest.mark.parametrize(
    ("provider", "dialect"),
    [
        ("azure_openai", "openai"),
        ("openai", "openai"),
        ("openai_compatible", "openai"),
        ("claude_foundry", "anthropic"),
        ("anthropic", "anthropic"),
    ],
)
def test_each_provider_speaks_one_dialect(provider: str, dialect: str) -> None:
    assert fleet(deployment("a", provider=provider)).deployments[0].dialect == dialect


# ---------------------------------------------------------------------- places
@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("Standard", ("eastus", "us-east", "us")),
        ("SelfHosted", ("eastus", "us-east", "us")),
        ("DataZoneStandard", ("us",)),
        ("GlobalStandard", ()),
    ],
)
def test_where_inference_may_run_follows_the_deployments_type(kind: str, places: tuple[str, ...]) -> None:
    made = fleet(deployment("a", type=kind))
    assert made.inference_may_run_in(made.deployments[0]) == places


def kilometres(a: Region, b: Region) -> float:
    """By the spherical law of cosines."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (a.latitude, a.longitude, b.latitude, b.longitude))
    cosine = math.sin(lat_a) * math.sin(lat_b) + math.cos(lat_a) * math.cos(lat_b) * math.cos(lon_b - lon_a)
    return 6371.0 * math.acos(cosine)


def test_the_round_trip_prior_grows_with_the_distance_on_the_globe() -> None:
    """15.6 ms and 14.9 ms per 1,000 km; 2 ms within a region."""
    made = fleet(deployment("a"))
    for a, b in itertools.permutations(made.regions, 2):
        assert made.rtt_ms(a.id, b.id) == pytest.approx(15.6 + 0.0149 * kilometres(a, b))
        assert made.rtt_ms(a.id, a.id) == 2.0


def test_a_region_by_any_of_its_names_is_the_same_place() -> None:
    made = fleet(deployment("a"))
    assert made.rtt_ms("us-east", "eastus") == 2.0
    assert made.rtt_ms("us-east", "westus") == made.rtt_ms("eastus", "us-west")


@pytest.mark.parametrize(
    ("place", "origin", "region"),
    [
        ("us", "westus", "westus"),
        ("us", "us-east", "eastus"),
        ("us", "swedencentral", "eastus"),
        ("eu", "westus", "swedencentral"),
        ("eastus", "westus", "eastus"),
        ("asia", "westus", None),
    ],
)
def test_of_a_geography_the_nearest_region_is_meant(place: str, origin: str, region: str | None) -> None:
    assert fleet(deployment("a")).nearest(place, origin) == region


# ---------------------------------------------------------------------- what models differ in
def test_limits_of_answers_fall_into_steps_at_what_models_can_write() -> None:
    models = [model("m", max_output_tokens=4_096), model("n", max_output_tokens=16_384)]
    made = fleet(deployment("a"), models=models)
    steps = {tokens: made.output_step(tokens) for tokens in (0, 4_096, 4_097, 16_384, 16_385)}
    assert steps == {0: 0, 4_096: 0, 4_097: 16_384, 16_384: 16_384, 16_385: 16_385}


def test_the_parameters_that_some_model_refuses() -> None:
    models = [model("m", unsupported_parameters=["top_p"]), model("n", unsupported_parameters=["top_p", "seed"])]
    assert fleet(deployment("a"), models=models).refused_parameters == {"top_p", "seed"}


# ---------------------------------------------------------------------- priors and retirement
def test_a_priors_spread_is_read_off_its_90_percent_point() -> None:
    assert LatencyProfile(**prior(500, tail=2.0)).spread == pytest.approx(math.log(2) / 1.2816)
    assert LatencyProfile(**prior(500, tail=1.0)).spread == 0.15


@pytest.mark.parametrize(
    ("retires", "told"),
    [("2027-01-23", True), ("2027-01-24", False), ("2026-11-01", True), (None, False)],
)
def test_sixty_days_before_a_model_retires_notice_is_given(retires: str | None, told: bool) -> None:
    made = fleet(deployment("a"), models=[model("m", retires=retires)])
    assert [m.id for m in made.retiring(date(2026, 11, 24))] == (["m"] if told else [])


def test_a_fleet_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        fleet(deployment("a")).deployments[0].region = "westus"

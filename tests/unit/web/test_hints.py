"""A caller's hints: what each may say, where it may be said, and that whatever else is said is a 400 naming it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from routing.errors import RequestError
from routing.request import Hints, LatencyPriority
from routing.web.hints import CHECKS, HEADERS, LONGEST_TEXT, MOST_REGIONS, hints, split
from tests.unit import fleets

FLEET = fleets.equal(1)  # regions eastus (us-east, us), westus (us-west, us), swedencentral (eu-north, eu)


def said(headers: Mapping[str, str] | None = None, **body: Any) -> Hints:
    return hints(body, headers or {}, FLEET)


def refused(headers: Mapping[str, str] | None = None, **body: Any) -> RequestError:
    with pytest.raises(RequestError) as failure:
        said(headers, **body)
    assert (failure.value.status, failure.value.code) == (400, "invalid_request")
    assert failure.value.param is not None
    assert failure.value.param in failure.value.message
    return failure.value


# ---------------------------------------------------------------------- values in the body
GOOD: dict[str, list[tuple[Any, Any]]] = {
    "priority": [("streaming", LatencyPriority.STREAMING), ("total", LatencyPriority.TOTAL),
                 ("throughput", LatencyPriority.THROUGHPUT)],
    "max_ttft_ms": [(1, 1.0), (500.5, 500.5), (600_000, 600_000.0)],
    "max_total_ms": [(1, 1.0), (600_000, 600_000.0)],
    "min_tokens_per_second": [(0.001, 0.001), (40, 40.0), (100_000, 100_000.0)],
    "percentile": [(1, 1.0), (50, 50.0), (99.9, 99.9)],
    "require": [(True, True), (False, False)],
    "min_quality_tier": [(1, 1), (5, 5)],
    "max_cost_usd": [(0, 0.0), (0.01, 0.01), (1_000_000, 1_000_000.0)],
    "allowed_regions": [(["eastus"], ("eastus",)), (["us-east", "eu"], ("eastus", "eu"))],
    "user_id": [("u", "u"), ("x" * LONGEST_TEXT, "x" * LONGEST_TEXT), ("né\n", "né\n")],
    "user_region": [("swedencentral", "swedencentral"), ("eu-north", "swedencentral"), ("us", "us")],
    "user_location": [("Stockholm", "Stockholm")],
    "session_id": [("s", "s")],
    "hedge": [("auto", "auto"), ("off", "off")],
    "expected_tokens": [(1, 1), (10_000_000, 10_000_000)],
    "explain": [(True, True), (False, False)],
}  # fmt: skip
NUMBERS = [0, -1, float("nan"), float("inf"), -float("inf"), 1e308, 10**9, "12", "", True, [1], {"a": 1}]
WHOLE = [0, -1, 1.0, float("nan"), "1", True, [], 10**30]
TEXTS = [5, True, "", "x" * (LONGEST_TEXT + 1), ["a"], {}]
FLAGS = [0, 1, "true", "", [], {}]
BAD: dict[str, list[Any]] = {
    "priority": ["fast", "STREAMING", "", 5, True, ["total"], {}],
    "max_ttft_ms": NUMBERS,
    "max_total_ms": NUMBERS,
    "min_tokens_per_second": NUMBERS,
    "percentile": [0.9, 0, 99.99, 100, -1, float("nan"), "95", True],
    "require": FLAGS,
    "min_quality_tier": [*WHOLE, 6],
    "max_cost_usd": [-0.01, float("nan"), float("inf"), 1e7, "1", True],
    "allowed_regions": [[], "eu", ["nowhere"], ["eu", "nowhere"], [5], [""], [None], {"eu": 1}, 5,
                        ["eu"] * (MOST_REGIONS + 1)],
    "user_id": TEXTS,
    "user_region": [*TEXTS, "nowhere", "EU"],
    "user_location": TEXTS,
    "session_id": TEXTS,
    "hedge": ["on", "", True, 1, ["off"]],
    "expected_tokens": [*WHOLE, 10_000_001],
    "explain": FLAGS,
}  # fmt: skip


def test_every_hint_has_its_good_and_its_bad_values_here() -> None:
    assert set(GOOD) == set(BAD) == set(CHECKS) == set(Hints.__dataclass_fields__)


@pytest.mark.parametrize(("name", "value", "read"), [(n, v, r) for n, pairs in GOOD.items() for v, r in pairs])
def test_a_good_value_is_read(name: str, value: Any, read: Any) -> None:
    got = getattr(said(**{name: value}), name)
    assert (got, type(got)) == (read, type(read))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_and_named(name: str, value: Any) -> None:
    assert refused(**{name: value}).param == f"routing.{name}"


@pytest.mark.parametrize("name", list(CHECKS))
def test_null_is_no_wish(name: str) -> None:
    assert said(**{name: None}) == Hints()


@pytest.mark.parametrize("name", ["prioritty", "PRIORITY", "max_latency", "", "midstream"])
def test_a_hint_that_there_is_none_is_refused_with_those_that_there_are(name: str) -> None:
    unknown: dict[str, Any] = {name: 1}
    failure = refused(**unknown)
    assert failure.param == f"routing.{name}"
    assert "max_ttft_ms" in failure.message


def test_no_hint_is_the_default() -> None:
    assert said() == Hints()


# ---------------------------------------------------------------------- headers
HEADER_VALUES: dict[str, tuple[str, Any]] = {
    "x-router-priority": ("throughput", LatencyPriority.THROUGHPUT),
    "x-router-max-ttft-ms": ("500", 500.0),
    "x-router-max-total-ms": ("3000.5", 3000.5),
    "x-router-min-quality-tier": ("3", 3),
    "x-router-allowed-regions": ("eu, us-east", ("eu", "eastus")),
    "x-router-user-region": ("eu-north", "swedencentral"),
    "x-router-user-id": ("u", "u"),
    "x-router-session-id": ("s", "s"),
    "x-router-hedge": ("off", "off"),
    "x-router-explain": ("True", True),
    "x-slo-ttft-ms": ("250", 250.0),
}
BAD_HEADERS = [
    ("x-router-priority", "fast"),
    ("x-router-max-ttft-ms", "soon"),
    ("x-router-max-ttft-ms", ""),
    ("x-router-max-ttft-ms", "nan"),
    ("x-router-max-ttft-ms", "inf"),
    ("x-router-max-ttft-ms", "-1"),
    ("x-router-max-ttft-ms", "0"),
    ("x-router-max-ttft-ms", "1e999"),
    ("x-router-max-total-ms", "1e9"),
    ("x-slo-ttft-ms", "x"),
    ("x-router-min-quality-tier", "0"),
    ("x-router-min-quality-tier", "six"),
    ("x-router-min-quality-tier", "1.5"),
    ("x-router-min-quality-tier", "-1"),
    ("x-router-min-quality-tier", "٣"),
    ("x-router-min-quality-tier", "9" * 5000),
    ("x-router-allowed-regions", ""),
    ("x-router-allowed-regions", "eu,"),
    ("x-router-allowed-regions", "eu,nowhere"),
    ("x-router-user-region", "nowhere"),
    ("x-router-user-id", ""),
    ("x-router-session-id", "x" * (LONGEST_TEXT + 1)),
    ("x-router-hedge", "on"),
    ("x-router-explain", "yes"),
    ("x-router-explain", "1"),
]


def test_every_header_has_its_value_here() -> None:
    assert set(HEADER_VALUES) == set(HEADERS)


@pytest.mark.parametrize(("header", "value", "read"), [(h, v, r) for h, (v, r) in HEADER_VALUES.items()])
def test_a_header_says_its_hint(header: str, value: str, read: Any) -> None:
    assert said({header: value}) == Hints(**{HEADERS[header]: read})


@pytest.mark.parametrize(("header", "value"), BAD_HEADERS)
def test_a_bad_header_is_refused_and_named(header: str, value: str) -> None:
    assert refused({header: value}).param == header


@pytest.mark.parametrize("header", ["x-router-prioritty", "x-router-", "x-router-require", "x-router-deployment"])
def test_a_header_of_ours_that_there_is_none_is_refused(header: str) -> None:
    error = refused({header: "1"})
    assert error.param == header
    assert all(there in error.message for there in HEADERS), "and those that there are are named"


def test_other_headers_are_not_ours() -> None:
    assert said({"x-routers": "1", "x-slo-tpot-ms": "5", "x-router-geo": "SE", "accept": "*/*"}) == Hints()


# ---------------------------------------------------------------------- precedence
@pytest.mark.parametrize(("header", "value", "read"), [(h, v, r) for h, (v, r) in HEADER_VALUES.items()])
def test_a_header_wins_over_the_body(header: str, value: str, read: Any) -> None:
    name = HEADERS[header]
    assert getattr(said({header: value}, **{name: GOOD[name][0][0]}), name) == read


def test_our_own_header_wins_over_the_other_name_for_it() -> None:
    assert said({"x-router-max-ttft-ms": "500", "x-slo-ttft-ms": "250"}).max_ttft_ms == 500.0
    assert said({"x-slo-ttft-ms": "250", "x-router-max-ttft-ms": "500"}).max_ttft_ms == 500.0


def test_a_bad_value_in_the_body_is_refused_also_where_a_header_wins() -> None:
    assert refused({"x-router-hedge": "off"}, hedge="on").param == "routing.hedge"


def test_a_region_is_named_where_it_was_said_last() -> None:
    assert refused({"x-router-user-region": "nowhere"}, user_region="eastus").param == "x-router-user-region"


# ---------------------------------------------------------------------- one goal
TTFT, TOTAL, PACE = {"max_ttft_ms": 500}, {"max_total_ms": 3000}, {"min_tokens_per_second": 40}


@pytest.mark.parametrize(
    ("headers", "body", "suffix", "param"),
    [
        ({}, {"priority": "total", **TTFT}, "", "routing.max_ttft_ms"),
        ({}, {"priority": "total", **PACE}, "", "routing.min_tokens_per_second"),
        ({}, {"priority": "throughput", **TTFT, **PACE}, "", "routing.max_ttft_ms"),
        ({}, {"priority": "streaming", **PACE}, "", "routing.min_tokens_per_second"),
        ({}, TTFT, "throughput", "routing.max_ttft_ms"),
        ({}, PACE, "streaming", "routing.min_tokens_per_second"),
        ({}, {**TTFT, **PACE}, "", "routing.min_tokens_per_second"),
        ({"x-slo-ttft-ms": "500"}, {"priority": "total"}, "", "x-slo-ttft-ms"),
        ({"x-slo-ttft-ms": "500", "x-router-max-ttft-ms": "9"}, {"priority": "total"}, "", "x-router-max-ttft-ms"),
        ({"x-router-priority": "total"}, TTFT, "", "routing.max_ttft_ms"),
    ],
)
def test_a_limit_that_the_priority_does_not_look_at_is_refused_and_named(
    headers: dict[str, str], body: dict[str, Any], suffix: str, param: str
) -> None:
    with pytest.raises(RequestError) as failure:
        hints(body, headers, FLEET, suffix)
    assert failure.value.param == param
    assert param in failure.value.message


@pytest.mark.parametrize(
    ("body", "suffix"),
    [
        ({"priority": "streaming", **TTFT, **TOTAL}, ""),
        ({"priority": "total", **TOTAL}, ""),
        ({"priority": "throughput", **PACE, **TOTAL}, ""),
        ({**TTFT, **TOTAL}, ""),
        ({**PACE, **TOTAL}, ""),
        (TTFT, "price"),
        ({"priority": "streaming", **TTFT}, "throughput"),
    ],
)
def test_limits_that_the_priority_looks_at_are_taken(body: dict[str, Any], suffix: str) -> None:
    made = hints(body, {}, FLEET, suffix)
    assert {name: getattr(made, name) for name in body if name != "priority"} == {
        name: value for name, value in body.items() if name != "priority"
    }


def test_a_suffix_is_the_priority_where_nothing_else_is() -> None:
    assert hints({}, {}, FLEET, "throughput").priority is LatencyPriority.THROUGHPUT
    assert hints({"priority": "total"}, {}, FLEET, "throughput").priority is LatencyPriority.TOTAL
    assert hints({}, {}, FLEET, "price").priority is None


def test_a_hint_that_there_is_none_is_named_by_no_more_than_its_beginning() -> None:
    unknown: dict[str, Any] = {"x" * 100_000: 1}
    failure = refused(**unknown)
    assert len(failure.message) < 1_000
    assert len(str(failure.param)) < 300


# ---------------------------------------------------------------------- regions
@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["eastus"], ("eastus",)),
        (["us-east"], ("eastus",)),
        (["us"], ("us",)),
        (["us-east", "eastus", "eu", "eu"], ("eastus", "eu")),
        (["eu-north", "westus"], ("swedencentral", "westus")),
    ],
)
def test_allowed_regions_go_by_id_alias_and_geography(names: list[str], read: tuple[str, ...]) -> None:
    assert said(allowed_regions=names).allowed_regions == read


@pytest.mark.parametrize(
    ("name", "read"),
    [("westus", "westus"), ("us-west", "westus"), ("us", "us"), ("eu", "eu")],
)
def test_a_users_region_goes_by_id_alias_and_geography(name: str, read: str) -> None:
    assert said(user_region=name).user_region == read


def test_an_unknown_region_is_refused_with_all_names_that_there_are_and_little_of_its_own() -> None:
    failure = refused(user_region="x" * 200)
    assert "x" * 41 not in failure.message
    for name in ("eastus", "us-east", "us", "eu-north"):
        assert name in failure.message


# ---------------------------------------------------------------------- suffixes
@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("gpt-4o", ("gpt-4o", "")),
        ("gpt-4o:fast", ("gpt-4o", "streaming")),
        ("auto:nitro", ("auto", "throughput")),
        ("gpt-4o:floor", ("gpt-4o", "price")),
        (":fast", ("", "streaming")),
        ("", ("", "")),
        ("gpt-4o:FAST", ("gpt-4o:FAST", "")),
        ("gpt:fast:fast", ("gpt:fast", "streaming")),
        ("fast", ("fast", "")),
    ],
)
def test_a_models_name_may_end_in_what_is_wanted(model: str, parts: tuple[str, str]) -> None:
    assert split(model) == parts

"""From a parsed body and hints to the request that is routed: models, targets, users, and what travels on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from routing.dialects.openai_chat import parse
from routing.errors import RequestError, UnknownModel
from routing.load.lengths import LONG_ANSWER_TOKENS, Lengths
from routing.request import Ask, ChatRequest, LatencyPriority
from routing.web import asking
from tests.unit import fleets

FLEET = fleets.fleet(
    fleets.deployment("a", model="m"),
    fleets.deployment("b", model="small"),
    models=[
        fleets.model("m", unsupported_parameters=["seed"]),
        fleets.model("small", max_output_tokens=4_096),
        fleets.model("spare"),
        fleets.model("writer", max_output_tokens=64_000),
    ],
    aliases=[{"name": "chat-fast", "models": ["small", "m"]}],
    fallbacks=[{"model": "m", "models": ["spare"]}, {"model": "small", "models": ["spare", "m"]}],
)
HELLO = [{"role": "user", "content": "x" * 400}]
S, T, P = LatencyPriority.STREAMING, LatencyPriority.TOTAL, LatencyPriority.THROUGHPUT


def request(
    headers: Mapping[str, str] | None = None,
    caller: str = "caller",
    country: str | None = None,
    origin: str = "eastus",
    **body: Any,
) -> ChatRequest:
    parsed = parse(json.dumps({"model": "m", "messages": HELLO, **body}).encode())
    return asking.request(parsed, headers or {}, FLEET, Lengths(), caller, "openai", origin, country)


def ask(headers: Mapping[str, str] | None = None, **body: Any) -> Ask:
    return request(headers, **body).ask


# ---------------------------------------------------------------------- models
@pytest.mark.parametrize(
    ("body", "models", "fallbacks"),
    [
        ({"model": "m"}, ("m",), ("spare",)),
        ({"model": "chat-fast"}, ("small", "m"), ()),
        ({"model": "auto"}, (), ()),
        ({"model": "m:fast"}, ("m",), ("spare",)),
        ({"model": "m", "models": ["small"]}, ("m", "small"), ("spare", "m")),
        ({"model": "m", "models": ["chat-fast"]}, ("m", "small"), ("spare",)),
        ({"model": "m", "models": ["auto"]}, (), ("spare",)),
        ({"model": "auto", "models": ["small", "m"]}, ("small", "m"), ("spare", "m")),
        ({"model": "auto:fast", "models": ["m"]}, ("m",), ("spare",)),
        ({"model": "auto", "models": ["auto"]}, (), ()),
        ({"model": None, "models": ["small:nitro", "m"]}, ("small", "m"), ("spare", "m")),
    ],
)
def test_the_models_that_may_serve(body: dict[str, Any], models: tuple[str, ...], fallbacks: tuple[str, ...]) -> None:
    demand = ask(**body).demand
    assert (demand.models, demand.fallbacks) == (models, fallbacks)


@pytest.mark.parametrize("body", [{"model": None}, {"model": ""}, {"model": ":fast"}])
def test_a_request_without_a_model_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as failure:
        request(**body)
    assert (failure.value.param, failure.value.status) == ("model", 400)


@pytest.mark.parametrize(
    "body", [{"model": "gpt-9"}, {"model": "M"}, {"model": "m", "models": ["gpt-9"]}, {"model": "m:quick"}]
)
def test_an_unknown_model_is_a_404(body: dict[str, Any]) -> None:
    with pytest.raises(UnknownModel) as failure:
        request(**body)
    assert (failure.value.status, failure.value.param) == (404, "model")


def test_the_demand_has_what_the_hints_and_the_body_ask_for() -> None:
    hints = {"min_quality_tier": 2, "allowed_regions": ["us-east"]}
    demand = ask(routing=hints, tools=[{"type": "function"}], seed=7).demand
    assert (demand.min_quality_tier, demand.allowed_regions) == (2, ("eastus",))
    assert (demand.dialect, demand.untranslatable) == ("openai", "seed")
    assert (set(demand.needs), set(demand.parameters)) == ({"tools"}, {"seed"})
    assert ask().demand.dialect is None


def test_what_no_model_tells_apart_makes_no_new_kind_of_request() -> None:
    """Eligibility is remembered by kind: what callers invent must not fill that memory."""
    invented: dict[str, Any] = {f"invented_{i}": i for i in range(50)}
    assert ask(model="auto", **invented).demand.parameters == frozenset()
    assert {ask(model="auto", max_tokens=limit).demand for limit in (1, 50, 4_096)} == {ask(model="auto").demand}
    assert len({ask(model="auto", max_tokens=limit).demand for limit in range(5_000, 64_000, 1_000)}) == 2


# ---------------------------------------------------------------------- the longest answer
@pytest.mark.parametrize(
    ("body", "least"),
    [
        ({"model": "auto"}, 0),
        ({"model": "auto", "max_tokens": 4_096}, 0),
        ({"model": "auto", "max_tokens": 4_097}, 16_384),
        ({"model": "auto", "max_completion_tokens": 16_385}, 64_000),
        ({"model": "small", "max_tokens": 16_384}, 16_384),  # its stand-ins can write so many
    ],
)
def test_a_model_must_be_able_to_write_what_the_caller_allows(body: dict[str, Any], least: int) -> None:
    assert ask(**body).demand.output_tokens == least


@pytest.mark.parametrize(
    ("body", "param", "largest"),
    [
        ({"model": "m", "max_tokens": 16_385}, "max_tokens", "16384"),
        ({"model": "m", "max_completion_tokens": 99_999}, "max_completion_tokens", "16384"),
        ({"model": "chat-fast", "max_tokens": 64_000}, "max_tokens", "16384"),
        ({"model": "auto", "max_tokens": 10_000_000, "n": 16}, "max_tokens", "64000"),
    ],
)
def test_more_than_any_model_that_may_answer_can_write_is_refused_and_named(
    body: dict[str, Any], param: str, largest: str
) -> None:
    with pytest.raises(RequestError) as failure:
        request(**body)
    assert (failure.value.status, failure.value.param) == (400, param)
    assert param in failure.value.message
    assert largest in failure.value.message


# ---------------------------------------------------------------------- suffixes
@pytest.mark.parametrize(
    ("body", "priority", "cheapest"),
    [
        ({"model": None, "models": ["m:floor", "small:floor"]}, T, True),
        ({"model": None, "models": ["m", "auto:floor"]}, T, True),
        ({"model": "m:nitro", "models": ["small:nitro"]}, P, False),
        ({"model": "m", "models": ["small:fast"]}, S, False),
        ({"model": ":floor", "models": ["small"]}, T, True),
    ],
)
def test_a_suffix_counts_on_whichever_name_it_stands(
    body: dict[str, Any], priority: LatencyPriority, cheapest: bool
) -> None:
    made = ask(**body)
    assert (made.priority, made.cheapest) == (priority, cheapest)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None, "models": ["m:floor", "m", "small:fast"]}, "models[2]"),
        ({"model": "m:fast", "models": ["small:nitro"]}, "models[0]"),
    ],
)
def test_suffixes_that_ask_for_two_goals_are_refused_and_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as failure:
        request(**body)
    assert failure.value.param == param
    assert param in failure.value.message


# ---------------------------------------------------------------------- priority and target
@pytest.mark.parametrize(
    ("body", "priority", "target_s"),
    [
        ({}, T, None),
        ({"stream": True}, S, None),
        ({"routing": {"max_ttft_ms": 500}}, S, 0.5),
        ({"routing": {"max_total_ms": 3000}}, T, 3.0),
        ({"stream": True, "routing": {"max_total_ms": 3000}}, T, 3.0),
        ({"routing": {"max_ttft_ms": 500, "max_total_ms": 3000}}, S, 0.5),
        ({"routing": {"priority": "streaming", "max_total_ms": 3000}}, S, 3.0),
        ({"routing": {"min_tokens_per_second": 40, "expected_tokens": 400}}, P, 10.0),
        ({"routing": {"min_tokens_per_second": 40, "expected_tokens": 400, "max_total_ms": 3000}}, P, 3.0),
        ({"routing": {"priority": "throughput", "min_tokens_per_second": 40, "expected_tokens": 400,
                      "max_total_ms": 3000}}, P, 3.0),
        ({"routing": {"priority": "throughput"}}, P, None),
        ({"model": "m:fast"}, S, None),
        ({"model": "m:nitro", "stream": True}, P, None),
        ({"model": "m:floor", "stream": True}, S, None),
    ],
)  # fmt: skip
def test_what_is_to_be_fast_and_by_when(body: dict[str, Any], priority: LatencyPriority, target_s: float) -> None:
    made = ask(**body)
    assert (made.priority, made.target_s) == (priority, target_s)


def test_precedence_is_header_then_body_then_suffix() -> None:
    header, body = {"x-router-priority": "total"}, {"priority": "streaming"}
    assert ask(header, model="m:nitro", routing=body).priority is T
    assert ask(model="m:nitro", routing=body).priority is S
    assert ask(model="m:nitro").priority is P


def test_the_cheapest_is_wanted_with_its_suffix_only() -> None:
    assert ask(model="m:floor").cheapest
    assert not ask(model="m:fast").cheapest


def test_the_hints_that_only_pass_through() -> None:
    hints = {"percentile": 50, "require": True, "max_cost_usd": 0.5, "hedge": "off", "max_total_ms": 2000}
    made = ask(routing=hints, stream=True)
    assert (made.percentile, made.require, made.max_cost_usd, made.hedge) == (50.0, True, 0.5, False)
    assert (made.deadline_s, made.streamed) == (2.0, True)
    assert ask().hedge
    assert not ask().streamed


# ---------------------------------------------------------------------- tokens
def test_tokens_are_estimated_and_reserved() -> None:
    lengths = Lengths()
    prompt = lengths.prompt("m", 400, 0)
    assert ask().tokens_in == prompt
    assert ask().expected_tokens == lengths.answer("m", None)
    assert ask(max_tokens=50).reserved_tokens == prompt + 50
    assert ask(max_tokens=50, n=3).reserved_tokens == prompt + 150
    assert ask(routing={"expected_tokens": 77}).expected_tokens == 77.0
    assert ask(routing={"expected_tokens": 77}).reserved_tokens == prompt + 77


def test_no_request_reserves_more_than_its_models_can_write() -> None:
    prompt = Lengths().prompt("m", 400, 0)
    assert ask(max_tokens=16_384, n=16).reserved_tokens == prompt + 16 * 16_384
    assert ask(n=16, routing={"expected_tokens": 10_000_000}).reserved_tokens == prompt + 16 * 16_384


@pytest.mark.parametrize("priority", ["total", "throughput"])
def test_no_answer_is_expected_to_be_longer_than_its_limit(priority: str) -> None:
    """A caller who expects 4,000 tokens and allows 100 would be told that no deployment can be in time."""
    made = request(max_tokens=100, routing={"expected_tokens": 4_000, "priority": priority})
    assert (made.ask.expected_tokens, made.ask.most_tokens) == (100.0, 100.0)
    assert made.hints.expected_tokens == 100, "the hint that lengths are learned from"
    assert (ask().most_tokens, ask(n=3).answers) == (16_384.0, 3)


def test_only_a_prompt_of_text_alone_teaches_bytes_per_token() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 12_000}}]
    made = request(tools=tools)
    assert (made.text_bytes, request().text_bytes) == (0, 400)
    assert made.ask.tokens_in > 3_000, "and is estimated with what its tools add"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, float(LONG_ANSWER_TOKENS)),
        ({"max_tokens": 100}, 100.0),
        ({"routing": {"priority": "throughput", "expected_tokens": 5}}, 5.0),
    ],
)
def test_a_wish_for_throughput_is_for_a_long_answer(body: dict[str, Any], expected: float) -> None:
    assert ask(**{"routing": {"priority": "throughput"}, **body}).expected_tokens == expected


# ---------------------------------------------------------------------- users and places
def test_the_user_is_the_first_that_is_named() -> None:
    named: Any = {"user": "u", "routing": {"user_id": "r", "session_id": "s"}}
    keys = {
        "routing": request(routing={"user_id": "r"}).user_key,
        "body": request(user="u").user_key,
        "session": request(routing={"session_id": "s"}).user_key,
    }
    assert len(set(keys.values())) == 3
    assert request(**named).user_key == keys["routing"]
    assert request(user="u", routing={"session_id": "s"}).user_key == keys["body"]
    assert request({"x-router-user-id": "r"}, user="u").user_key == keys["routing"]
    assert request().user_key is None


def test_a_user_is_known_by_a_hash_and_only_within_its_caller() -> None:
    key = request(user="alice").user_key
    assert key is not None
    assert len(key) == 64
    assert "alice" not in key
    assert key != request(user="alice", caller="other").user_key


@pytest.mark.parametrize(
    ("hints", "country", "home"),
    [
        ({}, None, None),
        ({"user_region": "us-west"}, None, "westus"),
        ({"user_region": "us"}, None, "eastus"),
        ({"user_region": "eu"}, None, "swedencentral"),
        ({"user_location": "Stockholm"}, None, "swedencentral"),
        ({"user_location": "New York"}, None, "eastus"),
        ({"user_location": "Tokyo"}, None, None),  # no region of the fleet is in Asia
        ({"user_location": "Atlantis"}, None, None),
        ({"user_region": "westus", "user_location": "Stockholm"}, "SE", "westus"),
        ({"user_location": "New York"}, "SE", "eastus"),
        ({"user_id": "u"}, "SE", "swedencentral"),
        ({"session_id": "s"}, "SE", "swedencentral"),
        ({"user_id": "u"}, "ZZ", None),
        ({}, "SE", None),  # of nobody in particular there is no home to come back to
    ],
)
def test_a_users_home_is_where_the_caller_says_or_front_door_saw(
    hints: dict[str, str], country: str | None, home: str | None
) -> None:
    assert request(country=country, routing=hints).ask.home == home


@pytest.mark.parametrize(
    ("hints", "country", "origin", "home"),
    [
        ({"user_id": "u"}, "US", "eastus", "eastus"),
        ({"user_id": "u"}, "US", "westus", "westus"),
        ({"user_id": "u"}, "US", "swedencentral", "eastus"),
        ({"user_id": "u"}, "SE", "westus", "swedencentral"),
        ({"user_region": "us"}, None, "westus", "westus"),
        ({"user_region": "us-east"}, None, "westus", "eastus"),
        ({"user_location": "New York"}, None, "westus", "westus"),
    ],
)
def test_a_geography_is_home_in_its_region_nearest_to_this_app(
    hints: dict[str, str], country: str | None, origin: str, home: str
) -> None:
    """Front Door brought the user to the app that is nearest to them."""
    assert request(country=country, origin=origin, routing=hints).ask.home == home


# ---------------------------------------------------------------------- headers
@pytest.mark.parametrize(("count", "retry"), [("0", False), ("1", True), ("2", True), ("x", True)])
def test_a_clients_own_retry_is_known(count: str, retry: bool) -> None:
    assert ask({"x-stainless-retry-count": count}).client_retry is retry
    assert not ask().client_retry


def test_only_the_trace_travels_on() -> None:
    trace = {"traceparent": "00-0af7-b7ad-01", "tracestate": "a=b", "x-ms-client-request-id": "id"}
    other = {"authorization": "Bearer k", "cookie": "c", "x-request-id": "r", "x-forwarded-host": "h", "host": "h"}
    assert request({**trace, **other}).headers == trace


@pytest.mark.parametrize("value", ["", "a\r\nhost: evil", "a\nb", "a\0b", "\x7f", "naïve", "x" * 513])
def test_what_is_no_plain_header_does_not_travel_on(value: str) -> None:
    """The transport refuses some of these: the whole request would fail for a header that nobody needs."""
    assert request({"traceparent": value, "x-ms-client-request-id": "id"}).headers == {"x-ms-client-request-id": "id"}


@pytest.mark.parametrize("given", ["abc", "a.b_c:d-1", "x" * 128])
def test_a_plain_request_id_of_the_callers_is_kept(given: str) -> None:
    assert request({"x-request-id": given}).id == given


@pytest.mark.parametrize("given", ["", " ", "a b", "a\nb", "é", "x" * 129, "<script>", "a/b", "٣"])
def test_any_other_is_replaced_by_a_new_one(given: str) -> None:
    first, second = (request({"x-request-id": given}).id for _ in range(2))
    assert first != second
    assert len(first) == 32
    assert first.isalnum()


# ---------------------------------------------------------------------- the rest
def test_the_request_keeps_what_the_answer_needs() -> None:
    made = request(stream=True, stream_options={"include_usage": True}, model="m:fast", routing={"explain": True})
    assert (made.dialect, made.stream, made.include_usage, made.model, made.caller) == (
        "openai", True, True, "m", "caller"
    )  # fmt: skip
    assert made.hints.explain
    assert made.text_bytes == 400
    assert "routing" not in made.body
    assert made.conversation().turns[0][1] == "x" * 400


def test_what_must_not_run_twice_is_tried_once() -> None:
    assert ask(store=True).one_try
    assert not ask().one_try

"""Reading a request in OpenAI's dialect: what is wrong is a 400 that names the field, whatever the caller sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.dialects.fields import DEEPEST, LONGEST_FIELD, LONGEST_NAME, MOST_NAMES
from routing.dialects.openai_chat import (
    LONGEST_REASON,
    MOST_FIELDS,
    MOST_MESSAGES,
    MOST_STOPS,
    MOST_TOKENS,
    parse,
)
from routing.dialects.parsed import Parsed
from routing.errors import RequestError

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def parsed(**body: Any) -> Parsed:
    return parse(json.dumps({"messages": HELLO, **body}).encode())


def refused(raw: bytes) -> RequestError:
    with pytest.raises(RequestError) as failure:
        parse(raw)
    assert (failure.value.status, failure.value.code) == (400, "invalid_request")
    return failure.value


# ---------------------------------------------------------------------- what is no body
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"hello",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"\xef\xbb\xbf{}",
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "\\udc00\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "\0"}]}',
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": -Infinity}',
        b'{"temperature": 1e999}',
        b'{"max_tokens": ' + b"9" * 5000 + b"}",
        b"{" + b",".join(b'"k%d": 0' % i for i in range(100_000)) + b"}",
        b"[" * 1_000 + b"]" * 1_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_what_is_no_json_object_of_bounded_size_is_refused_as_a_whole(raw: bytes) -> None:
    assert refused(raw).param is None


def nested(levels: int) -> bytes:
    """A body with so many levels in all, its own among them."""
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    return b'{"messages": [{"role": "user", "content": "x"}], "metadata": ' + inner + b"}"


def test_nesting_that_could_not_be_sent_on_is_refused() -> None:
    """orjson reads four times as deep as it writes: what passed here would fail on its way to a provider."""
    import orjson

    body = parse(nested(DEEPEST)).body
    assert orjson.loads(orjson.dumps({**body, "model": "m"})) == {**body, "model": "m"}
    for levels in (DEEPEST + 1, 1_000):
        assert f"deeper than {DEEPEST}" in refused(nested(levels)).message


def test_brackets_within_text_are_no_nesting() -> None:
    assert parsed(messages=[{"role": "user", "content": "[{" * 10_000}]).text_bytes == 20_000


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    raw = b'{"model": "a", "model": "b", "messages": [{"role": "user", "content": "x"}]}'
    assert (parse(raw).model, parse(raw).body["model"]) == ("b", "b")


# ---------------------------------------------------------------------- fields
BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"model": 5}, "model"),
    ({"model": ["a"]}, "model"),
    ({"model": "m" * (LONGEST_NAME + 1)}, "model"),
    ({"models": "gpt"}, "models"),
    ({"models": []}, "models"),
    ({"models": [5]}, "models"),
    ({"models": [""]}, "models"),
    ({"models": ["m" * (LONGEST_NAME + 1)]}, "models"),
    ({"models": ["m"] * (MOST_NAMES + 1)}, "models"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": []}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"routing": "fast"}, "routing"),
    ({"routing": []}, "routing"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 1.0}, "max_tokens"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": MOST_TOKENS + 1}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
    ({"max_tokens": 10**9, "max_completion_tokens": 5}, "max_tokens"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"n": 1.5}, "n"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": [1]}, "temperature"),
    ({"top_p": "1"}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_p": -1}, "top_p"),
    ({"stop": 5}, "stop"),
    ({"stop": [5]}, "stop"),
    ({"stop": {"a": 1}}, "stop"),
    ({"stop": ["x"] * (MOST_STOPS + 1)}, "stop"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_FIELDS)
def test_a_bad_field_is_named(fields: dict[str, Any], param: str) -> None:
    failure = refused(json.dumps({"messages": HELLO, **fields}).encode())
    assert failure.param == param
    assert param in failure.message


def test_a_bad_field_is_named_also_where_the_request_could_not_be_translated_anyway() -> None:
    body = {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}], "stop": 5}
    assert refused(json.dumps(body).encode()).param == "stop"


BAD_MESSAGES: list[tuple[Any, str]] = [
    (None, "messages"),
    ([], "messages"),
    ({}, "messages"),
    ("hello", "messages"),
    ([{"role": "user", "content": "x"}] * (MOST_MESSAGES + 1), "messages"),
    (["hello"], "messages[0]"),
    ([None], "messages[0]"),
    ([{}], "messages[0].role"),
    ([{"content": "x"}], "messages[0].role"),
    ([{"role": "robot", "content": "x"}], "messages[0].role"),
    ([{"role": ["user"], "content": "x"}], "messages[0].role"),
    ([{"role": {"a": 1}, "content": "x"}], "messages[0].role"),
    ([{"role": None, "content": "x"}], "messages[0].role"),
    ([*HELLO, {"role": "user", "content": 5}], "messages[1].content"),
    ([*HELLO, {"role": "user", "content": {"text": "x"}}], "messages[1].content"),
    ([*HELLO, {"role": "user", "content": True}], "messages[1].content"),
    ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{"type": 5}]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [PICTURE, {"type": "text", "text": 5}]}], "messages[0].content[1].text"),
]


@pytest.mark.parametrize(("messages", "param"), BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_a_bad_message_is_named_by_its_place(messages: Any, param: str) -> None:
    assert refused(json.dumps({"messages": messages}).encode()).param == param


def test_a_body_without_messages_is_refused() -> None:
    assert refused(b"{}").param == "messages"


def test_the_most_messages_and_the_most_fields_are_accepted() -> None:
    assert parsed(messages=HELLO * MOST_MESSAGES).text_bytes == 5 * MOST_MESSAGES
    assert len(parsed(**{f"f{i}": i for i in range(MOST_FIELDS - 1)}).body) == MOST_FIELDS
    assert refused(json.dumps({"messages": HELLO, **{f"f{i}": i for i in range(MOST_FIELDS)}}).encode())


def test_a_field_with_a_name_that_no_api_has_is_refused_and_named_by_its_beginning() -> None:
    assert parsed(**{"x" * LONGEST_FIELD: 1}).body
    failure = refused(json.dumps({"messages": HELLO, "x" * 2_000_000: 1}).encode())
    assert failure.param == "x" * LONGEST_FIELD
    assert len(failure.message) < 200


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "x", "y" * 100_000: 1},
        {"role": "user", "content": [{"type": "y" * 100_000}]},
        {"role": "user", "content": [{"type": "text", "text": "x", "y" * 100_000: 1}]},
    ],
)
def test_of_a_callers_own_words_little_is_kept_as_the_reason(message: dict[str, Any]) -> None:
    """It becomes a part of the key that eligibility is remembered by."""
    assert 0 < len(parsed(messages=[message]).untranslatable) <= LONGEST_REASON


# ---------------------------------------------------------------------- endpoints
ENDPOINTS = [
    "api_base", "base_url", "api_key", "endpoint", "azure_endpoint", "custom_host", "api_version", "organization",
    "extra_headers", "proxy", "API_BASE", "Base_URL", "baseUrl", "apiBase", "api-base", "customHost", "azureEndpoint",
]  # fmt: skip


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_field_that_names_a_place_to_connect_to_is_refused_wherever_it_stands(name: str) -> None:
    place = "http://169.254.169.254/"
    assert refused(json.dumps({"messages": HELLO, name: place}).encode()).param == name
    assert refused(json.dumps({"messages": HELLO, name: None}).encode()).param == name
    assert refused(json.dumps({"messages": HELLO, "routing": {name: place}}).encode()).param == f"routing.{name}"


# ---------------------------------------------------------------------- what a good body is read as
def test_a_plain_request() -> None:
    request = parsed(model="gpt-4o")
    assert (request.model, request.models, request.stream, request.include_usage) == ("gpt-4o", (), False, False)
    assert (request.text_bytes, request.images, request.max_tokens, request.answers) == (5, 0, None, 1)
    assert (request.needs, request.parameters, request.untranslatable) == (frozenset(), frozenset(), "")
    assert (request.one_try, request.user, request.routing) == (False, None, {})


def test_our_own_fields_are_taken_out_and_all_others_stay() -> None:
    request = parsed(model="m", routing={"explain": True}, models=["a", "b"], new_field={"x": 1})
    assert request.body == {"messages": HELLO, "model": "m", "new_field": {"x": 1}}
    assert (request.routing, request.models) == ({"explain": True}, ("a", "b"))


def test_null_says_nothing() -> None:
    names = ("model", "models", "stream", "stream_options", "routing", "max_tokens", "n", "temperature", "stop", "user")
    request = parsed(**dict.fromkeys(names))
    assert (request.model, request.stream, request.max_tokens, request.answers) == (None, False, None, 1)
    assert (request.untranslatable, request.parameters) == ("", frozenset())


@pytest.mark.parametrize(
    ("fields", "limit", "name"),
    [
        ({"max_tokens": 5}, 5, "max_tokens"),
        ({"max_completion_tokens": 7}, 7, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7, "max_completion_tokens"),
        ({"max_tokens": MOST_TOKENS, "max_completion_tokens": None}, MOST_TOKENS, "max_tokens"),
    ],
)
def test_the_limit_goes_by_two_names(fields: dict[str, Any], limit: int, name: str) -> None:
    request = parsed(**fields)
    assert (request.max_tokens, request.limit_field) == (limit, name)


def test_text_is_counted_in_bytes_over_all_messages_and_parts() -> None:
    parts = [{"type": "text", "text": "é"}, PICTURE, {"type": "text", "text": "ab"}]
    request = parsed(messages=[{"role": "system", "content": "xyz"}, {"role": "user", "content": parts}])
    assert (request.text_bytes, request.images) == (7, 1)


CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "x" * 500}}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"function": {"name": "f", "description": "x" * 500}}]},
        {"functions": [{"name": "f", "description": "x" * 500}]},
        {"response_format": {"type": "json_schema", "json_schema": {"description": "x" * 500}}},
        {"web_search_options": {"user_location": "x" * 500}},
        {"messages": [*HELLO, CALL]},
        {"messages": [*HELLO, {"role": "function", "name": "f", "content": "x" * 500}]},
    ],
)
def test_what_a_provider_writes_into_the_prompt_is_counted_and_the_prompt_is_no_plain_text(
    fields: dict[str, Any],
) -> None:
    request = parsed(**fields)
    assert 505 <= request.text_bytes < 620
    assert not request.plain


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({}, True),
        ({"seed": 7, "tools": [], "response_format": {"type": "text"}, "reasoning_effort": "low"}, True),
        ({"messages": [*HELLO, {"role": "assistant", "content": "a beginning"}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}, True),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, False),
    ],
)
def test_a_prompt_of_text_alone_is_plain_whatever_else_is_asked_for(fields: dict[str, Any], plain: bool) -> None:
    assert parsed(**fields).plain is plain


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"response_format": {"type": "json_schema"}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"response_format": "json_schema"}, set()),
        ({"reasoning_effort": "high"}, {"reasoning"}),
        ({"reasoning_effort": "none"}, set()),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, {"images"}),
    ],
)
def test_capabilities_that_a_model_must_have(fields: dict[str, Any], needs: set[str]) -> None:
    assert parsed(**fields).needs == needs


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({"temperature": 0.5, "seed": 7}, {"temperature", "seed"}),
        ({"temperature": 1, "top_p": 1, "n": 1, "logprobs": False, "presence_penalty": 0}, set()),
        ({"response_format": {"type": "text"}, "store": False}, set()),
        ({"temperature": None, "seed": None}, set()),
        ({"max_tokens": 9, "user": "u", "metadata": {"a": "b"}, "tools": [{}], "stream": True}, set()),
        ({"temperature": 0}, {"temperature"}),
    ],
)
def test_parameters_that_some_models_refuse(fields: dict[str, Any], parameters: set[str]) -> None:
    """What says the default is no parameter: clients that send every field must not lose half of the models."""
    assert parsed(**fields).parameters == parameters


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({"user": "a"}, "a"),
        ({"safety_identifier": "s", "user": "a"}, "s"),
        ({"metadata": {"user_id": "m"}}, "m"),
        ({"user": "", "metadata": {"user_id": "m"}}, "m"),
        ({"user": 5}, None),
        ({"metadata": "m"}, None),
        ({"metadata": {"user_id": 5}}, None),
    ],
)
def test_the_user_is_whoever_the_caller_names_first(fields: dict[str, Any], user: str | None) -> None:
    assert parsed(**fields).user == user


def test_what_is_stored_is_tried_once() -> None:
    assert parsed(store=True).one_try
    assert not parsed(store=False).one_try


def test_usage_is_asked_for_in_stream_options() -> None:
    assert parsed(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parsed(stream=True, stream_options={"include_usage": False}).include_usage
    assert not parsed(stream=True, stream_options={}).include_usage


def test_the_models_name_in_the_path_may_stand_in() -> None:
    assert parsed().named("gpt-4o").model == "gpt-4o"


JSON_VALUES = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.5, 10**15, "", "a", "user", "text", "system"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "tool_calls", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "messages", "model", "models", "routing", "stream", "stream_options", "temperature", "top_p", "stop", "n", "tools",
    "max_tokens", "user", "metadata", "response_format", "reasoning_effort", "store",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=4), st.lists(JSON_VALUES, max_size=3))
def test_a_body_of_any_shape_is_read_or_refused(body: dict[str, Any], messages: list[Any]) -> None:
    try:
        request = parse(json.dumps({"messages": messages, **body}).encode())
    except RequestError as failure:
        assert failure.message  # noqa: PT017  # either way is right
        return
    if not request.untranslatable:
        assert request.conversation().turns

"""What a provider sends is what the vendor's own SDK sends: the same chat through both, compared byte for byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

from routing.ports import Way
from routing.providers.sdk import NOT_TAKEN
from tests.contract.endpoints import HELLO, KEY, PLACES, chat, endpoint
from tests.harness.anthropic_wire import Message
from tests.harness.incoming import Hit
from tests.harness.openai_wire import Chat
from tests.harness.script import Script
from tests.harness.upstream import Upstream

TOKEN = "token-of-the-identity"
# Why headers may differ. Whatever is not named here must be equal, and nothing may be missing or added.
REASONS = {
    "host": "each transport writes it, and both say the same",
    "connection": "HTTP/1.1 keeps connections alive unless it is told not to: only httpx2 says so",
    "content-length": "each transport counts its own body, and one body holds stream_options",
    "accept-encoding": "nothing may arrive compressed: a compressor holds tokens back",
    "x-stainless-timeout": "the SDK's idea of time-outs, in place of which the plan has deadlines",
    "x-stainless-read-timeout": "the same",
}
CLAUDE_CHAT: Any = {"max_tokens": 4096, "messages": HELLO}


async def token() -> str:
    return TOKEN


def answer(hit: Hit) -> Script:
    """Whatever was asked for, in the dialect of the path."""
    streamed = hit.json().get("stream", False)
    if hit.path.endswith("/messages"):
        return Message().stream(1) if streamed else Message().answer(1)
    return Chat().stream(1) if streamed else Chat().answer(1)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(answer) as served:
        yield served


def openai_sdk(base: str, credential: Any) -> Callable[[str, bool], Awaitable[Any]]:
    async def call(model: str, stream: bool) -> None:
        async with openai.AsyncOpenAI(base_url=base, api_key=credential, max_retries=0) as client:
            more: Any = {"stream": True} if stream else {}
            messages: Any = HELLO
            got: Any = await client.chat.completions.create(model=model, messages=messages, **more)
            if stream:
                assert [chunk async for chunk in got]

    return call


def anthropic_sdk(client: anthropic.AsyncAnthropic) -> Callable[[str, bool], Awaitable[Any]]:
    async def call(model: str, stream: bool) -> None:
        async with client:
            more: Any = {"stream": True} if stream else {}
            got = await client.messages.create(model=model, **CLAUDE_CHAT, **more)
            if stream:
                assert [event async for event in got]

    return call


def sdk(kind: str, url: str, credential: Any) -> Callable[[str, bool], Awaitable[Any]]:
    """The vendor's documented way to make this call."""
    match kind:
        case "azure_openai":
            return openai_sdk(url + "/openai/v1/", credential)
        case "claude_foundry":
            named = {"api_key": credential} if isinstance(credential, str) else {"azure_ad_token_provider": credential}
            options: Any = {"base_url": url + "/anthropic/", "max_retries": 0, **named}
            return anthropic_sdk(anthropic.AsyncAnthropicFoundry(**options))
        case "anthropic":
            return anthropic_sdk(anthropic.AsyncAnthropic(base_url=url, api_key=credential, max_retries=0))
        case _:
            return openai_sdk(url + "/v1", credential or "none")


def headers(hit: Hit) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in hit.headers:
        found.setdefault(name.lower(), []).append(value)
    return found


CASES = [
    ("azure_openai", KEY),
    ("azure_openai", token),
    ("openai", KEY),
    ("openai_compatible", None),
    ("openai_compatible", KEY),
    ("claude_foundry", KEY),
    ("claude_foundry", token),
    ("anthropic", KEY),
]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("kind", "credential"), CASES, ids=[f"{k}-{getattr(c, '__name__', c and 'key')}" for k, c in CASES]
)
async def test_a_provider_sends_what_its_sdk_sends(
    upstream: Upstream, kind: str, credential: Any, stream: bool
) -> None:
    await sdk(kind, upstream.url, credential)(f"{kind}-name", stream)
    async with endpoint(kind, upstream.url, credential) as asked:
        await (await asked.open(stream=stream)).close()
    theirs, ours = upstream.hits
    assert (ours.method, ours.path) == (theirs.method, theirs.path) == ("POST", PLACES[kind][1])
    assert set(REASONS) == NOT_TAKEN
    compared = [{n: v for n, v in headers(hit).items() if n not in REASONS} for hit in (theirs, ours)]
    assert compared[1] == compared[0]
    assert headers(ours)["accept-encoding"] == ["identity"]
    assert headers(ours)["host"] == headers(theirs)["host"]
    body = ours.json()
    if stream and not kind.startswith(("claude", "anthropic")):
        assert body.pop("stream_options") == {"include_usage": True}
    assert body.pop("stream", False) == theirs.json().get("stream", False) == stream
    assert body == {name: value for name, value in theirs.json().items() if name != "stream"}


@pytest.mark.parametrize("kind", ["azure_openai", "claude_foundry"])
async def test_no_header_of_the_sdk_is_new_for_each_call(upstream: Upstream, kind: str) -> None:
    """A prepared request is used again and again, so it may hold nothing that must be unique."""
    call = sdk(kind, upstream.url, token)
    await call("m", True)
    await sdk(kind, upstream.url, token)("m", True)
    first, second = map(headers, upstream.hits)
    assert first == second


async def test_the_callers_own_trace_travels_on_beside_the_sdks_headers(upstream: Upstream) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-ms-client-request-id": "me"}
    async with endpoint("azure_openai", upstream.url) as asked:
        await (await asked.open({**trace, "cookie": "secret", "x-router-user-id": "u"})).close()
    sent = headers(upstream.hits[0])
    assert {name: sent[name] for name in trace} == {name: [value] for name, value in trace.items()}
    assert not {"cookie", "x-router-user-id"} & set(sent)


async def test_a_body_goes_on_as_it_came_with_the_deployments_name_and_usage(upstream: Upstream) -> None:
    more: Any = {"temperature": 0.5, "tools": [{"type": "function"}], "seed": 7, "new_field": {"a": [1, None, "é"]}}
    async with endpoint("azure_openai", upstream.url) as asked:
        await (await asked.open(**more, routing={"explain": True}, models=["m"])).close()
    options = {"stream_options": {"include_usage": True}}
    assert upstream.hits[0].json() == {
        **more, **options, "model": "azure_openai-name", "messages": HELLO, "stream": True
    }  # fmt: skip


async def test_stream_options_of_the_caller_stay_beside_usage(upstream: Upstream) -> None:
    async with endpoint("openai", upstream.url) as asked:
        await (await asked.open(stream_options={"include_obfuscation": False, "include_usage": False})).close()
        await (await asked.open(stream_options=None)).close()
    kept, made = [hit.json()["stream_options"] for hit in upstream.hits]
    assert kept == {"include_obfuscation": False, "include_usage": True}
    assert made == {"include_usage": True}


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"max_tokens": 9}, 9),
        ({"max_tokens": 9, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 9, "max_completion_tokens": None}, 9),
        ({"max_completion_tokens": 5}, 5),
    ],
)
async def test_a_model_that_refuses_max_tokens_gets_the_limit_by_its_newer_name(
    upstream: Upstream, limits: dict[str, Any], sent: int
) -> None:
    async with endpoint("azure_openai", upstream.url, name="reasoner") as asked:
        await (await asked.open(**limits)).close()
    body = upstream.hits[0].json()
    assert body["max_completion_tokens"] == sent
    assert "max_tokens" not in body
    assert body["model"] == "reasoner"


async def test_the_callers_body_is_not_changed_by_a_call(upstream: Upstream) -> None:
    """A hedge and a fallback send it again, to other deployments."""
    request = chat(max_tokens=9)
    before = json.dumps(request.body)
    async with endpoint("azure_openai", upstream.url, name="reasoner") as asked:
        await (await asked.provider.open(asked.deployment, request, Way())).close()
    assert json.dumps(request.body) == before


async def test_claude_is_asked_with_every_part_of_the_neutral_conversation(upstream: Upstream) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "No lists."},
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}]},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "three"},
    ]
    async with endpoint("claude_foundry", upstream.url) as asked:
        await (await asked.open(messages=messages, stop="END", temperature=0, max_completion_tokens=9)).close()
    assert upstream.hits[0].json() == {
        "model": "claude_foundry-name",
        "max_tokens": 9,
        "system": "Be brief.\n\nNo lists.",
        "messages": [
            {"role": "user", "content": "one\n\ntwo"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "three"},
        ],
        "stop_sequences": ["END"],
        "temperature": 0,
        "stream": True,
    }


@pytest.mark.parametrize(("asked_for", "sent"), [({}, 4096), ({"max_tokens": 16_384}, 16_384)])
async def test_claude_always_gets_a_limit_and_the_callers_as_it_is(
    upstream: Upstream, asked_for: dict[str, Any], sent: int
) -> None:
    async with endpoint("anthropic", upstream.url) as asked:
        await (await asked.open(**asked_for)).close()
    assert upstream.hits[0].json()["max_tokens"] == sent


@pytest.mark.parametrize("wish", [{"temperature": 0}, {"temperature": 0.0}, {"top_p": 0}, {"temperature": 0.7}])
async def test_claude_is_told_the_callers_sampling_also_where_it_is_zero(
    upstream: Upstream, wish: dict[str, Any]
) -> None:
    async with endpoint("anthropic", upstream.url) as asked:
        await (await asked.open(**wish)).close()
    body = upstream.hits[0].json()
    assert {name: body[name] for name in wish} == wish

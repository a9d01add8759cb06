"""The well-formed bytes of the harness, as the vendors' own SDKs and aiohttp read them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from tests.harness import anthropic_wire, openai_wire
from tests.harness.anthropic_wire import Message
from tests.harness.clients import anthropic_client, openai_client
from tests.harness.openai_wire import Chat
from tests.harness.upstream import Upstream
from tests.harness.wire import RETRY_HINTS, stream, voice

HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as served:
        yield served


@pytest.fixture(params=["httpx2", "aiohttp"])
async def chat(upstream: Upstream, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    options = {"http_client": openai.DefaultAioHttpClient()} if request.param == "aiohttp" else {}
    async with openai_client(upstream.url, **options) as client:
        yield client


@pytest.fixture(params=["httpx2", "aiohttp"])
async def messages(upstream: Upstream, request: pytest.FixtureRequest) -> AsyncIterator[anthropic.AsyncAnthropic]:
    options = {"http_client": anthropic.DefaultAioHttpClient()} if request.param == "aiohttp" else {}
    async with anthropic_client(upstream.url, **options) as client:
        yield client


async def chunks(client: openai.AsyncOpenAI) -> list[Any]:
    """All chunks of a streamed answer."""
    options: Any = {"include_usage": True}
    opened = await client.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=options)
    async with opened as events:
        return [chunk async for chunk in events]


@pytest.mark.parametrize("azure", [False, True])
async def test_openai_reads_a_streamed_text_with_its_finish_reason_and_usage(
    upstream: Upstream, chat: openai.AsyncOpenAI, azure: bool
) -> None:
    upstream.then(Chat("A", azure=azure).stream(3))
    got = await chunks(chat)
    choices = [choice for chunk in got for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == voice("A", 3) == "A1 A2 A3 "
    assert [choice.finish_reason for choice in choices] == [None] * 4 + ["stop"]
    assert got[-1].choices == []
    assert (got[-1].usage.prompt_tokens, got[-1].usage.completion_tokens, got[-1].usage.total_tokens) == (7, 3, 10)


async def test_azure_opens_with_the_prompt_s_filter_and_then_only_a_role(
    upstream: Upstream, chat: openai.AsyncOpenAI
) -> None:
    upstream.then(Chat("A", azure=True).stream(1))
    first, second, third, *_ = await chunks(chat)
    assert first.choices == []
    assert first.prompt_filter_results[0]["prompt_index"] == 0
    assert (second.choices[0].delta.role, second.choices[0].delta.content) == ("assistant", "")
    assert third.choices[0].delta.content == "A1 "


async def test_openai_reads_a_tool_call_in_pieces(upstream: Upstream, chat: openai.AsyncOpenAI) -> None:
    upstream.then(stream(Chat("A").tool_events("weather", ['{"city": ', '"Oslo"}'])))
    got = await chunks(chat)
    calls = [call for chunk in got for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert (calls[0].id, calls[0].function.name) == ("call_A0", "weather")
    assert "".join(call.function.arguments for call in calls) == '{"city": "Oslo"}'
    assert got[-2].choices[0].finish_reason == "tool_calls"


async def test_openai_reads_an_answer_in_one_body_and_azure_s_headers(
    upstream: Upstream, chat: openai.AsyncOpenAI
) -> None:
    upstream.then(Chat("A").answer(2, openai_wire.azure_headers("West Europe", remaining_tokens=5)))
    raw = await chat.chat.completions.with_raw_response.create(model="m", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content == "A1 A2 "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2
    told = [raw.headers[name] for name in ("x-ms-region", "x-ratelimit-remaining-tokens", "openai-processing-ms")]
    assert told == ["West Europe", "5", "41"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_openai_raises_its_class_for_each_status(
    upstream: Upstream, chat: openai.AsyncOpenAI, status: int, expected: type[openai.APIStatusError]
) -> None:
    upstream.then(openai_wire.error(status, code="scripted_code", headers=RETRY_HINTS["milliseconds"][0]))
    with pytest.raises(openai.APIStatusError) as caught:
        await chunks(chat)
    assert type(caught.value) is expected
    assert (caught.value.status_code, caught.value.code) == (status, "scripted_code")
    assert caught.value.response.headers["retry-after-ms"] == "250"


async def test_openai_reads_azure_s_own_errors(upstream: Upstream, chat: openai.AsyncOpenAI) -> None:
    upstream.then(openai_wire.azure_error(429, "slow down"), openai_wire.content_filtered())
    with pytest.raises(openai.RateLimitError) as throttled:
        await chunks(chat)
    with pytest.raises(openai.BadRequestError) as refused:
        await chunks(chat)
    assert (throttled.value.code, throttled.value.type) == ("429", None)
    assert (refused.value.code, refused.value.param) == ("content_filter", "prompt")


async def test_openai_raises_a_bare_api_error_for_an_error_within_a_stream(
    upstream: Upstream, chat: openai.AsyncOpenAI
) -> None:
    answer = Chat("A")
    upstream.then(stream([*answer.opening(), *answer.contents(1), openai_wire.failure(code="server_error")]))
    with pytest.raises(openai.APIError) as caught:
        await chunks(chat)
    assert type(caught.value) is openai.APIError
    assert caught.value.code == "server_error"


async def final(client: anthropic.AsyncAnthropic) -> Any:
    """The message that Anthropic's SDK puts together from a stream."""
    async with client.messages.stream(model="m", max_tokens=9, messages=HELLO) as events:
        return await events.get_final_message()


async def test_anthropic_reads_a_streamed_text_with_its_stop_reason_and_usage(
    upstream: Upstream, messages: anthropic.AsyncAnthropic
) -> None:
    upstream.then(Message("B").stream(3))
    got = await final(messages)
    assert got.content[0].text == voice("B", 3)
    assert got.stop_reason == "end_turn"
    assert (got.usage.input_tokens, got.usage.output_tokens) == (7, 3)


async def test_anthropic_reads_thinking_before_the_text(upstream: Upstream, messages: anthropic.AsyncAnthropic) -> None:
    upstream.then(stream(Message("B").thinking_events(["let me ", "see"], 2)))
    got = await final(messages)
    assert [block.type for block in got.content] == ["thinking", "text"]
    assert (got.content[0].thinking, got.content[0].signature) == ("let me see", "c2lnbmVk")
    assert got.content[1].text == voice("B", 2)
    assert got.usage.output_tokens == 4


async def test_anthropic_reads_a_tool_s_input_in_pieces(upstream: Upstream, messages: anthropic.AsyncAnthropic) -> None:
    upstream.then(stream(Message("B").tool_events("weather", ['{"city": ', '"Oslo"}'])))
    got = await final(messages)
    assert (got.content[0].name, got.content[0].input) == ("weather", {"city": "Oslo"})
    assert got.stop_reason == "tool_use"


async def test_anthropic_reads_an_answer_in_one_body(upstream: Upstream, messages: anthropic.AsyncAnthropic) -> None:
    upstream.then(Message("B").answer(2))
    got = await messages.messages.create(model="m", max_tokens=9, messages=HELLO)
    assert got.content[0].type == "text"
    assert got.content[0].text == "B1 B2 "
    assert (got.stop_reason, got.usage.output_tokens) == ("end_turn", 2)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (404, "not_found_error", anthropic.NotFoundError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
async def test_anthropic_raises_its_class_for_each_status(
    upstream: Upstream,
    messages: anthropic.AsyncAnthropic,
    status: int,
    kind: str,
    expected: type[anthropic.APIStatusError],
) -> None:
    upstream.then(anthropic_wire.error(status, kind, headers=RETRY_HINTS["seconds"][0]))
    with pytest.raises(expected) as caught:
        await final(messages)
    assert (caught.value.status_code, caught.value.type, caught.value.request_id) == (status, kind, "req_harness")
    assert caught.value.response.headers["retry-after"] == "1"


async def test_anthropic_raises_a_status_error_of_200_for_an_error_within_a_stream(
    upstream: Upstream, messages: anthropic.AsyncAnthropic
) -> None:
    answer = Message("B")
    upstream.then(stream([*answer.opening(), *answer.contents(1), anthropic_wire.failure("overloaded_error")]))
    with pytest.raises(anthropic.APIStatusError) as caught:
        await final(messages)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


@pytest.mark.parametrize("events", [Chat("A").events(2), Message("B").events(2)], ids=["openai", "anthropic"])
async def test_aiohttp_reads_the_events_byte_for_byte(upstream: Upstream, events: Iterable[bytes]) -> None:
    upstream.then(stream(events))
    async with aiohttp.ClientSession() as session, session.get(upstream.url) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await response.read() == b"".join(events)

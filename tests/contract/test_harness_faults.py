"""What the SDKs and aiohttp make of each misbehaviour: facts that the product's own checks and limits exist for."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai
import pytest

from tests.harness import openai_wire, ports
from tests.harness.anthropic_wire import Message
from tests.harness.canaries import quiet_logs
from tests.harness.clients import KEY, anthropic_client, openai_client
from tests.harness.eventually import eventually
from tests.harness.openai_wire import Chat
from tests.harness.script import CLOSE, HANG, RESET, Drip, Script, Step
from tests.harness.tls import Authority
from tests.harness.upstream import Upstream
from tests.harness.wire import (
    BAD_RETRY_HINTS,
    EVENT_STREAM,
    LAST_CHUNK,
    chunk,
    chunked,
    comment,
    head,
    stream,
    stream_head,
)

PROMPT = "canary-of-the-prompt"
HELLO: Any = [{"role": "user", "content": PROMPT}]
CHAT = Chat("A")
BEGUN = [*CHAT.opening(), *CHAT.contents(2)]


@pytest.fixture(params=["httpx2", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options for either SDK: its usual transport, or the one over aiohttp."""
    return {"http_client": openai.DefaultAioHttpClient()} if request.param == "aiohttp" else {}


async def chat_texts(url: str, **options: Any) -> AsyncIterator[str]:
    """The pieces of text that openai's SDK hands out."""
    async with openai_client(url, **options) as client:
        opened = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        async with opened as events:
            async for piece in events:
                for choice in piece.choices:
                    yield choice.delta.content or ""


async def read(script: Script, **options: Any) -> str:
    """What openai's SDK reads of this script, if it raises nothing."""
    async with Upstream(script) as upstream:
        return "".join([text async for text in chat_texts(upstream.url, **options)])


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(stream(BEGUN), id="chunked"),
        pytest.param([head(200, [EVENT_STREAM]), *BEGUN, CLOSE], id="until-close"),
        pytest.param([head(200, [EVENT_STREAM]), *BEGUN, CHAT.delta("stop")[:25], CLOSE], id="inside-an-event"),
    ],
)
async def test_a_truncated_stream_looks_like_a_success_to_openai(script: Script, transport: dict[str, Any]) -> None:
    assert await read(script, **transport) == "A1 A2 "


async def test_an_event_without_its_blank_line_is_lost_in_silence(transport: dict[str, Any]) -> None:
    script: Script = [head(200, [EVENT_STREAM]), *BEGUN[:-1], BEGUN[-1].rstrip(), CLOSE]
    assert await read(script, **transport) == "A1 "


@pytest.mark.parametrize(
    ("garbage", "expected"),
    [(b'data: {"id": \n\n', json.JSONDecodeError), (b'data: {"id": "\xff"}\n\n', UnicodeDecodeError)],
    ids=["bad-json", "bad-utf-8"],
)
async def test_garbage_escapes_as_a_value_error_that_is_none_of_openai_s(
    garbage: bytes, expected: type[ValueError], transport: dict[str, Any]
) -> None:
    assert not issubclass(expected, openai.OpenAIError)
    with pytest.raises(expected):
        await read(stream([*BEGUN, garbage]), **transport)


@pytest.mark.parametrize("ending", [RESET, CLOSE], ids=["reset", "cut"])
async def test_a_cut_mid_stream_is_a_connection_error_in_openai(ending: Step, transport: dict[str, Any]) -> None:
    gate = asyncio.Event()
    async with Upstream([stream_head(), *chunked(BEGUN), gate, ending]) as upstream:
        texts = chat_texts(upstream.url, **transport)
        assert [await anext(texts) for _ in BEGUN] == ["", "A1 ", "A2 "]
        gate.set()
        with pytest.raises(openai.APIConnectionError):
            await anext(texts)


async def test_a_cut_mid_stream_is_a_raw_transport_error_in_anthropic() -> None:
    answer = Message("B")
    script: Script = [stream_head(), *chunked([*answer.opening(), *answer.contents(1)]), CLOSE]
    async with Upstream(script) as upstream, anthropic_client(upstream.url) as client:
        opened = await client.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)
        with pytest.raises(httpx2.RemoteProtocolError) as caught:
            [event async for event in opened]
        assert not isinstance(caught.value, anthropic.AnthropicError)


@pytest.mark.parametrize("before", [[], [stream_head(), *chunked(BEGUN)]], ids=["headers", "next-event"])
async def test_a_hang_ends_by_the_sdk_s_timeout_and_the_upstream_sees_the_abort(before: list[bytes]) -> None:
    async with Upstream([*before, HANG]) as upstream:
        with pytest.raises(openai.APITimeoutError):
            _ = [text async for text in chat_texts(upstream.url, timeout=0.5)]
        hit = await upstream.hit(0)
        await eventually(hit.aborted.is_set)


@pytest.mark.parametrize(
    "slow",
    [Drip(chunk(CHAT.delta(content="A1 ")[:16]), 0.05), Drip(chunk(comment("keep-alive")), 0.05)],
    ids=["bytes", "comments"],
)
async def test_a_timeout_of_the_sdk_is_per_read_and_a_drip_outlives_it(slow: Step) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    text = await read([stream_head(), slow, LAST_CHUNK], timeout=0.8)
    assert text == ""
    assert loop.time() - start > 0.8


async def test_a_line_of_any_length_is_taken_whole(transport: dict[str, Any]) -> None:
    long = "x" * 2_000_000
    assert await read(stream([CHAT.delta(content=long), openai_wire.DONE]), **transport) == long


@pytest.mark.parametrize("status", [429, 500])
async def test_the_sdks_try_three_times_unless_told_not_to(status: int) -> None:
    at_once = [("retry-after-ms", "1")]
    async with Upstream(openai_wire.error(status, headers=at_once)) as upstream:
        for client, tries in ((openai_client(upstream.url), 1), (openai_client(upstream.url, max_retries=2), 3)):
            before = len(upstream.hits)
            async with client:
                with pytest.raises(openai.APIStatusError):
                    await client.chat.completions.create(model="m", messages=HELLO)
            assert len(upstream.hits) - before == tries


@pytest.mark.parametrize("hint", BAD_RETRY_HINTS.values(), ids=BAD_RETRY_HINTS)
async def test_a_hint_that_means_nothing_reaches_the_caller_as_it_was_sent(hint: tuple[tuple[str, str], ...]) -> None:
    async with Upstream(openai_wire.error(429, headers=hint)) as upstream, openai_client(upstream.url) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.response.headers.get_list("retry-after") == [value for _, value in hint]


async def test_neither_the_prompt_nor_the_key_is_in_the_sdk_s_logs(transport: dict[str, Any]) -> None:
    with quiet_logs([KEY, PROMPT]):
        assert await read(CHAT.stream(2), **transport) == "A1 A2 "


async def test_a_refused_connection_has_a_type_of_its_own_in_aiohttp() -> None:
    with ports.refused() as port:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await session.post(f"http://127.0.0.1:{port}")
            assert isinstance(caught.value.os_error, ConnectionRefusedError)
        with pytest.raises(openai.APIConnectionError) as told:
            await anext(chat_texts(f"http://127.0.0.1:{port}"))
        assert isinstance(told.value.__cause__, httpx2.ConnectError)


async def test_a_full_backlog_hangs_in_connect() -> None:
    limit = aiohttp.ClientTimeout(sock_connect=0.2)
    with ports.full_backlog() as port:
        async with aiohttp.ClientSession(timeout=limit) as session:
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await session.post(f"http://127.0.0.1:{port}")


async def test_a_plain_port_fails_a_tls_client() -> None:
    async with Upstream() as upstream, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorSSLError):
            await session.post(f"https://127.0.0.1:{upstream.port}")
        assert upstream.hits == []


async def test_only_a_valid_certificate_of_a_trusted_authority_gets_a_call() -> None:
    trusted, foreign = Authority(), Authority()

    async def status(server: ssl.SSLContext) -> int:
        async with Upstream(CHAT.answer(1), tls=server) as upstream, aiohttp.ClientSession() as session:
            return (await session.post(upstream.url, ssl=trusted.client())).status

    assert await status(trusted.server()) == 200
    for server, reason in (
        (foreign.server(), "unable to get local issuer|self-signed"),
        (trusted.server("127.0.0.2"), "IP address mismatch"),
        (trusted.server(expired=True), "certificate has expired"),
    ):
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match=reason):
            await status(server)

"""The scripted upstream: each step does what it says, and each call is remembered as it was."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.harness.eventually import eventually
from tests.harness.openai_wire import Chat
from tests.harness.script import CLOSE, HANG, RESET, Delay, Drip, Script
from tests.harness.upstream import Upstream
from tests.harness.wire import LAST_CHUNK, chunk, stream_head, whole

OK = [whole(200, b"{}")]
HEAD = stream_head()
# A failing test ends instead of hanging.
GUARD = aiohttp.ClientTimeout(total=20)
# By so much a timer may be early: event loops round.
TICK_S = 0.002


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=GUARD) as opened:
        yield opened


async def opened(session: aiohttp.ClientSession, upstream: Upstream) -> aiohttp.ClientResponse:
    """A call whose headers are there and whose body is not read."""
    return await session.post(upstream.url, data=b"{}")


async def test_a_call_is_recorded_as_it_was_sent() -> None:
    sent = b'PUT /v1/x?y=1 HTTP/1.1\r\nX-MiXed:  \xe9 \r\nx-mixed: two\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    async with Upstream(OK) as upstream:
        before = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(sent)
        assert await reader.readexactly(len(OK[0])) == OK[0]
        writer.close()
        hit = upstream.hits[0]
        assert (hit.method, hit.path, hit.json()) == ("PUT", "/v1/x?y=1", {"a": 1})
        assert hit.headers == (("X-MiXed", "\xe9"), ("x-mixed", "two"), ("Content-Length", "8"))
        assert hit.header("X-MIXED") == "\xe9"
        assert before <= hit.received_at <= asyncio.get_running_loop().time()


async def test_a_chunked_body_is_read_whole(session: aiohttp.ClientSession) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two" * 10_000, b"three"):
            yield piece

    async with Upstream(OK) as upstream:
        await session.post(upstream.url, data=body())
        hit = await upstream.hit(0)
        assert hit.header("transfer-encoding") == "chunked"
        assert hit.body == b"one" + b"two" * 10_000 + b"three"
        await opened(session, upstream)
        assert (await upstream.hit(1)).connection == hit.connection == 1


async def test_a_connection_carries_the_next_call_after_a_complete_answer(session: aiohttp.ClientSession) -> None:
    async with Upstream() as upstream:
        upstream.then(OK, Chat("A").stream(2), [whole(200, b"{}", [("connection", "close")]), CLOSE], OK)
        for _ in range(4):
            async with session.post(upstream.url) as response:
                await response.read()
        assert [hit.connection for hit in upstream.hits] == [1, 1, 1, 2]
        await eventually(lambda: all(hit.ended.is_set() for hit in upstream.hits))
        assert not any(hit.aborted.is_set() for hit in upstream.hits)


async def test_the_queue_goes_before_the_default_and_the_default_may_ask_the_request(
    session: aiohttp.ClientSession,
) -> None:
    async with Upstream(lambda hit: [whole(200, hit.path.encode())]) as upstream:
        upstream.then([whole(503, b"queued")])
        answers = [await session.get(f"{upstream.url}/{path}") for path in ("a", "b", "c")]
        assert [(answer.status, await answer.text()) for answer in answers] == [
            (503, "queued"),
            (200, "/b"),
            (200, "/c"),
        ]


async def test_a_call_without_a_script_fails_the_test(session: aiohttp.ClientSession) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="no script for call 1: POST /nowhere")):
        async with Upstream() as upstream:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(upstream.url + "/nowhere")


async def test_a_mistake_in_a_script_fails_the_test(session: aiohttp.ClientSession) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match="no step of a script: 3")):
        async with Upstream([3]) as upstream:  # type: ignore[list-item]
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(upstream.url)


async def test_a_gate_holds_the_script_until_the_test_sets_it(session: aiohttp.ClientSession) -> None:
    gate = asyncio.Event()
    async with Upstream(OK) as upstream:
        upstream.then([HEAD, chunk(b"before"), gate, chunk(b"after"), LAST_CHUNK])
        response = await opened(session, upstream)
        assert await response.content.readany() == b"before"
        rest = asyncio.create_task(response.read())
        await opened(session, upstream)  # a whole other call, in which the rest would have come
        assert not rest.done()
        assert not upstream.hits[0].over
        gate.set()
        assert await rest == b"after"


async def test_a_delay_lasts_at_least_its_seconds(session: aiohttp.ClientSession) -> None:
    loop = asyncio.get_running_loop()
    async with Upstream([Delay(0.02), *OK]) as upstream:
        start = loop.time()
        await session.post(upstream.url)
        assert loop.time() - start >= 0.02 - TICK_S


async def test_a_drip_arrives_byte_by_byte(session: aiohttp.ClientSession) -> None:
    text = chunk(b"slowly") + LAST_CHUNK
    async with Upstream([HEAD, Drip(text)]) as upstream:
        response = await opened(session, upstream)
        pieces = [piece async for piece in response.content.iter_any()]
        assert pieces == [b"s", b"l", b"o", b"w", b"l", b"y"]


@pytest.mark.parametrize("tail", [[], [chunk(b"data: half")[:-4]]], ids=["between-events", "inside-a-chunk"])
async def test_a_close_cuts_the_stream_where_the_script_says(session: aiohttp.ClientSession, tail: list[bytes]) -> None:
    async with Upstream([HEAD, chunk(b"data: 1\n\n"), *tail, CLOSE]) as upstream:
        response = await opened(session, upstream)
        with pytest.raises(aiohttp.ClientPayloadError) as caught:
            await response.read()
        assert "ConnectionResetError" not in str(caught.value)


async def test_a_reset_arrives_as_a_reset_after_what_was_sent(session: aiohttp.ClientSession) -> None:
    gate = asyncio.Event()
    async with Upstream([HEAD, chunk(b"before"), gate, RESET]) as upstream:
        response = await opened(session, upstream)
        assert await response.content.readany() == b"before"
        gate.set()
        with pytest.raises(aiohttp.ClientPayloadError, match="ConnectionResetError"):
            await response.read()
        assert upstream.hits[0].ended.is_set()


async def test_a_hang_lasts_until_the_client_leaves_and_its_leaving_is_recorded(
    session: aiohttp.ClientSession,
) -> None:
    async with Upstream([HEAD, chunk(b"before"), HANG]) as upstream:
        response = await opened(session, upstream)
        assert await response.content.readany() == b"before"
        hit = await upstream.hit(0)
        assert not hit.over
        left_at = asyncio.get_running_loop().time()
        response.close()
        await eventually(hit.aborted.is_set)
        assert hit.aborted_at is not None
        assert hit.aborted_at >= left_at
        assert not hit.ended.is_set()
        await eventually(lambda: upstream.open_connections == 0)


async def test_a_client_that_leaves_before_the_headers_is_recorded(session: aiohttp.ClientSession) -> None:
    async with Upstream([HANG]) as upstream:
        call = asyncio.create_task(session.post(upstream.url))
        hit = await upstream.hit(0)
        call.cancel()
        await eventually(hit.aborted.is_set)


async def test_a_client_that_leaves_while_it_sends_its_body_is_recorded() -> None:
    async with Upstream(OK) as upstream:
        _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf")
        hit = await upstream.hit(0)
        writer.close()
        await eventually(hit.aborted.is_set)
        assert hit.body == b""


async def test_an_endless_script_is_paced_by_its_reader_and_ends_with_it(session: aiohttp.ClientSession) -> None:
    def endless(_: object) -> Script:
        return itertools.chain([HEAD], itertools.repeat(chunk(b"x" * 65_536)))

    async with Upstream(endless) as upstream:
        response = await opened(session, upstream)
        assert await response.content.readexactly(1_000_000) == b"x" * 1_000_000
        response.close()
        await eventually(upstream.hits[0].aborted.is_set)


async def test_a_silent_upstream_accepts_and_takes_nothing(session: aiohttp.ClientSession) -> None:
    async with Upstream([*OK, CLOSE]) as upstream:
        upstream.silent = True
        _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"POST /unheard HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        await eventually(lambda: upstream.connections == 1)
        upstream.silent = False
        await session.post(upstream.url + "/heard")
        writer.close()
        await eventually(lambda: upstream.open_connections == 0, what="the client's leaving is noticed")
        assert [hit.path for hit in upstream.hits] == ["/heard"]


async def test_stopping_ends_what_hangs_and_what_nobody_reads(session: aiohttp.ClientSession) -> None:
    async with Upstream() as upstream:
        upstream.then([HANG], [HEAD, chunk(b"x" * 50_000_000), LAST_CHUNK])
        hanging = asyncio.create_task(session.post(upstream.url))
        await upstream.hit(0)
        unread = await opened(session, upstream)
    assert not upstream.hits[0].over
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await hanging
    with pytest.raises(aiohttp.ClientError):
        await unread.read()


async def test_waiting_for_what_never_holds_fails_with_its_name_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"the moon is full: still not so after 0\.01 s; last value 0"):
        await eventually(lambda: 0, what="the moon is full", guard_s=0.01)


async def test_waiting_gives_back_the_first_truthy_value() -> None:
    values = iter([0, None, "", "here"])
    assert await eventually(lambda: next(values)) == "here"

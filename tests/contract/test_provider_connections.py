"""Connections to the models: when one is used again, and when it is given up."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from routing.errors import AttemptTimedOut, ConnectionLost, DeadlineExceeded, RouterError
from routing.ports import Answer
from routing.providers import transport
from routing.providers.transport import Transport
from tests.contract.endpoints import endpoint, pieces, whole
from tests.harness.anthropic_wire import Message
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.script import CLOSE, HANG, Script
from tests.harness.upstream import Upstream
from tests.harness.wire import LAST_CHUNK, chunk, chunked, head, stream_head

A, B = Chat("A"), Message("B")
kinds = pytest.mark.parametrize(
    ("kind", "events"), [("azure_openai", A.events(3)), ("claude_foundry", B.events(3))], ids=["openai", "anthropic"]
)


# ---------------------------------------------------------------------- kept alive
@kinds
async def test_a_connection_serves_the_next_request_after_the_end_marker(kind: str, events: list[bytes]) -> None:
    script: Script = [stream_head(), *chunked(events), LAST_CHUNK]
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        for _ in range(3):
            assert (await whole(await asked.open())).content == 3
        assert (len(upstream.hits), upstream.connections) == (3, 1)


@kinds
async def test_a_connection_whose_http_message_ends_late_is_waited_for(kind: str, events: list[bytes]) -> None:
    """The end marker and the last chunk of the transfer coding often come in two packets."""
    late = asyncio.Event()
    async with Upstream() as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        upstream.then([stream_head(), *chunked(events), late, LAST_CHUNK])
        upstream.then([stream_head(), *chunked(events), LAST_CHUNK])
        answer = await asked.open()
        await pieces(answer)
        closing = asyncio.create_task(answer.close())
        await asyncio.sleep(0)
        late.set()
        await closing
        await whole(await asked.open())
        assert (len(upstream.hits), upstream.connections) == (2, 1)


@kinds
async def test_a_connection_whose_http_message_does_not_end_is_closed(
    monkeypatch: pytest.MonkeyPatch, kind: str, events: list[bytes]
) -> None:
    monkeypatch.setattr(transport, "DRAIN_S", 0.01)
    async with Upstream([stream_head(), *chunked(events), HANG]) as upstream, endpoint(kind, upstream.url) as asked:
        await whole(await asked.open())
        await (await upstream.hit()).aborted.wait()


@kinds
async def test_a_close_that_is_cancelled_still_closes(
    monkeypatch: pytest.MonkeyPatch, kind: str, events: list[bytes]
) -> None:
    """Servers cancel clean-up again and again."""
    monkeypatch.setattr(transport, "DRAIN_S", 1000)
    script: Script = [stream_head(), *chunked(events), HANG]
    async with Upstream(script) as upstream, endpoint(kind, upstream.url) as asked, no_leaks():
        answer = await asked.open()
        await pieces(answer)
        closing = asyncio.create_task(answer.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await (await upstream.hit()).aborted.wait()


async def test_an_unstreamed_answer_gives_its_connection_back() -> None:
    async with Upstream(A.answer(2)) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        for _ in range(2):
            assert (await whole(await asked.open(stream=False))).content == 1
        assert (len(upstream.hits), upstream.connections) == (2, 1)


async def test_a_connection_that_the_provider_closed_meanwhile_is_not_used_again() -> None:
    script: Script = [*A.stream(1), CLOSE]
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        answer = await asked.open()
        closed = connection(answer)
        await whole(answer)
        await closed
        await whole(await asked.open())
        assert upstream.connections == 2


async def test_only_a_new_connection_tells_its_round_trip() -> None:
    async with Upstream(A.stream(1)) as upstream, endpoint("azure_openai", upstream.url) as asked:
        first = await asked.open()
        await whole(first)
        second = await asked.open()
        await whole(second)
        assert first.signals.connect_ms is not None
        assert 0 < first.signals.connect_ms < 1000
        assert second.signals.connect_ms is None


async def test_what_watches_a_connection_goes_with_its_answer() -> None:
    """A connection serves thousands of answers: none may leave anything on it."""
    async with Upstream(A.stream(1)) as upstream, endpoint("azure_openai", upstream.url) as asked:
        counts = []
        for _ in range(4):
            answer = await asked.open()
            closed = connection(answer)
            await whole(answer)
            counts.append(len(closed._callbacks))
        assert upstream.connections == 1
        assert counts == [counts[0]] * 4


# ---------------------------------------------------------------------- given up
@kinds
@pytest.mark.parametrize("error", [AttemptTimedOut("silent"), DeadlineExceeded("late", "total_timeout")])
async def test_abort_wakes_a_read_that_waits_and_closes_at_once(
    kind: str, events: list[bytes], error: RouterError
) -> None:
    script: Script = [stream_head(), *chunked(events[:4]), HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        answer = await asked.open()
        while await _soon(answer.read()):
            pass
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        answer.abort(error)
        with pytest.raises(RouterError) as raised:
            await reading
        assert raised.value is error
        await upstream.hits[0].aborted.wait()
        with pytest.raises(RouterError) as again:
            await answer.read()
        assert again.value is error
        await answer.close()


@kinds
async def test_abort_makes_the_next_read_fail_whatever_has_already_come(kind: str, events: list[bytes]) -> None:
    script: Script = [stream_head(), *chunked(events), LAST_CHUNK]
    for reads in range(2):
        async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
            answer = await asked.open()
            for _ in range(reads):
                await pieces(answer)
            answer.abort(AttemptTimedOut("enough"))
            answer.abort(AttemptTimedOut("twice"))
            with pytest.raises(AttemptTimedOut):
                await answer.read()
            await answer.close()


async def test_abort_wakes_a_read_of_an_unstreamed_answer() -> None:
    script: Script = [head(200, [("content-type", "application/json"), ("content-length", "9")]), b"{", HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        answer = await asked.open(stream=False)
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        answer.abort(AttemptTimedOut("enough"))
        with pytest.raises(AttemptTimedOut):
            await reading
        await upstream.hits[0].aborted.wait()
        await answer.close()


@kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_closing_before_the_end_closes_the_connection(kind: str, events: list[bytes], stream: bool) -> None:
    script: Script = [stream_head(), *chunked(events[:4]), HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        answer = await asked.open(stream=stream)
        if stream:
            assert await answer.read()
        await answer.close()
        await answer.close()
        await (await upstream.hit()).aborted.wait()


async def test_a_read_just_when_the_connection_has_closed_finds_it_lost() -> None:
    """aiohttp raises RuntimeError there, which is none of the errors that a provider may raise."""
    go = asyncio.Event()
    script: Script = [stream_head(), chunk(A.role()), go, b"HTTP/1.1 502 Bad Gateway", HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        answer = await asked.open()
        await answer.read()
        closed = connection(answer)
        answer._closing.end()  # type: ignore[attr-defined]  # so that its word does not come first
        go.set()
        await closed
        with pytest.raises(ConnectionLost):
            await answer.read()
        await answer.close()


@pytest.mark.parametrize("script", [[HANG], [stream_head()[:20], HANG]], ids=["silent", "within-the-headers"])
async def test_a_cancelled_request_closes_its_connection(script: list[Any]) -> None:
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        opening = asyncio.create_task(asked.open())
        hit = await upstream.hit()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await hit.aborted.wait()


async def test_a_cancelled_read_leaves_an_answer_that_can_be_closed() -> None:
    script: Script = [stream_head(), chunk(A.role()), HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        answer = await asked.open()
        await answer.read()
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await answer.close()
        await upstream.hits[0].aborted.wait()


async def test_a_transport_that_was_never_used_can_be_closed() -> None:
    async with no_leaks():
        await Transport().close()


async def test_many_answers_leave_nothing_behind() -> None:
    async with Upstream(A.stream(1)) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        await whole(await asked.open())
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(200):
            await whole(await asked.open())
        upstream.hits.clear()
        gc.collect()
        assert len(gc.get_objects()) - before < 200


async def _soon(reading: Any) -> bool:
    """Whether a read has something, once all that was sent is here."""
    task = asyncio.ensure_future(reading)
    for _ in range(20):
        await asyncio.sleep(0)
        if task.done():
            return task.result() is not None
    task.cancel()
    return False


def connection(answer: Answer) -> asyncio.Future[None]:
    """Done once the connection under an answer is closed."""
    closed: asyncio.Future[None] = answer._response.connection.protocol.closed  # type: ignore[attr-defined]
    return closed

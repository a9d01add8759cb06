"""What a provider does wrong within an answer, or instead of one: each is the one AttemptError that says it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from routing.errors import AttemptError, ConnectionLost, ProtocolError, RateLimited, ServerError
from tests.contract.endpoints import endpoint, pieces, whole
from tests.contract.wires import OPENAI, Wire, both, broken, refused
from tests.harness import anthropic_wire, openai_wire
from tests.harness.eventually import eventually
from tests.harness.leaks import no_leaks
from tests.harness.script import CLOSE, HANG, RESET, Script
from tests.harness.upstream import Upstream
from tests.harness.wire import (
    CHUNKED,
    EVENT_STREAM,
    JSON,
    Header,
    chunk,
    chunked,
    comment,
    event,
    head,
    stream,
    stream_head,
)
from tests.harness.wire import whole as whole_body

HTML: Header = ("content-type", "text/html; charset=utf-8")


@both
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "script",
    [
        [whole_body(200, b"<html>sign in</html>", kind=HTML)],
        [whole_body(200, b"", kind=HTML)],
        [whole_body(200, b"", kind=JSON)],
        [head(200, [("content-length", "0")])],
        [whole_body(200, b"not json", kind=JSON)],
        [whole_body(200, b"[]", kind=JSON)],
        [whole_body(200, b'{"choices": []}', kind=JSON)],
        [whole_body(200, b'{"choices": {"a": 1}, "content": {}, "type": "message"}', kind=JSON)],
        [whole_body(200, b'{"choices": ["x"], "content": "x", "type": "message"}', kind=JSON)],
        [whole_body(200, b"\xff", kind=JSON)],
        [whole_body(200, b"[" * 100_000, kind=JSON)],
        [whole_body(201, b"{}")],
        [head(204)],
        [head(302, [("location", "http://169.254.169.254/"), ("content-length", "0")])],
        [head(307, [("location", "/elsewhere"), ("content-length", "0")])],
        [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE],
    ],
    ids=[
        "html", "empty-html", "empty-json", "empty", "not-json", "a-list", "no-choices", "choices-no-list",
        "choice-no-object", "bad-utf-8", "deep", "201", "204", "302", "307", "ssh",
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_a_protocol_error(wire: Wire, script: Script, stream: bool) -> None:
    """Redirects are no answers: nothing is ever fetched from where a provider points."""
    async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        with pytest.raises(ProtocolError):
            await whole(await asked.open(stream=stream))
        assert len(upstream.hits) == 1


@both
async def test_what_is_no_event_stream_is_refused_by_its_headers(wire: Wire) -> None:
    """Whatever it goes on to say, and without waiting for it."""
    for kind in (HTML, JSON):
        script: Script = [head(200, [kind, CHUNKED]), *chunked([*wire.opening, *wire.closing]), HANG]
        async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
            with pytest.raises(ProtocolError):
                await asked.open()
            await (await upstream.hit()).aborted.wait()


@both
@pytest.mark.parametrize("ending", [CLOSE, RESET])
async def test_a_connection_that_ends_before_the_headers_was_lost(wire: Wire, ending: Any) -> None:
    assert type(await refused(wire.kind, [ending])) is ConnectionLost
    assert type(await refused(wire.kind, [b"HTTP/1.1 200 OK\r\ncontent-", ending])) is ConnectionLost


# ---------------------------------------------------------------------- within a stream
def mid_stream(wire: Wire) -> dict[str, tuple[Script, type[AttemptError]]]:
    """Faults, each after the opening of a stream that was well so far."""
    start = [stream_head(), *chunked(wire.opening)]
    partly = wire.content[: len(wire.content) // 2]
    return {
        "reset": ([*start, RESET], ConnectionLost),
        "cut": ([*start, CLOSE], ConnectionLost),
        "cut-within-an-event": ([*start, chunk(partly), CLOSE], ConnectionLost),
        "ended-without-finish": (stream(wire.opening), ProtocolError),
        "ended-within-an-event": (stream([*wire.opening, partly]), ProtocolError),
        "ended-by-closing": ([head(200, [EVENT_STREAM]), *wire.opening, CLOSE], ProtocolError),
        "bad-json": ([*start, chunk(event('{"id": ')), HANG], ProtocolError),
        "a-list": ([*start, chunk(event("[1]")), HANG], ProtocolError),
        "bad-utf-8": ([*start, chunk(b'data: {"id": "\xff\xfe"}\n\n'), HANG], ProtocolError),
        "deep": ([*start, chunk(b"data: " + b"[" * 100_000 + b"\n\n"), HANG], ProtocolError),
        "nan": ([*start, chunk(event('{"choices": NaN}')), HANG], ProtocolError),
        "error-event": ([*start, chunk(wire.failure()), HANG], ServerError),
        "bad-chunk": ([*start, b"zz\r\n", HANG], ConnectionLost),
    }


@both
@pytest.mark.parametrize("fault", list(mid_stream(OPENAI)))
async def test_a_stream_that_breaks_before_its_content_has_said_nothing(wire: Wire, fault: str) -> None:
    script, expected = mid_stream(wire)[fault]
    content, failure = await broken(wire.kind, script)
    assert content == 0
    assert type(failure) is expected


@both
@pytest.mark.parametrize("fault", list(mid_stream(OPENAI)))
async def test_a_stream_that_breaks_after_content_gives_what_came_before(wire: Wire, fault: str) -> None:
    spoken = replace(wire, opening=[*wire.opening, wire.content])
    script, expected = mid_stream(spoken)[fault]
    content, failure = await broken(wire.kind, script)
    assert content == 1
    assert type(failure) is expected


@both
async def test_content_in_the_same_packet_as_a_fault_is_not_lost(wire: Wire) -> None:
    together = b"".join([*wire.opening, wire.content, wire.failure()])
    content, failure = await broken(wire.kind, [stream_head(), chunk(together), HANG])
    assert (content, type(failure)) == (1, ServerError)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("azure_openai", openai_wire.failure(code="rate_limit_exceeded")),
        ("azure_openai", openai_wire.failure(code="429")),
        ("anthropic", anthropic_wire.failure("rate_limit_error")),
    ],
)
async def test_an_error_event_may_be_a_rate_limit(kind: str, told: bytes) -> None:
    _, failure = await broken(kind, [stream_head(), chunk(told), HANG])
    assert isinstance(failure, RateLimited)


@pytest.mark.parametrize("error", ['"words"', "[1]", '{"code": {}}', '{"message": null}', "17"])
async def test_an_error_event_of_any_shape_is_an_error(error: str) -> None:
    _, failure = await broken("openai_compatible", [stream_head(), chunk(event(f'{{"error": {error}}}')), HANG])
    assert isinstance(failure, ServerError)


@pytest.mark.parametrize(
    ("kind", "strange"),
    [
        ("openai", '{"choices": {"index": 0}}'),
        ("openai", '{"choices": [5]}'),
        ("openai", '{"choices": [{"index": [], "delta": {}}]}'),
        ("openai", '{"choices": [{"index": {}, "delta": {}}]}'),
        ("anthropic", '{"type": "content_block_delta"}'),
        ("anthropic", '{"type": "content_block_delta", "delta": []}'),
    ],
)
async def test_an_event_of_the_wrong_shape_is_a_protocol_error(kind: str, strange: str) -> None:
    _, failure = await broken(kind, [stream_head(), chunk(event(strange)), HANG])
    assert isinstance(failure, ProtocolError)


@pytest.mark.parametrize(
    ("kind", "strange"),
    [
        ("openai", '{"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": {"a": 1}}]}'),
        ("openai", '{"choices": [{"index": 0, "delta": [], "finish_reason": "new_reason"}], "usage": [1]}'),
        ("anthropic", '{"type": "message_delta", "delta": {"stop_reason": ["x"]}, "usage": []}'),
        ("anthropic", '{"type": "message_delta", "delta": {"stop_reason": "new_reason"}}'),
    ],
)
async def test_a_reason_to_finish_that_is_unknown_is_a_stop(kind: str, strange: str) -> None:
    script = stream([event(strange), event('{"type":"message_stop"}' if kind == "anthropic" else "[DONE]")])
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        read = await whole(await asked.open())
        assert read.finish == "stop"
        assert read.usage is None


# ---------------------------------------------------------------------- within a whole answer
@both
@pytest.mark.parametrize("ending", [CLOSE, RESET])
async def test_a_whole_answer_that_is_cut_was_lost(wire: Wire, ending: Any) -> None:
    script: Script = [head(200, [JSON, ("content-length", "1000")]), b'{"choices": [', ending]
    async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        answer = await asked.open(stream=False)
        with pytest.raises(ConnectionLost):
            await answer.read()
        await answer.close()


# ---------------------------------------------------------------------- silence
@both
async def test_comments_alone_are_no_piece(wire: Wire) -> None:
    """A reader that waits for content goes on waiting, so that its own deadline can fire."""
    comments, heard = [comment("ping")] * 10, asyncio.Event()
    script: Script = [stream_head(), *chunked(comments), heard, chunk(b"".join(wire.opening)), HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        answer = await asked.open()
        reading = asyncio.create_task(answer.read())
        received = answer._response.content  # type: ignore[attr-defined]
        await eventually(lambda: received.total_bytes == len(b"".join(comments)))
        await eventually(lambda: received._waiter is not None)  # all comments are read, and more is waited for
        assert not reading.done()
        heard.set()
        piece = await reading
        assert piece is not None
        assert b"ping\n\n" not in piece.raw.replace(anthropic_wire.ping(), b"")
        await answer.close()


@both
async def test_a_stream_that_says_that_it_ends_without_words_is_an_answer(wire: Wire) -> None:
    script = stream([*wire.opening, *wire.closing])
    async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        answer = await asked.open()
        read = await pieces(answer)
        assert sum(piece.content for piece in read) == 0
        assert [piece.finish for piece in read if piece.finish] == ["stop"]
        await answer.close()

"""However much a provider sends, the router holds little of it, and says so early."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from routing.errors import ProtocolError, RequestRejected
from routing.providers import transport
from routing.providers.sse import LONGEST_EVENT, LONGEST_LINE
from tests.contract.endpoints import endpoint, pieces, whole
from tests.harness.anthropic_wire import Message
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.script import HANG, Step
from tests.harness.upstream import Upstream
from tests.harness.wire import JSON, chunk, comment, head, stream, stream_head

MIB = 1024 * 1024
BLOCK = 64 * 1024
HELD = 5 * MIB  # what the router may hold of it all
UNDERWAY = 8 * MIB  # what buffers of the two sockets and of both ends may have taken before the abort is seen
kinds = pytest.mark.parametrize("kind", ["azure_openai", "claude_foundry"])


class Flood:
    """A script that sends `size` bytes, block by block, and counts what was taken."""

    def __init__(self, start: list[bytes], block: bytes, size: int, framed: Callable[[bytes], bytes] = chunk) -> None:
        self.sent = 0
        self._start, self._block, self._size, self._framed = start, block, size, framed

    def __iter__(self) -> Iterator[Step]:
        yield from self._start
        while self.sent < self._size:
            yield self._framed(self._block)
            self.sent += len(self._block)
        yield HANG


async def cut_off(kind: str, flood: Flood, stream: bool = True) -> int:
    """The most memory, in bytes, that was taken while the flood was read up to its ProtocolError."""
    async with Upstream(flood) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        await asked.provider.warm()
        tracemalloc.start()
        try:
            answer = await asked.open(stream=stream)
            with pytest.raises(ProtocolError, match="longer than allowed"):
                await pieces(answer)
            await answer.close()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await (await upstream.hit()).aborted.wait()
    return peak


@kinds
async def test_a_line_without_end_is_cut_off(kind: str) -> None:
    flood = Flood([stream_head(), chunk(b"data: ")], b"x" * BLOCK, 64 * MIB)
    assert await cut_off(kind, flood) < HELD
    assert flood.sent < UNDERWAY


@kinds
async def test_an_event_of_many_lines_is_cut_off(kind: str) -> None:
    flood = Flood([stream_head()], (b"data: " + b"x" * 1000 + b"\n") * 64, 64 * MIB)
    assert await cut_off(kind, flood) < HELD
    assert flood.sent < UNDERWAY


@kinds
async def test_a_comment_without_end_is_cut_off(kind: str) -> None:
    flood = Flood([stream_head(), chunk(b": ")], b"x" * BLOCK, 64 * MIB)
    assert await cut_off(kind, flood) < HELD
    assert flood.sent < UNDERWAY


@kinds
async def test_a_whole_answer_without_end_is_cut_off(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", MIB)
    flood = Flood([head(200, [JSON, ("content-length", str(64 * MIB))])], b"x" * BLOCK, 64 * MIB, bytes)
    assert await cut_off(kind, flood, stream=False) < HELD
    assert flood.sent < UNDERWAY


@kinds
async def test_an_error_without_end_is_known_by_its_status(kind: str) -> None:
    flood = Flood([head(400, [JSON, ("content-length", str(64 * MIB))])], b"x" * BLOCK, 64 * MIB, bytes)
    async with Upstream(flood) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        with pytest.raises(RequestRejected):
            await asked.open()
        await (await upstream.hit()).aborted.wait()
    assert flood.sent < UNDERWAY


@kinds
async def test_a_hundred_thousand_empty_events_and_comments_are_no_piece_and_take_no_memory(kind: str) -> None:
    events = Chat().events(1) if kind == "azure_openai" else Message().events(1)
    noise = (b"\n" * 10 + comment("ping") + b"event: nothing\n\nid: 7\n\nretry: 1\n\n") * 100
    read = 0
    async with Upstream(stream([noise] * 200 + events)) as upstream, endpoint(kind, upstream.url) as asked:
        await asked.provider.warm()
        tracemalloc.start()
        try:
            answer = await asked.open()
            while await answer.read():
                read += 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await answer.close()
    assert 1 <= read <= len(events)
    assert peak < HELD


async def test_the_longest_line_and_the_longest_event_that_are_allowed_pass() -> None:
    """Bounds are for what is no answer: a large one, such as a picture in base64 within a delta, is one."""
    line = b"data: " + b" " * 1000 + b"\n"
    padded = line * ((LONGEST_EVENT - 2000) // len(line)) + Chat().delta(content="long")
    assert len(padded) > LONGEST_EVENT - 5000
    fits = Chat().delta(content="x" * (LONGEST_LINE - 1000))
    script = stream([fits, padded, *Chat().closing(2)])
    async with Upstream(script) as upstream, no_leaks(), endpoint("azure_openai", upstream.url) as asked:
        read = await whole(await asked.open())
    assert (read.content, read.finish) == (2, "stop")
    assert read.raw.startswith(fits)

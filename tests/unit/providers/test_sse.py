"""The decoder of event streams: the same events however the bytes are cut and whatever ends the lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.errors import ProtocolError
from routing.providers.sse import LONGEST_EVENT, LONGEST_LINE, SseDecoder, data_of
from tests.unit.providers.streams import LINE_ENDS, PLACES, by_the_standard, cut, streams

BOM = b"\xef\xbb\xbf"


def decoded(pieces: list[bytes]) -> list[bytes]:
    """The data of all events that have some."""
    decoder = SseDecoder()
    found = [data_of(block) for piece in pieces for block in decoder.feed(piece)]
    return [data for data in found if data is not None]


@settings(max_examples=200)
@given(streams(), PLACES, st.booleans())
def test_any_cut_of_any_stream_gives_the_events_of_the_standard(stream: bytes, places: list[int], bom: bool) -> None:
    stream = BOM + stream if bom else stream
    assert decoded(cut(stream, places)) == by_the_standard(stream)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_stream_cut_at_every_byte_gives_each_event_at_its_last_byte(end: bytes) -> None:
    """Also where CR alone ends lines: nothing waits for the byte after an event."""
    stream = BOM + end.join([b"data: one", b"", b": ping", b"", b"data: two", b"data: lines", b"", b""])
    decoder = SseDecoder()
    found = [(i, data_of(block)) for i in range(len(stream)) for block in decoder.feed(stream[i : i + 1])]
    last = 1 if end == b"\r\n" else 0  # the CR of the blank line has ended the event
    first = len(BOM + b"data: one" + end + end) - 1 - last
    assert [pair for pair in found if pair[1] is not None] == [
        (first, b"one"),
        (len(stream) - 1 - last, b"two\nlines"),
    ]


@given(streams(), PLACES)
def test_blocks_hold_no_blank_line_and_no_carriage_return(stream: bytes, places: list[int]) -> None:
    """So a block can be passed on with a blank line behind it, and is one event."""
    decoder = SseDecoder()
    for piece in cut(stream, places):
        for block in decoder.feed(piece):
            assert b"\n\n" not in block
            assert b"\r" not in block


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"data: x", b"x"),
        (b"data:x", b"x"),
        (b"data:  x", b" x"),
        (b"data:", b""),
        (b"data", b""),
        (b"data: a\ndata: b", b"a\nb"),
        (b"event: e\ndata: x\nid: 7", b"x"),
        (b"\ndata: x", b"x"),
        (b"data: x\n: comment", b"x"),
        (b": comment", None),
        (b"event: e", None),
        (b"id: \0", None),
        (b"database: x", None),
        (b" data: x", None),
        (b"", None),
    ],
)
def test_the_data_of_an_event_is_its_data_lines(block: bytes, data: bytes | None) -> None:
    assert data_of(block) == data


@pytest.mark.parametrize("size", [1000, 65_536])
def test_a_line_may_be_so_long_and_no_longer(size: int) -> None:
    fits = b"x" * (LONGEST_LINE - 100)
    decoder = SseDecoder()
    for at in range(0, len(fits), size):
        assert decoder.feed(fits[at : at + size]) == []
    with pytest.raises(ProtocolError):
        decoder.feed(b"x" * 101)


def test_an_event_may_be_so_long_and_no_longer() -> None:
    line = b"data: " + b"x" * 99_993 + b"\n"
    decoder = SseDecoder()
    for _ in range(LONGEST_EVENT // len(line)):
        assert decoder.feed(line) == []
    with pytest.raises(ProtocolError):
        decoder.feed(line)


def test_events_of_any_number_pass_and_leave_nothing_behind() -> None:
    decoder = SseDecoder()
    event = b"data: " + b"x" * 1000 + b"\n\n"
    for _ in range(3 * LONGEST_EVENT // len(event)):
        assert decoder.feed(event) == [event[:-2]]
    assert decoder._rest == b""

"""Our decoder of event streams beside the openai SDK's own: the same events of every valid stream, cut anywhere."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from routing.providers.sse import SseDecoder, data_of
from tests.harness.anthropic_wire import Message
from tests.harness.openai_wire import Chat
from tests.unit.providers.streams import LINES, PLACES, cut, streams

# An event that has data, and whatever else beside it
EVENTS = st.tuples(st.lists(LINES, max_size=2), st.sampled_from([b"data: x", b"data:y", b"data:  z"])).map(
    lambda parts: [*parts[0], parts[1]]
)


def ours(pieces: list[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    blocks = [block for piece in pieces for block in decoder.feed(piece)]
    return [data for block in blocks if (data := data_of(block)) is not None]


def theirs(pieces: list[bytes]) -> list[bytes]:
    """Without the events that have no data: the SDK makes some of those, of names and ids alone."""
    return [event.data.encode() for event in SSEDecoder().iter_bytes(iter(pieces)) if event.data]


@settings(max_examples=400)
@given(streams(EVENTS), PLACES, PLACES)
def test_every_valid_stream_has_the_same_events(stream: bytes, places: list[int], others: list[int]) -> None:
    assert ours(cut(stream, places)) == theirs(cut(stream, others))


def test_streams_of_the_vendors_have_the_same_events_cut_at_every_byte() -> None:
    for events in (Chat().events(2), Chat(azure=True).tool_events("f", ["{", "}"]), Message().events(2)):
        stream = b"".join(events)
        single = [stream[i : i + 1] for i in range(len(stream))]
        assert ours(single) == theirs([stream]) == ours([stream])
        assert len(ours(single)) == len(events)

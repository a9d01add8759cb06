"""Anthropic's wire as it comes: words by their kind, reasons to finish and counts as the other vendors say them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ProtocolError, RateLimited, ServerError
from routing.outcome import Usage
from routing.ports import Piece
from routing.providers.anthropic_wire import AnthropicStream, error_event, usage_of, whole
from tests.harness import anthropic_wire as wire
from tests.harness.anthropic_wire import Message
from tests.harness.wire import comment, encode, event
from tests.unit.providers.streams import PLACES, cut

B = Message("B")


def fed(*pieces: bytes) -> tuple[Piece, AnthropicStream]:
    stream, joined = AnthropicStream(), Piece()
    for piece in pieces:
        joined.join(stream.feed(piece))
    return joined, stream


# ---------------------------------------------------------------------- streams
def test_a_stream_of_text() -> None:
    events = B.events(3)
    piece, stream = fed(b"".join(events))
    assert piece.raw == b"".join(events)
    assert piece.texts == [("text", "B1 "), ("text", "B2 "), ("text", "B3 ")]
    assert (piece.content, piece.finish, piece.usage) == (3, "stop", Usage(7, 3))
    assert (stream.done, stream.complete, stream.failure) == (True, True, None)


def test_thinking_is_content_and_reasoning() -> None:
    piece, _ = fed(*B.thinking_events(["hm", "so"], 1))
    assert piece.texts == [("reasoning", "hm"), ("reasoning", "so"), ("text", "B1 ")]
    assert piece.content == 3, "a signature is nothing to read"


def test_the_input_of_a_tool_is_content_and_no_text() -> None:
    piece, _ = fed(*B.tool_events("f", ['{"a":', "1}"]))
    assert (piece.texts, piece.content, piece.finish) == ([], 2, "tool_calls")


def test_pings_and_frames_are_no_content() -> None:
    piece, stream = fed(B.start(), wire.block_start({"type": "text", "text": ""}), wire.ping(), wire.block_stop())
    assert (piece.content, piece.texts, stream.complete) == (0, [], False)


def test_comments_are_nothing() -> None:
    assert fed(comment("ping") + b"event: ping\n\n")[0] == Piece()


@given(st.sampled_from([B.events(2), B.thinking_events(["t"], 1), B.tool_events("f", ["{}"])]), PLACES)
def test_any_cut_gives_the_same(events: list[bytes], places: list[int]) -> None:
    stream = b"".join(events)
    assert fed(*cut(stream, places))[0] == fed(stream)[0]


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "invented_later": "stop",
}


@pytest.mark.parametrize(("reason", "finish"), list(REASONS.items()))
def test_reasons_to_stop(reason: str, finish: str) -> None:
    assert fed(*B.closing(1, reason))[0].finish == finish
    assert whole(b"".join(B.answer(1, stop_reason=reason)).partition(b"\r\n\r\n")[2]).finish == finish


def test_a_stream_without_its_stop_event_is_not_complete() -> None:
    _, stream = fed(*B.events(3)[:-1])
    assert not stream.complete


def test_what_comes_after_the_stop_event_is_dropped() -> None:
    piece, stream = fed(b"".join([*B.events(2), wire.text_delta("more"), b"data: {\n\n"]))
    assert piece.raw == b"".join(B.events(2))
    assert (piece.content, stream.failure) == (2, None)


def test_usage_adds_up_over_the_stream() -> None:
    """The prompt is told at the start, the answer at the end, and counts may come again in between."""
    start = B.start(7, cache_creation=20, cache_read=100)
    assert fed(start)[0].usage == Usage(127, 1, 100)
    assert fed(start, wire.message_delta("end_turn", 5))[0].usage == Usage(127, 5, 100)
    assert fed(start, wire.message_delta("end_turn", 5), wire.message_delta("end_turn", 9))[0].usage == (
        Usage(127, 9, 100)
    )


def test_a_count_of_null_does_not_erase_what_was_told() -> None:
    told = event({"type": "message_delta", "delta": {}, "usage": {"input_tokens": None, "output_tokens": 5}})
    assert fed(B.start(7), told)[0].usage == Usage(7, 5)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"input_tokens": 5, "output_tokens": 6}, Usage(5, 6)),
        ({"input_tokens": 5}, Usage(5, 0)),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1},
            Usage(10, 1, 2),
        ),
        ({"output_tokens": 5}, None),
        ({"input_tokens": "5"}, None),
        ({"input_tokens": -5}, None),
        ({"input_tokens": 5.5}, None),
        ({"input_tokens": 5, "cache_read_input_tokens": 10**12}, None),
        ({"input_tokens": True}, None),
        ([1], None),
        (None, None),
    ],
)
def test_counts_that_are_none_are_no_usage(told: Any, usage: Usage | None) -> None:
    assert usage_of(told) == usage


# ---------------------------------------------------------------------- faults
def test_a_fault_is_kept_and_what_came_before_it_is_not_lost() -> None:
    piece, stream = fed(b"".join([*B.opening(), *B.contents(2), wire.failure(), *B.contents(3)]))
    assert piece.texts == [("text", "B1 "), ("text", "B2 ")]
    assert isinstance(stream.failure, ServerError)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"type": "rate_limit_error"}, RateLimited),
        ({"type": "overloaded_error"}, ServerError),
        ({"type": ["rate_limit_error"]}, ServerError),
        ({}, ServerError),
        ("words", ServerError),
        (None, ServerError),
    ],
)
def test_an_error_event_of_any_shape_is_an_error(told: Any, kind: type[Exception]) -> None:
    assert type(error_event(told)) is kind


# ---------------------------------------------------------------------- whole answers
def message(content: Any, **changes: Any) -> bytes:
    return encode({"type": "message", "content": content, "stop_reason": "end_turn", **changes})


def test_a_whole_answer_has_its_words_by_kind_in_order() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "B1 "},
        {"type": "redacted_thinking", "data": "AAAA"},
        {"type": "text", "text": "B2"},
    ]
    body = message(content, usage={"input_tokens": 7, "output_tokens": 2})
    texts = [("reasoning", "hm"), ("text", "B1 "), ("text", "B2")]
    assert whole(body) == Piece(raw=body, content=1, texts=texts, finish="stop", usage=Usage(7, 2))


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": ""}], [{"type": "text"}], [5], [{"text": 5}]])
def test_a_whole_answer_without_words_is_an_answer(content: Any) -> None:
    piece = whole(message(content))
    assert (piece.texts, piece.content, piece.finish, piece.usage) == ([], 1, "stop", None)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"type": "message"}', b'{"type": "message", "content": "x"}',
     b'{"type": "error", "error": {}}', b'{"content": []}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_message_is_a_fault(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        whole(body)


JSON_VALUES = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.5, 10**15, "", "a", "error", "end_turn"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["delta", "text", "thinking", "stop_reason", "usage", "input_tokens", "message", "content"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
TYPES = ["content_block_delta", "message_start", "message_delta", "message_stop", "error", "ping", "new", 5, None]


@given(st.lists(st.tuples(st.sampled_from(TYPES), JSON_VALUES), max_size=4))
def test_no_event_of_any_shape_raises(told: list[tuple[Any, Any]]) -> None:
    shapes = (value if not isinstance(value, dict) else {"type": kind, **value} for kind, value in told)
    piece, stream = fed(*(event(shape) for shape in shapes))
    assert piece.content >= 0
    assert stream.failure is None or stream.failure.message


@given(JSON_VALUES)
def test_no_whole_answer_of_any_shape_raises_anything_else(told: Any) -> None:
    body = encode({"type": "message", **told} if isinstance(told, dict) else told)
    with suppress(ProtocolError):
        assert whole(body).content == 1

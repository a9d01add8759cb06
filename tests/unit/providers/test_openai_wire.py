"""OpenAI's wire as it comes: the bytes untouched but for what is not the caller's, and what routing needs of them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ProtocolError
from routing.outcome import Usage
from routing.ports import Piece
from routing.providers.openai_wire import OpenAIStream, usage_of, whole
from tests.harness.openai_wire import DONE, Chat
from tests.harness.wire import comment, encode, event
from tests.unit.providers.streams import PLACES, cut

A, AZURE = Chat("A"), Chat("A", azure=True)


def fed(*pieces: bytes, stream: OpenAIStream | None = None) -> tuple[Piece, OpenAIStream]:
    """All of these fed, as one piece."""
    stream = stream or OpenAIStream()
    joined = Piece()
    for piece in pieces:
        joined.join(stream.feed(piece))
    return joined, stream


class Parsing(OpenAIStream):
    """Parses every event: the reference for the way that does not."""

    def _same_but_words(self, block: bytes) -> bool:
        return False


# ---------------------------------------------------------------------- what passes
@pytest.mark.parametrize("chat", [A, AZURE], ids=["openai", "azure"])
def test_a_stream_passes_byte_for_byte_but_for_usage_and_end_mark(chat: Chat) -> None:
    events = chat.events(5)
    piece, stream = fed(b"".join(events))
    assert piece.raw == b"".join(events[:-2])
    assert piece.usage_raw == events[-2]
    assert (piece.content, piece.finish) == (5, "stop")
    assert piece.usage == Usage(7, 5)
    assert (stream.done, stream.complete, stream.failure) == (True, True, None)


@given(st.sampled_from([A.events(3), AZURE.events(3), A.tool_events("f", ["{", "}"])]), PLACES)
def test_any_cut_gives_the_same(events: list[bytes], places: list[int]) -> None:
    stream = b"".join(events)
    assert fed(*cut(stream, places))[0] == fed(stream)[0]


WORDS = st.text(st.sampled_from('ab é\\"\n\t/{}\x7f\U0001f642'), max_size=6)


@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), max_size=8), st.booleans())
def test_events_that_are_not_parsed_are_read_as_if_they_were(told: list[tuple[str, int]], escaped: bool) -> None:
    """Whatever the words, and whatever comes between two plain tokens."""
    between = [b"", comment("ping"), A.delta(role="assistant"), A.chunk([], usage={"prompt_tokens": 1})]
    events = []
    for words, more in told:
        delta = {"index": 0, "delta": {"content": words}, "finish_reason": None}
        chunk = {"id": "c", "choices": [delta]}
        events += [event(json.dumps(chunk) if escaped else encode(chunk).decode()), between[more]]
    stream = b"".join([*events, *A.closing(1)])
    assert fed(stream)[0] == fed(stream, stream=Parsing())[0]


@pytest.mark.parametrize(
    "block",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"\ndata: }}]}\n\n',
        b'event: message\ndata: {"choices":[{"index":0,"delta":{"content":"a"}}]}\nid: 7\n\n',
        b'data:{"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
        b'\n\ndata: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n: note\n\n',
    ],
)
def test_an_event_in_any_other_form_passes_as_one_plain_line(block: bytes) -> None:
    """The SDK fails on an event without data, and takes names that begin with `thread.` for another API's."""
    assert fed(block)[0].raw == b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


def test_usage_in_several_lines_is_kept_as_one() -> None:
    assert fed(b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\n\n')[0].usage_raw == (
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
    )


def test_comments_and_events_without_data_do_not_pass() -> None:
    piece, _ = fed(comment("ping") + b"event: ping\n\nid: 1\n\nretry: 5\n\n")
    assert piece == Piece()


def test_azures_first_event_passes_and_is_no_content() -> None:
    piece, _ = fed(AZURE.prompt_filter(), AZURE.role())
    assert piece.raw == AZURE.prompt_filter() + AZURE.role()
    assert (piece.content, piece.finish, piece.usage) == (0, None, None)


# ---------------------------------------------------------------------- content and end
@pytest.mark.parametrize(
    ("delta", "content"),
    [
        ({"content": "a"}, 1),
        ({"reasoning_content": "hm"}, 1),
        ({"reasoning": "hm"}, 1),
        ({"refusal": "no"}, 1),
        ({"tool_calls": [{"index": 0}]}, 1),
        ({"function_call": {"name": "f"}}, 1),
        ({"audio": {"data": "AA"}}, 1),
        ({"role": "assistant", "content": ""}, 0),
        ({"content": None, "refusal": None, "tool_calls": None}, 0),
        ({}, 0),
    ],
)
def test_what_a_reader_would_see_is_content(delta: dict[str, Any], content: int) -> None:
    assert fed(A.delta(**delta))[0].content == content


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_reasons_to_finish_are_told(reason: str) -> None:
    piece, stream = fed(A.delta(reason))
    assert piece.finish == reason
    assert stream.complete


def test_an_unknown_reason_to_finish_is_a_stop_and_passes_as_it_came() -> None:
    piece, _ = fed(A.delta("eos"))
    assert piece.finish == "stop"
    assert b'"finish_reason":"eos"' in piece.raw


def test_a_stream_is_complete_with_its_finish_or_its_end_mark_and_not_before() -> None:
    assert not fed(*A.opening(), *A.contents(2))[1].complete
    assert fed(*A.opening(), *A.contents(2), A.delta("stop"))[1].complete
    assert fed(*A.opening(), *A.contents(2), DONE)[1].complete
    assert not fed(A.usage(1, 1))[1].complete


def choice(index: int, finish: str | None = None, **delta: Any) -> bytes:
    return A.chunk([{"index": index, "delta": delta, "finish_reason": finish}])


def test_a_stream_of_two_answers_is_complete_when_both_are() -> None:
    _, stream = fed(choice(0, content="a"), choice(1, content="b"), choice(0, "stop"))
    assert not stream.complete
    stream.feed(choice(1, "length"))
    assert stream.complete


def test_what_comes_after_an_answers_finish_is_dropped() -> None:
    before = choice(0, content="a") + choice(1, content="b") + choice(0, "stop")
    piece, _ = fed(before, choice(0, content="more"), choice(0, content="and more"), choice(1, content="c"))
    assert piece.raw == before + choice(1, content="c")
    assert (piece.content, piece.finish) == (3, "stop")


def test_what_comes_after_the_end_mark_is_dropped() -> None:
    for cut_at in (0, 1):
        first, later = [*A.contents(2), DONE], [A.contents(3)[2], A.usage(9, 9), A.delta("length")]
        pieces = [b"".join(first + later)] if cut_at else [b"".join(first), b"".join(later)]
        piece, stream = fed(*pieces)
        assert piece.raw == b"".join(A.contents(2))
        assert (piece.content, piece.usage, piece.finish) == (2, None, None)
        assert stream.failure is None


# ---------------------------------------------------------------------- usage
def test_of_several_usage_events_the_last_counts_and_passes() -> None:
    """Some servers tell usage as they go: it is cumulative."""
    piece, _ = fed(A.usage(7, 1), A.usage(7, 5))
    assert (piece.usage, piece.usage_raw, piece.raw) == (Usage(7, 5), A.usage(7, 5), b"")


def test_usage_beside_words_stays_where_it_is() -> None:
    chunk = A.chunk([{"index": 0, "delta": {"content": "a"}}], usage={"prompt_tokens": 3, "completion_tokens": 1})
    piece, _ = fed(chunk)
    assert (piece.raw, piece.usage_raw, piece.usage) == (chunk, b"", Usage(3, 1))


def test_a_stream_without_usage_has_none() -> None:
    piece, _ = fed(*A.contents(2), A.delta("stop"), DONE)
    assert (piece.usage, piece.usage_raw) == (None, b"")


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 5}, Usage(5, 0)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(5, 9, 4, 6),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(5, 0)),
        ({"prompt_tokens": 5, "prompt_tokens_details": [1]}, None),
        ({"completion_tokens": 5}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 1.5}, None),
        ({"prompt_tokens": "5"}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 10**12}, None),
        ({"prompt_tokens": 5, "completion_tokens": -1}, None),
        ({"prompt_tokens": float("inf")}, None),
        ([5], None),
        ("many", None),
    ],
)
def test_counts_that_are_none_are_no_usage(told: Any, usage: Usage | None) -> None:
    assert usage_of(told) == usage


# ---------------------------------------------------------------------- faults
def test_a_fault_is_kept_and_what_came_before_it_is_not_lost() -> None:
    piece, stream = fed(b"".join([*A.contents(2), b"data: {\n\n", *A.contents(3)]))
    assert piece.raw == b"".join(A.contents(2))
    assert isinstance(stream.failure, ProtocolError)


def test_words_that_no_json_may_hold_are_a_fault_also_among_plain_tokens() -> None:
    """A raw line end within a string would reach the caller as JSON that no SDK reads."""
    plain = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    for bad in (b"b\ndata: c", b"b\tc", b"\0", b"\xff"):
        _, stream = fed(plain, plain.replace(b'"a"', b'"' + bad + b'"'))
        assert isinstance(stream.failure, ProtocolError), bad


# ---------------------------------------------------------------------- whole answers
def answer(**changes: Any) -> bytes:
    message = {"role": "assistant", "content": "A1"}
    return encode({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **changes})


def test_a_whole_answer_passes_as_it_came() -> None:
    body = answer(usage={"prompt_tokens": 7, "completion_tokens": 1})
    assert whole(body) == Piece(raw=body, content=1, finish="stop", usage=Usage(7, 1))


@pytest.mark.parametrize("reason", [None, "eos", 5, ["stop"], {}])
def test_a_whole_answer_with_a_strange_finish_has_stopped(reason: Any) -> None:
    assert whole(answer(choices=[{"finish_reason": reason}])).finish == "stop"


@pytest.mark.parametrize("usage", [None, [], "x", {"prompt_tokens": None}])
def test_a_whole_answer_with_strange_usage_has_none(usage: Any) -> None:
    assert whole(answer(usage=usage)).usage is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"5", b'"choices"', b"{}", b'{"choices": null}', b'{"choices": []}',
     b'{"choices": {"0": 1}}', b'{"choices": [null]}', b'{"choices": [{}]}', b'{"error": {"message": "no"}}',
     b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_chat_completion_is_a_fault(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        whole(body)


JSON_VALUES = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.5, 10**15, "", "a", "stop", "[DONE]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "index",
                    "finish_reason",
                    "usage",
                    "error",
                    "prompt_tokens",
                    "code",
                    "type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON_VALUES, max_size=4))
def test_no_event_of_any_shape_raises(told: list[Any]) -> None:
    piece, stream = fed(*(event(value) for value in told))
    assert piece.content >= 0
    assert stream.failure is None or stream.failure.message


@given(JSON_VALUES)
def test_no_whole_answer_of_any_shape_raises_anything_else(told: Any) -> None:
    with suppress(ProtocolError):
        assert whole(encode(told)).content == 1

"""Writing an answer in OpenAI's dialect: what passes through is untouched, what is written anew is one stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.dialects.openai_answer import DONE, KEEP_ALIVE, OpenAIAnswer, error_body
from routing.errors import AllDeploymentsFailed, DeadlineExceeded, RequestError
from routing.outcome import Usage
from routing.ports import Piece

ERROR = AllDeploymentsFailed("nothing is left")
ROUTER: dict[str, Any] = {"request_id": "r", "attempts": []}


def answer(dialect: str, include_usage: bool = False) -> OpenAIAnswer:
    return OpenAIAnswer("r", "claude", 1_790_000_000, include_usage, dialect)


def events(text: bytes) -> list[Any]:
    """The data of each event, which must be JSON or the end mark."""
    blocks = text.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return [block[6:].decode() if block == DONE.strip() else json.loads(block[6:]) for block in blocks]


# ---------------------------------------------------------------------- its own dialect
def test_what_came_in_this_dialect_passes_untouched() -> None:
    native = answer("openai")
    assert native.piece(Piece(raw=b"data: {}\n\n", content=1, texts=[("text", "ignored")])) == b"data: {}\n\n"
    assert native.piece(Piece(usage=Usage(1, 1), usage_raw=b"data: {}\n\n")) == b""


@pytest.mark.parametrize("include_usage", [True, False])
def test_the_usage_event_is_the_last_where_it_was_asked_for(include_usage: bool) -> None:
    native = answer("openai", include_usage)
    usage = b'data: {"usage":1}\n\n'
    native.piece(Piece(raw=b"data: {}\n\n", usage_raw=usage))
    assert native.end(None) == (usage if include_usage else b"") + DONE


def test_an_explanation_goes_into_the_usage_event_whether_or_not_usage_was_asked_for() -> None:
    for include_usage in (True, False):
        native = answer("openai", include_usage)
        native.piece(Piece(usage_raw=b'data: {"id":"x","choices":[],"usage":{}}\n\n'))
        told = events(native.end({"why": "fastest"}))
        assert told == [{"id": "x", "choices": [], "usage": {}, "router": {"why": "fastest"}}, "[DONE]"]


def test_an_explanation_without_usage_is_a_chunk_of_its_own_in_the_same_stream() -> None:
    native = answer("openai")
    native.piece(Piece(raw=b'data: {"id":"theirs","created":7,"model":"gpt"}\n\n'))
    last, done = events(native.end({"why": "fastest"}))
    assert (last["id"], last["created"], last["model"], last["choices"]) == ("theirs", 7, "gpt", [])
    assert (last["router"], done) == ({"why": "fastest"}, "[DONE]")


def test_a_failure_is_a_chunk_of_the_same_stream_without_an_end_mark() -> None:
    native = answer("openai")
    native.piece(Piece(raw=b'data: {"id":"theirs","created":7,"model":"gpt"}\n\ndata: {"id":"other"}\n\n'))
    (chunk,) = events(native.failure(ERROR, ROUTER))
    assert (chunk["id"], chunk["created"], chunk["model"]) == ("theirs", 7, "gpt")
    assert chunk["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
    assert chunk["error"]["code"] == "all_deployments_failed"
    assert chunk["error"]["router"] == ROUTER


@pytest.mark.parametrize("raw", [b"", b'data: {"id":"","created":0,"model":"","choices":[]}\n\n', b"data: {}\n\n"])
def test_a_failure_before_the_stream_has_said_who_it_is_bears_our_own_names(raw: bytes) -> None:
    """Azure's first event has them empty."""
    native = answer("openai")
    native.piece(Piece(raw=raw))
    (chunk,) = events(native.failure(ERROR, ROUTER))
    assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-r", 1_790_000_000, "claude")


def test_a_whole_answer_passes_untouched_or_with_its_explanation() -> None:
    native = answer("openai")
    assert native.whole(Piece(raw=b'{ "id": 1 }'), None) == b'{ "id": 1 }'
    assert json.loads(native.whole(Piece(raw=b'{"id": 1}'), {"why": "x"})) == {"id": 1, "router": {"why": "x"}}


# ---------------------------------------------------------------------- written anew
def test_words_become_chunks_after_one_with_the_role() -> None:
    written = answer("anthropic")
    text = written.piece(Piece(raw=b"theirs", content=2, texts=[("reasoning", "hm"), ("text", "a")]))
    text += written.piece(Piece(content=1, texts=[("text", "b")], finish="length"))
    text += written.end(None)
    *chunks, done = events(text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "a"}, {"content": "b"}, {}
    ]  # fmt: skip
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["length"]
    assert {(c["id"], c["created"], c["model"], c["object"]) for c in chunks} == {
        ("chatcmpl-r", 1_790_000_000, "claude", "chat.completion.chunk")
    }
    assert done == "[DONE]"


def test_a_failure_of_a_written_stream_bears_its_names() -> None:
    written = answer("anthropic")
    written.piece(Piece(raw=b"event: x\ndata: {}\n\n", texts=[("text", "a")]))
    (chunk,) = events(written.failure(ERROR, ROUTER))
    assert (chunk["id"], chunk["model"]) == ("chatcmpl-r", "claude")


def test_a_whole_answer_is_written_with_words_thoughts_and_usage() -> None:
    piece = Piece(
        raw=b"theirs",
        texts=[("reasoning", "h"), ("text", "a"), ("reasoning", "m"), ("text", "b")],
        finish="stop",
        usage=Usage(10, 5, 4),
    )
    assert json.loads(answer("anthropic").whole(piece, {"why": "x"})) == {
        "id": "chatcmpl-r",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "reasoning_content": "hm"},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
        "router": {"why": "x"},
    }


def test_a_whole_answer_without_thoughts_and_usage_has_no_place_for_them() -> None:
    told = json.loads(answer("anthropic").whole(Piece(finish="stop"), None))
    assert told["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert not {"usage", "router"} & set(told)


# ---------------------------------------------------------------------- errors
def test_an_error_names_its_field_its_code_and_its_attempts() -> None:
    told = error_body(RequestError("`n` is wrong", "n"), ROUTER)
    assert told == {
        "error": {
            "message": "`n` is wrong",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
            "router": ROUTER,
        }
    }
    late = error_body(DeadlineExceeded("late", "ttft_timeout"), ROUTER)["error"]
    assert (late["type"], late["code"], late["param"]) == ("timeout_error", "ttft_timeout", None)


def test_a_keep_alive_is_a_comment() -> None:
    assert KEEP_ALIVE.startswith(b":")
    assert KEEP_ALIVE.endswith(b"\n\n")

"""Anthropic messages as bytes: streams of named events, whole answers, errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.harness.wire import Header, encode, event, stream, voice, whole, words


@dataclass(frozen=True, slots=True)
class Message:
    """One upstream's way of answering: its tokens are `B1 B2 …` for the alphabet B."""

    alphabet: str = "B"
    model: str = "claude-sonnet-4-5-20250929"

    def start(self, input_tokens: int = 7, *, cache_creation: int = 0, cache_read: int = 0) -> bytes:
        """`message_start` with the usage of the input; `input_tokens` excludes cached ones."""
        cached = {"cache_creation_input_tokens": cache_creation, "cache_read_input_tokens": cache_read}
        usage = {"input_tokens": input_tokens, **cached, "output_tokens": 1}
        return _event("message_start", message={**self._message([]), "usage": usage})

    def contents(self, count: int, index: int = 0) -> list[bytes]:
        """The tokens, as deltas of the text block of that index."""
        return [text_delta(word, index) for word in words(self.alphabet, count)]

    def opening(self) -> list[bytes]:
        """What comes before the first token: the message's start, the text block's, and a ping."""
        return [self.start(), block_start({"type": "text", "text": ""}), ping()]

    def closing(self, count: int, stop_reason: str = "end_turn", index: int = 0) -> list[bytes]:
        """What comes after the last of `count` tokens."""
        return [block_stop(index), message_delta(stop_reason, count), message_stop()]

    def events(self, count: int, stop_reason: str = "end_turn") -> list[bytes]:
        """A whole text answer."""
        return [*self.opening(), *self.contents(count), *self.closing(count, stop_reason)]

    def thinking_events(self, thoughts: Sequence[str], count: int) -> list[bytes]:
        """A whole answer that thinks first: block 0 holds the thoughts and their signature, block 1 the text."""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        thinking = [block_start(block), *(thinking_delta(thought) for thought in thoughts), signature_delta()]
        text = [block_start({"type": "text", "text": ""}, 1), *self.contents(count, 1)]
        return [self.start(), *thinking, block_stop(), *text, *self.closing(count + len(thoughts), index=1)]

    def tool_events(self, name: str, pieces: Sequence[str]) -> list[bytes]:
        """A whole answer that calls one tool, with its input in these pieces of JSON."""
        block = {"type": "tool_use", "id": f"toolu_{self.alphabet}0", "name": name, "input": {}}
        deltas = [input_delta(piece) for piece in pieces]
        return [self.start(), block_start(block), *deltas, *self.closing(len(pieces), "tool_use")]

    def stream(self, count: int, headers: Iterable[Header] = ()) -> list[bytes]:
        """The script of a whole streamed text answer."""
        return stream(self.events(count), headers)

    def answer(self, count: int, headers: Iterable[Header] = (), stop_reason: str = "end_turn") -> list[bytes]:
        """The script of an answer in one body."""
        content = [{"type": "text", "text": voice(self.alphabet, count)}]
        ending = {"stop_reason": stop_reason, "usage": {"input_tokens": 7, "output_tokens": count}}
        return [whole(200, encode({**self._message(content), **ending}), headers)]

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        shared = {"id": f"msg_{self.alphabet}", "type": "message", "role": "assistant", "model": self.model}
        return {**shared, "content": content, "stop_reason": None, "stop_sequence": None}


def block_start(block: dict[str, Any], index: int = 0) -> bytes:
    """The start of a content block: text, thinking or tool_use."""
    return _event("content_block_start", index=index, content_block=block)


def text_delta(text: str, index: int = 0) -> bytes:
    """A piece of text."""
    return _event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def thinking_delta(thought: str, index: int = 0) -> bytes:
    """A piece of thinking, which counts as content."""
    return _event("content_block_delta", index=index, delta={"type": "thinking_delta", "thinking": thought})


def signature_delta(signature: str = "c2lnbmVk", index: int = 0) -> bytes:
    """The signature that ends a thinking block."""
    return _event("content_block_delta", index=index, delta={"type": "signature_delta", "signature": signature})


def input_delta(piece: str, index: int = 0) -> bytes:
    """A piece of a tool's input, as JSON text."""
    return _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})


def block_stop(index: int = 0) -> bytes:
    """The end of a content block."""
    return _event("content_block_stop", index=index)


def ping() -> bytes:
    """May come at any time and is no content."""
    return _event("ping")


def message_delta(stop_reason: str, output_tokens: int) -> bytes:
    """The stop reason, with the usage of the whole message so far."""
    ending = {"stop_reason": stop_reason, "stop_sequence": None}
    return _event("message_delta", delta=ending, usage={"output_tokens": output_tokens})


def message_stop() -> bytes:
    """The end of the stream: without it, the stream was cut."""
    return _event("message_stop")


def failure(kind: str = "overloaded_error", message: str = "scripted") -> bytes:
    """The event of an error within a stream whose status was 200."""
    return _event("error", error={"type": kind, "message": message})


def error(
    status: int, kind: str = "api_error", message: str = "scripted", headers: Iterable[Header] = ()
) -> list[bytes]:
    """The script of an error in place of an answer."""
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_harness"}
    return [whole(status, encode(told), [("request-id", "req_harness"), *headers])]


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)

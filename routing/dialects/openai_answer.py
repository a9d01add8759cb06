"""OpenAI chat completions, as callers read them: writing an answer, whoever gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routing.errors import RequestError, RouterError
from routing.outcome import Usage
from routing.ports import Piece

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class OpenAIAnswer:
    """Writes one answer. Its own dialect passes through as it came; any other is written anew."""

    def __init__(self, request_id: str, model: str, created: int, include_usage: bool, dialect: str) -> None:
        self._head: dict[str, Any] = {"id": f"chatcmpl-{request_id}", "created": created, "model": model}
        self._include_usage, self._native = include_usage, dialect == "openai"
        self._usage: bytes = b""
        self._last = b""
        self._began = False

    def piece(self, piece: Piece) -> bytes:
        """The events that a piece of the stream is for the caller."""
        if self._native:
            self._usage = piece.usage_raw or self._usage
            self._last = piece.raw or self._last
            return piece.raw
        events = [] if self._began else [self._chunk({"role": "assistant", "content": ""})]
        self._began = True
        for kind, words in piece.texts:
            events.append(self._chunk({"content" if kind == "text" else "reasoning_content": words}))
        if piece.usage:
            self._usage = self._usage_chunk(piece.usage)
        if piece.finish:
            events.append(self._chunk({}, piece.finish))
        return b"".join(events)

    def end(self, explanation: Mapping[str, Any] | None) -> bytes:
        """The proper end of a stream: usage where it was asked for, and the marker."""
        if explanation is not None:
            last = orjson.loads(self._usage[6:]) if self._usage else {**self._frame(), "choices": []}
            return _event({**last, "router": explanation}) + DONE
        return (self._usage if self._include_usage else b"") + DONE

    def failure(self, error: RouterError, router: Mapping[str, Any]) -> bytes:
        """The end of a stream that broke. SDKs do not miss the end marker, so the error must be said."""
        choice = {"index": 0, "delta": {}, "finish_reason": "error"}
        return _event({**self._frame(), "choices": [choice], **error_body(error, router)})

    def whole(self, piece: Piece, explanation: Mapping[str, Any] | None) -> bytes:
        """An answer that was not streamed."""
        if self._native:
            if explanation is None:
                return piece.raw
            return orjson.dumps({**orjson.loads(piece.raw), "router": explanation})
        message = {"role": "assistant", "content": _words(piece, "text")}
        if thought := _words(piece, "reasoning"):
            message["reasoning_content"] = thought
        choice = {"index": 0, "message": message, "finish_reason": piece.finish}
        answer = {**self._head, "object": "chat.completion", "choices": [choice]}
        if piece.usage:
            answer["usage"] = _usage(piece.usage)
        if explanation is not None:
            answer["router"] = explanation
        return orjson.dumps(answer)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({**self._head, "object": "chat.completion.chunk", "choices": [choice]})

    def _usage_chunk(self, usage: Usage) -> bytes:
        return _event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(usage)})

    def _frame(self) -> dict[str, Any]:
        """What every chunk of this stream bears: the provider's, where it passed through."""
        head = self._head
        if self._last:
            first = orjson.loads(self._last[6 : self._last.index(b"\n\n")])
            head = {key: first.get(key) or head[key] for key in head}  # Azure's first chunk leaves them empty
        return {**head, "object": "chat.completion.chunk"}


def error_body(error: RouterError, router: Mapping[str, Any]) -> dict[str, Any]:
    """An error as this dialect says it."""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param if isinstance(error, RequestError) else None,
            "code": error.code,
            "router": router,
        }
    }


def _words(piece: Piece, kind: str) -> str:
    return "".join(words for of_kind, words in piece.texts if of_kind == kind)


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _event(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"

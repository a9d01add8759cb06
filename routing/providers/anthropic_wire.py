"""The Anthropic Messages wire format as it comes from a provider."""

from __future__ import annotations

from typing import Any

import orjson

from routing.errors import AttemptError, ProtocolError, RateLimited, ServerError
from routing.outcome import Usage
from routing.ports import Piece
from routing.providers.sse import SseDecoder, data_of
from routing.providers.wire import Wire, count

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicStream:
    """Decodes one stream. `done` after message_stop."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._counts: dict[str, Any] = {}
        self.done = False
        self.failure: AttemptError | None = None

    @property
    def complete(self) -> bool:
        """Whether message_stop came."""
        return self.done

    def feed(self, chunk: bytes) -> Piece:
        """What `chunk` completes. A fault is kept in `failure`, so that what came before it is not lost."""
        piece, kept = Piece(), []
        try:
            for block in self._sse.feed(chunk):
                data = data_of(block)
                if data is None or self.done:
                    continue
                self._event(_object(data), piece)
                kept.append(block)
        except AttemptError as failure:
            self.failure = failure
        if kept:
            piece.raw = b"\n\n".join(kept) + b"\n\n"
        return piece

    def _event(self, event: dict[str, Any], piece: Piece) -> None:
        match event.get("type"):
            case "content_block_delta":
                _delta(event.get("delta"), piece)
            case "message_start":
                self._count(event.get("message"), piece)
            case "message_delta":
                delta = event.get("delta")
                reason = delta.get("stop_reason") if isinstance(delta, dict) else None
                if reason:
                    piece.finish = finish_of(reason)
                self._count(event, piece)
            case "message_stop":
                self.done = True
            case "error":
                raise error_event(event.get("error"))
            case _:
                pass  # ping, the frames of content blocks, and whatever is added later

    def _count(self, holder: Any, piece: Piece) -> None:
        """Usage is cumulative: message_start tells the prompt, message_delta the answer so far."""
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            self._counts.update({key: value for key, value in usage.items() if value is not None})
            piece.usage = usage_of(self._counts)


def whole(body: bytes) -> Piece:
    """An unstreamed answer. Raises ProtocolError where it is none."""
    message = _object(body)
    blocks = message.get("content")
    if message.get("type") != "message" or not isinstance(blocks, list):
        raise ProtocolError("the answer is not a message")
    texts = [text for block in blocks if isinstance(block, dict) for text in _texts(block)]
    finish, usage = finish_of(message.get("stop_reason")), usage_of(message.get("usage"))
    return Piece(raw=body, content=1, texts=texts, finish=finish, usage=usage)


def finish_of(reason: Any) -> str:
    """The finish_reason that a stop_reason is; `stop` for an unknown one."""
    return FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"


def usage_of(usage: Any) -> Usage | None:
    """Token counts: the prompt is what was new, written to the cache, and read from it."""
    try:
        cached = count(usage.get("cache_read_input_tokens") or 0)
        prompt = count(usage["input_tokens"]) + count(usage.get("cache_creation_input_tokens") or 0) + cached
        return Usage(prompt, count(usage.get("output_tokens") or 0), cached)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def error_event(error: Any) -> AttemptError:
    """An error that came inside a stream, under status 200."""
    kind = error.get("type") if isinstance(error, dict) else None
    if kind == "rate_limit_error":
        return RateLimited("the provider limited the stream")
    return ServerError("the provider sent an error event")


def _delta(delta: Any, piece: Piece) -> None:
    if not isinstance(delta, dict):
        raise ProtocolError("a content_block_delta of the stream has no delta")
    texts = _texts(delta)
    piece.texts += texts
    piece.reasoning = piece.reasoning or any(kind == "reasoning" for kind, _ in texts)
    piece.content += len(texts) or bool(delta.get("partial_json"))


def _texts(holder: dict[str, Any]) -> list[tuple[str, str]]:
    """The words in a delta or a content block, and what they are."""
    kinds = (("text", "text"), ("thinking", "reasoning"))
    return [(kind, words) for key, kind in kinds if isinstance(words := holder.get(key), str) and words]


def _object(data: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise ProtocolError("what the provider sent is not JSON") from e
    if not isinstance(event, dict):
        raise ProtocolError("what the provider sent is not a JSON object")
    return event


ANTHROPIC = Wire("anthropic", AnthropicStream, whole)

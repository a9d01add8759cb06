"""The upstream's bytes: an OpenAI chat answer as Azure sends it, around tokens that carry time stamps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_PROMPT_FILTER = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_IDENTITY = {"id": "chatcmpl-bench0000000000000000000000", "created": 1790000000, "model": "bench-2026-01-01"}
_USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 32,
    "total_tokens": 72,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_HEADERS = (
    b"apim-request-id: 6b2f7c1e-0000-4000-8000-000000000000\r\n"
    b"openai-processing-ms: 18\r\n"
    b"x-ms-region: East US\r\n"
    b"x-ratelimit-limit-requests: 1000000\r\nx-ratelimit-remaining-requests: 999999\r\n"
    b"x-ratelimit-limit-tokens: 1000000000\r\nx-ratelimit-remaining-tokens: 999999999\r\n"
)


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {
        "content_filter_results": _SAFE if delta.get("content") else {},
        "delta": delta,
        "finish_reason": finish,
        "index": 0,
        "logprobs": None,
    }
    return _event({"choices": [choice], **_IDENTITY, "object": "chat.completion.chunk", "system_fingerprint": "fp_b"})


def _whole(content: str) -> bytes:
    choice = {
        "content_filter_results": _SAFE,
        "finish_reason": "stop",
        "index": 0,
        "logprobs": None,
        "message": {"role": "assistant", "content": content, "refusal": None},
    }
    tail = {"object": "chat.completion", "prompt_filter_results": _PROMPT_FILTER, "usage": _USAGE}
    return orjson.dumps({"choices": [choice], **_IDENTITY, **tail})


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    + _HEADERS
    + b"\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"  # ends the HTTP message
# Azure's first event has no choices, its second a role and no text: neither is the first token
OPENING = [
    _event({"choices": [], "prompt_filter_results": _PROMPT_FILTER}),
    _chunk({"role": "assistant", "content": ""}),
]
FINISH = _chunk({}, "stop")
USAGE = _event({"choices": [], **_IDENTITY, "object": "chat.completion.chunk", "usage": _USAGE})
DONE = b"data: [DONE]\n\n"
_BEFORE, _AFTER = _chunk({"content": "\0"}).split(rb"\u0000")
_WHOLE_BEFORE, _WHOLE_AFTER = _whole("\0").split(rb"\u0000")


def token(text: bytes) -> bytes:
    """The event of one token."""
    return _BEFORE + text + _AFTER


def framed(events: Iterable[bytes]) -> bytes:
    """Each event as a chunk of HTTP/1.1's chunked coding, as a server that flushes each would send it."""
    return b"".join([b"%x\r\n%b\r\n" % (len(event), event) for event in events])


def closing(*, usage: bool) -> bytes:
    """What follows the last token, to the end of the HTTP message."""
    return framed([FINISH, USAGE, DONE] if usage else [FINISH, DONE]) + LAST_CHUNK


def whole(text: bytes) -> bytes:
    """An unstreamed answer as an HTTP message."""
    body = _WHOLE_BEFORE + text + _WHOLE_AFTER
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    return head + _HEADERS + b"\r\n" + body

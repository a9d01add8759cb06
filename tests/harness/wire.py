"""HTTP/1.1 and server-sent events as pieces of bytes, so that a script can cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final

type Header = tuple[str, str]

JSON: Final[Header] = ("content-type", "application/json")
EVENT_STREAM: Final[Header] = ("content-type", "text/event-stream; charset=utf-8")
CHUNKED: Final[Header] = ("transfer-encoding", "chunked")
LAST_CHUNK: Final = b"0\r\n\r\n"
# 529 is Anthropic's own.
REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Site is overloaded"}

# How long to stay away, as providers say it: the headers and the seconds they mean. Milliseconds win over seconds.
RETRY_HINTS: Final[dict[str, tuple[tuple[Header, ...], float]]] = {
    "seconds": ((("retry-after", "1"),), 1.0),
    "milliseconds": ((("retry-after-ms", "250"),), 0.25),
    "microsoft-milliseconds": ((("x-ms-retry-after-ms", "250"),), 0.25),
    "milliseconds-and-seconds": ((("retry-after", "1"), ("retry-after-ms", "250")), 0.25),
}
# Hints that mean nothing or too much: no reader may raise on them, wait for ever, or come back at once.
BAD_RETRY_HINTS: Final[dict[str, tuple[Header, ...]]] = {
    "negative": (("retry-after", "-5"),),
    "not-a-number": (("retry-after", "NaN"),),
    "infinite": (("retry-after", "inf"),),
    "thirty-years": (("retry-after", "1000000000"),),
    "a-word": (("retry-after", "soon"),),
    "empty": (("retry-after", ""),),
    "twice": (("retry-after", "1"), ("retry-after", "2")),
    "past-date": (("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),),
}


def retry_after_date(moment: datetime) -> Header:
    """A Retry-After with an HTTP date; `moment` in UTC."""
    return "retry-after", format_datetime(moment, usegmt=True)


def head(status: int = 200, headers: Iterable[Header] = ()) -> bytes:
    """Status line, headers and the blank line, exactly as given: no header is added."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(status: int, body: bytes, headers: Iterable[Header] = (), *, kind: Header = JSON) -> bytes:
    """A response with its length, after which the connection may carry another call."""
    return head(status, [kind, ("content-length", str(len(body))), *headers]) + body


def stream_head(headers: Iterable[Header] = ()) -> bytes:
    """The head of a chunked event stream."""
    return head(200, [EVENT_STREAM, CHUNKED, *headers])


def chunk(piece: bytes) -> bytes:
    """One chunk of the chunked transfer coding. `piece` must not be empty: an empty chunk is the last."""
    if not piece:
        raise ValueError("an empty chunk would end the response: send LAST_CHUNK")
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def chunked(pieces: Iterable[bytes]) -> list[bytes]:
    """Each piece in a chunk of its own, without the last chunk."""
    return [chunk(piece) for piece in pieces]


def stream(events: Iterable[bytes], headers: Iterable[Header] = ()) -> list[bytes]:
    """A whole chunked event stream: the head, one chunk an event, the last chunk."""
    return [stream_head(headers), *chunked(events), LAST_CHUNK]


def event(told: Any, name: str | None = None) -> bytes:
    """One server-sent event; `told` is text as it is, anything else is JSON."""
    text = told if isinstance(told, str) else encode(told).decode()
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def comment(text: str) -> bytes:
    """A comment line, as providers and proxies keep a connection alive with."""
    return f": {text}\n\n".encode()


def encode(told: Any) -> bytes:
    """JSON as the vendors write it: no spaces, UTF-8."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def words(alphabet: str, count: int) -> list[str]:
    """The tokens of one upstream, `A1 `, `A2 `, …: a text shows whose it is. The space ends each, so A1 is not A10."""
    return [f"{alphabet}{number} " for number in range(1, count + 1)]


def voice(alphabet: str, count: int) -> str:
    """All that this upstream says."""
    return "".join(words(alphabet, count))

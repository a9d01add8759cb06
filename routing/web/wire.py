"""Between ASGI and the edge: bounded bodies in, whole answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.types import Receive, Send

from routing.errors import CallerLeft, Overloaded, RequestTooLarge, UploadTimeout

CHAT_BYTES = 20 * 1024 * 1024  # of a chat request: images are base64
OTHER_BYTES = 64 * 1024
ALL_BYTES = 256 * 1024 * 1024  # of bodies in memory at once, in one instance
# A body is given up after a silence of PART_S, and at the latest after BODY_S: what came of it takes memory from all.
# In four minutes CHAT_BYTES come through 0.7 Mbit/s; the host's forwarder waits as long for an answer
PART_S, BODY_S = 30.0, 240.0

type Header = tuple[bytes, bytes]


class Bodies:
    """Reads request bodies, none beyond its limit, all together, with those still on their way, not beyond theirs."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
        """The whole body.

        Raises RequestTooLarge before more than `limit` is held, Overloaded when memory is taken, UploadTimeout for a
        body that is too slow, CallerLeft for one that ends early.

        The caller gives the bytes back with `release(len(body))` when it is done with them; where this raises or is
        cancelled, nothing is left to give back.
        """
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:18]) > limit:
            raise _too_large(limit)
        body = bytearray()  # a list of parts would hold far more than it counts, if they are small
        try:
            await self._fill(body, receive, limit)
        except TimeoutError as late:
            self._drop(body)
            raise UploadTimeout("the request's body comes too slowly") from late
        except BaseException:  # cancellation too: bytes that stayed counted would be missing for ever
            self._drop(body)
            raise
        return bytes(body)

    async def _fill(self, body: bytearray, receive: Receive, limit: int) -> None:
        """Put what comes into `body`. Raises TimeoutError, too."""
        now, more = asyncio.get_running_loop().time, True
        last = now() + BODY_S
        async with asyncio.timeout(PART_S) as until:
            while more:
                part, more = await _part(receive)
                if more:
                    until.reschedule(min(last, now() + PART_S))
                body += part
                self._held += len(part)
                if len(body) > limit:
                    raise _too_large(limit)
                if self._held > ALL_BYTES:
                    raise Overloaded("too many large requests are being read")

    def _drop(self, body: bytearray) -> None:
        """Errors know the frame that holds the body, and live as long as their answers are being sent."""
        self.release(len(body))
        body.clear()

    def release(self, size: int) -> None:
        """The bytes of a body are no longer needed."""
        self._held -= size


async def _part(receive: Receive) -> tuple[bytes, bool]:
    """(the next part of a body, whether more follow)."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft("the caller has left within its request")
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is larger than {limit} bytes")


async def send_whole(send: Send, status: int, headers: Sequence[Header], body: bytes) -> None:
    """One complete answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def json_headers() -> list[Header]:
    """For a JSON answer that must not be kept."""
    return [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


def text_headers() -> list[Header]:
    """For Prometheus' text format, version 0.0.4."""
    return [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8"), (b"cache-control", b"no-store")]


def dumps(value: Any) -> bytes:
    """JSON; what is not finite becomes null, as JSON knows no infinity."""
    return orjson.dumps(value)

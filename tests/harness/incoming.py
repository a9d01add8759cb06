"""Reading one HTTP/1.1 request as it was sent, and remembering it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


class NotHttp(Exception):
    """The first bytes are no HTTP request, as when a TLS client meets a plain port."""


@dataclass(eq=False)
class Hit:
    """One request that reached the upstream, and how it ended. Times are the event loop's, in seconds."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]  # in the order and the spelling of the client
    received_at: float
    connection: int  # the how-manieth connection of this upstream it came on, from 1
    body: bytes = b""
    aborted_at: float | None = None
    aborted: asyncio.Event = field(default_factory=asyncio.Event)  # the client left before the script had ended
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # the script had ended before the client left

    @property
    def over(self) -> bool:
        """True once nothing is being done for this request any more."""
        return self.aborted.is_set() or self.ended.is_set()

    def header(self, name: str) -> str | None:
        """The first value under this name in any spelling."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def abort(self, at: float) -> None:
        """Record that the client left."""
        self.aborted_at = at
        self.aborted.set()


async def read_head(reader: asyncio.StreamReader, connection: int) -> Hit | None:
    """The next request without its body, or None if the client has left instead. Raises NotHttp."""
    first = await reader.read(1)
    if not first:
        return None
    if not (first.isalpha() and first.isupper()):
        raise NotHttp
    # No UTF-8: header bytes are as they are, and latin-1 keeps each.
    request, *lines = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    method, path, _version = request.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name, value.strip()) for name, _, value in pairs)
    return Hit(method, path, headers, asyncio.get_running_loop().time(), connection)


async def read_body(reader: asyncio.StreamReader, hit: Hit) -> None:
    """Fill `hit.body`. Raises IncompleteReadError if the client leaves before its end."""
    if (hit.header("transfer-encoding") or "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            hit.body += await reader.readexactly(size)
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
            pass
    else:
        hit.body = await reader.readexactly(int(hit.header("content-length") or 0))

"""An HTTP client that costs little: what it takes on its core is not to be had by the upstream beside it."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import count
from time import perf_counter, perf_counter_ns
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools
import orjson

from bench.relay.tokens import BadAnswer

KEY = "bench-key-that-only-this-run-knows"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()
# uvicorn closes a connection after 5 s without a request: one that might be closing just now is not asked
IDLE_S = 3.0
_number = count()


class Request(NamedTuple):
    """A request ready to send, but for its invocation id."""

    before: bytes
    after: bytes

    def numbered(self) -> bytes:
        """The bytes, with a fresh x-ms-invocation-id: the Functions runtime pairs its two halves by it."""
        return b"%b00000000-0000-4000-8000-%012x%b" % (self.before, next(_number), self.after)


def request(mode: str, *, stream: bool) -> Request:
    """A chat request that the upstream answers by `mode`."""
    turns = [
        {"role": "system", "content": "You are a helpful assistant. Answer in one short sentence."},
        {"role": "user", "content": f"What is the capital of the country that I flew to? mode={mode}"},
    ]
    body: dict[str, object] = {"model": "bench", "messages": turns, "max_tokens": 64}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    sent = orjson.dumps(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(sent)}\r\nx-ms-invocation-id: "
    return Request(head.encode(), b"\r\n\r\n" + sent)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[None] | None = None
        self._until = b""
        self._pieces: list[tuple[int, bytes]] = []
        self._read_at = 0
        self._used = perf_counter()
        self.open = False

    @property
    def fresh(self) -> bool:
        """Whether it can take a request without racing the server's idle time-out."""
        return self.open and perf_counter() - self._used < IDLE_S

    async def ask(self, request: Request, until: bytes = b"") -> list[tuple[int, bytes]]:
        """The answer's body in pieces, as (time read in ns, bytes). Raises BadAnswer where it is no success.

        With `until`, the answer so far, as soon as a piece holds that; the rest is left to come.
        """
        self._pieces, self._until = [], until
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request.numbered())
        await self._answered
        self._used = perf_counter()
        return self._pieces

    def close(self) -> None:
        """Leave, whatever is under way."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: it is open."""
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Asyncio's: bytes have come."""
        self._read_at = perf_counter_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            self.close()
            self._end(BadAnswer(f"not HTTP: {e}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's: it is closed."""
        self.open = False
        self._end(BadAnswer("the connection was closed before the answer's end"))

    def on_body(self, body: bytes) -> None:
        """The parser's: a piece of the body."""
        self._pieces.append((self._read_at, body))
        if self._until and self._until in body:
            self._end(None)

    def on_message_complete(self) -> None:
        """The parser's: the answer has ended."""
        self.open = self.open and self._parser.should_keep_alive() and not self._until
        if (status := self._parser.get_status_code()) != 200:
            self._end(BadAnswer(f"status {status}: {b''.join(data for _, data in self._pieces)[:600]!r}"))
        else:
            self._end(BadAnswer("it ended, and was to be held open") if self._until else None)

    def _end(self, error: BadAnswer | None) -> None:
        if self._answered is None or self._answered.done():
            return
        if error:
            self._answered.set_exception(error)
        else:
            self._answered.set_result(None)


class Pool:
    """Connections to one address. The one used last is used first."""

    def __init__(self, url: str) -> None:
        host, _, port = urlsplit(url).netloc.rpartition(":")
        self._host, self._port = host, int(port)
        self._idle: list[Connection] = []

    async def take(self) -> Connection:
        """An idle connection, or a new one. Raises BadAnswer where the program does not take it."""
        while self._idle:
            if (connection := self._idle.pop()).fresh:
                return connection
            connection.close()
        try:
            _, made = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        except OSError as e:
            raise BadAnswer(f"cannot connect: {e}") from e
        return made

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request."""
        if connection.open:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()

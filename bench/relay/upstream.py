"""`python -m bench.relay.upstream`: the fake model endpoint. The prompt of a request says how it is answered."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from time import perf_counter_ns
from typing import cast

import httptools
import orjson
import uvloop

from bench.relay import chunks
from bench.relay.tokens import TOKENS, stamp

PATH = b"/openai/v1/chat/completions"
CALLS_PATH = b"/calls"  # answers how many chat requests have come
FIRST_TOKEN_S, BETWEEN_TOKENS_S = 0.020, 0.005
PEAK_WRITES = 4  # of a peak answer: at full speed tokens share packets, but no answer fits into one
_MODE = re.compile(r"mode=(\w+)")


class Upstream(asyncio.Protocol):
    """One connection: requests one after the other. `calls` counts those of all connections."""

    _transport: asyncio.Transport

    def __init__(self, calls: Counter[bytes]) -> None:
        self._calls = calls
        self._parser = httptools.HttpRequestParser(self)
        self._path, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: a client has connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Asyncio's: bytes of a request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The parser's: the path."""
        self._path, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        """The parser's: a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The parser's: the request has been read."""
        asked = perf_counter_ns()
        if self._path == CALLS_PATH:
            told = b"%d" % self._calls[PATH]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
        elif self._path == PATH:
            self._calls[PATH] += 1
            self._answer(asked)
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    def _answer(self, asked: int) -> None:
        body = orjson.loads(self._body)
        if not body.get("stream"):
            self._transport.write(chunks.whole(b"".join(_stamps(0, TOKENS, asked))))
            return
        end = chunks.closing(usage=bool((body.get("stream_options") or {}).get("include_usage")))
        mode = _MODE.search(body["messages"][-1]["content"])
        match mode and mode[1]:
            case "peak":
                self._write_share(0, asked, end)
            case "held":
                self._write(0, 1, asked)
            case _:
                asyncio.get_running_loop().call_later(FIRST_TOKEN_S, self._write_next, 0, asked, end)

    def _write_next(self, index: int, asked: int, end: bytes) -> None:
        """One token, and the next after its time."""
        last = index == TOKENS - 1
        self._write(index, index + 1, asked, end if last else b"")
        if not last:
            asyncio.get_running_loop().call_later(BETWEEN_TOKENS_S, self._write_next, index + 1, asked, end)

    def _write_share(self, share: int, asked: int, end: bytes) -> None:
        """One share of the tokens at once, and the next with the loop's next turn."""
        size, last = TOKENS // PEAK_WRITES, share == PEAK_WRITES - 1
        self._write(share * size, (share + 1) * size, asked, end if last else b"")
        if not last:
            asyncio.get_running_loop().call_soon(self._write_share, share + 1, asked, end)

    def _write(self, begin: int, stop: int, asked: int, end: bytes = b"") -> None:
        if self._transport.is_closing():
            return
        tokens = chunks.framed([chunks.token(text) for text in _stamps(begin, stop, asked)])
        opening = b"" if begin else chunks.STREAM_HEAD + chunks.framed(chunks.OPENING)
        self._transport.write(opening + tokens + end)


def _stamps(begin: int, stop: int, asked: int) -> list[bytes]:
    now = perf_counter_ns()
    return [stamp(i, now, None if i else asked) for i in range(begin, stop)]


async def serve(port: int) -> None:
    """Serve for ever on 127.0.0.1; says `listening URL` once it does."""
    calls: Counter[bytes] = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(calls), "127.0.0.1", port, backlog=1024)
    print(f"listening http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.relay.upstream", description="The fake model endpoint.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    uvloop.run(serve(parser.parse_args().port))

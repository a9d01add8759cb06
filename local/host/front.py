"""The host's front door: finds the function, forwards the bytes both ways as they come, and nothing else.

What it keeps of the real host (Kestrel and YARP): 404 for what no trigger declares, 100 MB of body, 240 s without a
byte in either direction, no buffering, and a client that leaves ends the forward at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
from aiohttp import web
from starlette.requests import Request
from yarl import URL

from local.host.headers import to_client, to_worker
from local.host.routes import Match, RouteTable, without_dot_segments

BODY_LIMIT = 100 * 1024 * 1024  # bytes; the Functions host's limit
IDLE_S = 240.0  # YARP's ActivityTimeout in the Functions host
HEADER_BYTES = 32 * 1024  # Kestrel's MaxRequestHeadersTotalSize
CLIENT_KEEP_ALIVE_S = 130.0  # Kestrel's
# uvicorn closes a connection that is idle for 5 s; leaving it earlier, no request can meet that close.
WORKER_KEEP_ALIVE_S = 4.0

log = logging.getLogger("local.host")


class Front:
    """Answers the requests at the host's port."""

    def __init__(self, routes: RouteTable, worker_address: str, session: aiohttp.ClientSession) -> None:
        self._routes = routes
        self._worker = URL(worker_address)
        self._session = session
        self._expected: dict[str, Match] = {}
        self.answering: set[asyncio.Task[object]] = set()
        self.draining = False  # the connection of every answer is closed after it

    def expected(self, invocation_id: str, _request: Request) -> Match | None:
        """The function for a request that this front has forwarded; none where its client has left."""
        return self._expected.pop(invocation_id, None)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle one request. Cancelled when its client leaves."""
        if task := asyncio.current_task():
            self.answering.add(task)
            task.add_done_callback(self.answering.discard)
        path = without_dot_segments(request.rel_url.raw_path)
        match = self._routes.match(request.method, path)
        if match is None:
            return self._own_answer(404)
        if (request.content_length or 0) > BODY_LIMIT:
            return self._own_answer(413)
        if not all(value.isascii() for value in request.headers.values()):
            return self._own_answer(400)  # so does .NET's HTTP client: headers are ASCII
        invocation_id = str(uuid4())
        self._expected[invocation_id] = match
        try:
            return await self._forward(_Exchange(request), invocation_id, path)
        finally:
            self._expected.pop(invocation_id, None)

    async def _forward(self, exchange: _Exchange, invocation_id: str, path: str) -> web.StreamResponse:
        request = exchange.request
        url = URL.build(
            scheme="http",
            authority=self._worker.authority,
            path=path,
            query_string=request.rel_url.raw_query_string,
            encoded=True,
        )
        headers = to_worker(request.headers, request.remote or "", invocation_id)
        data = exchange.body() if request.body_exists else None
        try:
            async with (
                asyncio.timeout(IDLE_S) as exchange.idle,
                self._session.request(request.method, url, headers=headers, data=data, allow_redirects=False) as answer,
            ):
                return await exchange.relay(answer, close=self.draining)
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as e:
            return self._failed(exchange, e)

    def _failed(self, exchange: _Exchange, error: Exception) -> web.StreamResponse:
        """The answer's end where the worker's server or the client cannot go on."""
        if exchange.response:  # its head is out: only a cut tells the client that the rest is missing
            exchange.request.protocol.force_close()
            return exchange.response
        if exchange.too_large:
            return self._own_answer(413)
        log.warning("%s %s: %s: %s", exchange.request.method, exchange.request.path, type(error).__name__, error)
        return self._own_answer(504 if isinstance(error, TimeoutError) else 502)

    def _own_answer(self, status: int) -> web.Response:
        response = web.Response(status=status)
        if self.draining:
            response.force_close()
        return response


class _Exchange:
    """One request on its way through: its body up, its answer down, and the clock that both wind up."""

    idle: asyncio.Timeout

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.response: web.StreamResponse | None = None
        self.too_large = False
        self._sent = not request.body_exists

    async def body(self) -> AsyncIterator[bytes]:
        """The client's body, chunk by chunk. Ends the forward where it grows beyond the limit."""
        await self._continue()
        received = 0
        async for chunk in self.request.content.iter_any():
            received += len(chunk)
            if received > BODY_LIMIT:
                self.too_large = True
                raise ConnectionError("the request's body exceeds the host's limit")
            self._wind()
            yield chunk
        self._sent = True

    async def relay(self, answer: aiohttp.ClientResponse, *, close: bool) -> web.StreamResponse:
        """Pass the worker's answer on, each chunk as it comes."""
        self._wind()
        response = self.response = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=to_client(answer.headers)
        )
        if close:
            response.force_close()
        await response.prepare(self.request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
            self._wind()
        await response.write_eof()
        if not self._sent:
            answer.close()  # nobody waits for the rest of the request
        return response

    async def _continue(self) -> None:
        if self.request.headers.get("Expect", "").lower() == "100-continue" and not self.response:
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.request.writer.output_size = 0  # of the answer, which has not begun

    def _wind(self) -> None:
        self.idle.reschedule(asyncio.get_running_loop().time() + IDLE_S)


def new_session() -> aiohttp.ClientSession:
    """Connections to the extension's server: as many as there are requests, nothing decoded, added or remembered."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=WORKER_KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the exchange keeps its own
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
    )


def new_server(front: Front) -> web.Server:
    """The HTTP server for the front. It leaves bodies encoded, and cancels `answer` when the client is gone."""
    return web.Server(
        front.answer,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=CLIENT_KEEP_ALIVE_S,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
    )

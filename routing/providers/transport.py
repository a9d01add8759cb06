"""How bytes travel to the models: one aiohttp session, prepared requests, raw answers.

aiohttp costs a fifth per chunk of what httpx2 costs, and its pool stays fast with thousands of open streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp

from routing.errors import AttemptError, ConnectFailed, ConnectionLost, ProtocolError, RouterError
from routing.outcome import Signals
from routing.ports import Answer, Piece, Way
from routing.providers import signals
from routing.providers.closing import Closing
from routing.providers.sdk import Prepared, Sdk
from routing.providers.wire import Wire

CONNECT_S = 1.0  # TCP and TLS: three round trips to the far side of the world take half of it
RESOLVE_AND_CONNECT_S = 2.0
KEEP_ALIVE_S = 60.0  # an idle connection saves the next request its handshakes
DNS_CACHE_S = 60
LARGEST_BODY = 32 * 1024 * 1024  # of an unstreamed answer
LARGEST_ERROR = 64 * 1024  # of the body of an error; a status without its body still tells enough
ERROR_S = 1.0  # how long that body may take
# What reading raises when the connection breaks; the last where it closed a moment ago and nobody was waiting
CUT = (aiohttp.ClientError, OSError, RuntimeError)
DRAIN_S = 0.25  # how long a finished stream may take to end its HTTP message before its connection is closed


class Transport:
    """The session that all providers share. Made inside the running loop, at first use."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, sdk: Sdk, wire: Wire, body: bytes, stream: bool, extra: Mapping[str, str], way: Way) -> Answer:
        """Send `body`, with `extra` headers; returns the answer once a success status has come.

        Raises the AttemptError that the failure is: ConnectFailed before the request was sent, ConnectionLost after,
        ProtocolError for what is no answer, and the SDK's view of any error status.
        """
        prepared = await sdk.prepared()
        response, connect_s = await self._send(prepared, {**prepared.headers, **extra}, body, way)
        if response.status != 200:
            try:
                raise await self._refusal(sdk, response)
            finally:
                response.close()
        seen = signals.of(response.headers, connect_s)
        if not stream:
            return WholeAnswer(response, wire, seen)
        if response.content_type != "text/event-stream":
            response.close()
            raise ProtocolError("the provider did not answer with a stream")
        return StreamedAnswer(response, wire, seen)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _send(
        self, prepared: Prepared, headers: Mapping[str, str], body: bytes, way: Way
    ) -> tuple[aiohttp.ClientResponse, float | None]:
        trace = SimpleNamespace(since=None, connect_s=None, way=way)
        try:
            response = await self._open_session().post(
                prepared.url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=trace
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
            raise ConnectFailed("the provider cannot be connected to") from e
        except (aiohttp.ClientConnectionError, OSError) as e:
            raise ConnectionLost("the provider closed the connection") from e
        except aiohttp.ClientError as e:
            raise ProtocolError("what the provider sent is not HTTP") from e
        # a TLS handshake takes a second round trip
        handshakes = 2 if prepared.url.scheme == "https" else 1
        return response, trace.connect_s / handshakes if trace.connect_s is not None else None

    async def _refusal(self, sdk: Sdk, response: aiohttp.ClientResponse) -> AttemptError:
        if response.status < 400:
            return ProtocolError(f"the provider answered with status {response.status}")
        body = b""
        with contextlib.suppress(*CUT, ProtocolError):
            async with asyncio.timeout(ERROR_S):
                body = await _bounded(response, LARGEST_ERROR)
        return await sdk.error(response.status, response.headers, body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=DNS_CACHE_S, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=RESOLVE_AND_CONNECT_S, sock_connect=CONNECT_S, sock_read=None
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                trace_configs=[_connect_trace()],
            )
        return self._session


class StreamedAnswer:
    """A streamed answer."""

    def __init__(self, response: aiohttp.ClientResponse, wire: Wire, seen: Signals) -> None:
        self.dialect, self.signals = wire.dialect, seen
        self._response, self._decoder, self._closing = response, wire.stream(), Closing(response)
        self._aborted: RouterError | None = None

    async def read(self) -> Piece | None:
        """See the seam."""
        if self._aborted is not None:
            raise self._aborted
        decoder, content = self._decoder, self._response.content
        while decoder.failure is None and not decoder.done:
            try:
                chunk = await content.readany()
            except CUT as e:
                raise ConnectionLost("the stream was cut") from e
            if not chunk:
                if decoder.complete:
                    return None
                raise ProtocolError("the stream ended before its answer did")
            piece = decoder.feed(chunk)
            piece.last = decoder.done and decoder.failure is None
            if piece.raw or piece.content or piece.usage_raw or piece.finish or piece.last:
                return piece
        if decoder.failure is not None:
            raise decoder.failure
        return None

    def abort(self, error: RouterError) -> None:
        """See the seam."""
        self._aborted = error
        self._response.content.set_exception(error)  # wakes a read that waits
        self._response.close()

    async def close(self) -> None:
        """See the seam."""
        content = self._response.content
        try:
            if self._decoder.done and content.exception() is None and not content.at_eof():
                with contextlib.suppress(*CUT):
                    async with asyncio.timeout(DRAIN_S):
                        await content.readany()
        finally:
            self._closing.end()
            if not content.at_eof():
                self._response.close()
            self._response.release()


class WholeAnswer:
    """An unstreamed answer: one piece."""

    def __init__(self, response: aiohttp.ClientResponse, wire: Wire, seen: Signals) -> None:
        self.dialect, self.signals = wire.dialect, seen
        self._response, self._decode, self._read = response, wire.whole, False
        self._closing = Closing(response)

    async def read(self) -> Piece | None:
        """See the seam."""
        if self._read:
            return None
        self._read = True
        try:
            body = await _bounded(self._response, LARGEST_BODY)
        except CUT as e:
            raise ConnectionLost("the answer was cut") from e
        return self._decode(body)

    def abort(self, error: RouterError) -> None:
        """See the seam."""
        self._response.content.set_exception(error)
        self._response.close()

    async def close(self) -> None:
        """See the seam."""
        self._closing.end()
        if not self._response.content.at_eof():
            self._response.close()
        self._response.release()


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body. Raises ProtocolError where it is longer than `most` bytes."""
    parts, size = [], 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > most:
            raise ProtocolError("the answer is longer than allowed")
        parts.append(chunk)
    return b"".join(parts)


def _connect_trace() -> aiohttp.TraceConfig:
    """Times the making of a connection; a reused one leaves no trace."""
    trace = aiohttp.TraceConfig()
    loop_time = asyncio.get_running_loop().time

    async def started(_session: object, seen: SimpleNamespace, _params: object) -> None:
        seen.trace_request_ctx.since, seen.trace_request_ctx.way.connecting = loop_time(), True

    async def ended(_session: object, seen: SimpleNamespace, _params: object) -> None:
        seen.trace_request_ctx.connect_s = loop_time() - seen.trace_request_ctx.since
        seen.trace_request_ctx.way.connecting = False

    trace.on_connection_create_start.append(started)
    trace.on_connection_create_end.append(ended)
    return trace

"""An HTTP/1.1 server on 127.0.0.1 that does what its script says, on the test's own loop.

    async with Upstream(Chat("A").stream(3)) as upstream:
        ...                                     # a client calls upstream.url
        hit = await upstream.hit(0)
        await hit.aborted.wait()                # the client left before the script had ended

It writes raw bytes because servers and frameworks refuse to misbehave.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self

from tests.harness.connection import Connection
from tests.harness.eventually import GUARD_S, eventually
from tests.harness.incoming import Hit, NotHttp, read_body, read_head
from tests.harness.script import Ending, Script, end, play

# Thousands of clients may connect in one turn of the loop.
BACKLOG = 4096
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Upstream:
    """Plays one script a call: the next of `queue`, else the default, which may depend on the request.

    `hits` has every request in order. While `silent` is true, new connections are accepted and nothing is taken from
    them. Leaving the context raises what a script raised, and names the calls for which there was no script.
    """

    def __init__(
        self, default: Script | Callable[[Hit], Script] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.hits: list[Hit] = []
        self.queue: deque[Script] = deque()
        self.silent = False
        self.connections = 0
        self._default, self._tls = default, tls
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._failures: list[Exception] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._begin, self._forget), "127.0.0.1", 0, ssl=self._tls, backlog=BACKLOG
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        serving = list(self._open.items())
        for connection, task in serving:
            task.cancel()
            connection.transport.abort()
        await asyncio.gather(*(task for _, task in serving), return_exceptions=True)
        await self._server.wait_closed()
        if self._failures and error is None:
            raise ExceptionGroup("the upstream could not play its part", self._failures)

    @property
    def url(self) -> str:
        """Its base, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections accepted and not yet closed on both sides."""
        return len(self._open)

    def then(self, *scripts: Script) -> None:
        """Queue scripts for the next calls, in order."""
        self.queue.extend(scripts)

    async def hit(self, index: int = 0, *, guard_s: float = GUARD_S) -> Hit:
        """The request of that index, as soon as its head is there. Raises AssertionError after `guard_s`."""
        what = f"call {index} reaches the upstream"
        await eventually(lambda: len(self.hits) > index, what=what, guard_s=guard_s)
        return self.hits[index]

    def _begin(self, connection: Connection) -> None:
        self.connections += 1
        serving = self._serve(connection, self.connections, silent=self.silent)
        self._open[connection] = asyncio.get_running_loop().create_task(serving, name=f"upstream:{self.port}")

    def _forget(self, connection: Connection) -> None:
        del self._open[connection]

    async def _serve(self, connection: Connection, number: int, *, silent: bool) -> None:
        ending = Ending.CLOSE
        try:
            if silent:
                await connection.gone.wait()
                return
            while (ending := await self._call(connection, number)) is Ending.KEEP:
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left between two calls, or within a head
        except NotHttp:
            connection.writer.write(BAD_REQUEST)
        except Exception as error:  # a mistake of the test's: told when it leaves the context
            self._failures.append(error)
        finally:
            end(connection.writer, ending)

    async def _call(self, connection: Connection, number: int) -> Ending:
        """Read one request and play its script; KEEP if the connection may carry another."""
        hit = await read_head(connection.reader, number)
        if hit is None:
            return Ending.CLOSE
        self.hits.append(hit)
        try:
            await read_body(connection.reader, hit)
            ending = await _unless_gone(play(self._script(hit), connection.writer), connection.gone)
        except (ConnectionError, asyncio.IncompleteReadError):
            ending = None
        if ending is None:
            hit.abort(connection.gone_at or asyncio.get_running_loop().time())
            return Ending.CLOSE
        hit.ended.set()
        return ending

    def _script(self, hit: Hit) -> Script:
        if self.queue:
            return self.queue.popleft()
        if self._default is None:
            raise AssertionError(f"no script for call {len(self.hits)}: {hit.method} {hit.path}")
        return self._default(hit) if callable(self._default) else self._default


async def _unless_gone(playing: Coroutine[None, None, Ending], gone: asyncio.Event) -> Ending | None:
    """The script's ending, or None if the client left first."""
    race = asyncio.create_task(playing), asyncio.create_task(gone.wait())
    try:
        await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
        return race[0].result() if race[0].done() else None
    finally:
        for runner in race:
            runner.cancel()
        await asyncio.gather(*race, return_exceptions=True)

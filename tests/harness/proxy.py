"""A TCP proxy on 127.0.0.1 that adds the faults of a network between a client and a server it does not know.

async with FaultProxy(server_port) as proxy:
    proxy.cut_after = 0         # the server gets the request, its answer is lost
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, cast

from tests.harness.script import Ending, end

READ_BYTES = 65_536
# Pieces under way in one direction: beyond this the sender is held back, as by a real network.
PIECES = 64

# When a piece is due, in the loop's seconds, and its bytes; none at the end.
type Line = asyncio.Queue[tuple[float, bytes]]


class FaultProxy:
    """Forwards both ways and passes FIN on as FIN, RST as RST. Its faults may be changed at any time."""

    def __init__(self, target_port: int) -> None:
        self.latency_s = 0.0  # of each piece, in each direction; throughput stays what it is
        self.cut_after: int | None = None  # bytes of answer a new connection carries; then both its sides are closed
        self.blackhole = False  # bytes vanish; only that a side has left is still passed on
        self.port = 0
        self._target_port = target_port
        self._joined: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()

    @property
    def url(self) -> str:
        """Its base for plain HTTP, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen: on a free port at first, on the same one again later."""
        if self._server is None:
            self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse new connections and reset those that are open."""
        if self._server is not None:
            self._server.close()
            await self.reset()
            await self._server.wait_closed()
            self._server = None

    async def reset(self) -> None:
        """Send RST on every open connection, to both sides."""
        joined = list(self._joined)
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection's bytes both ways until both sides have ended, or one was reset or refused."""
        self._joined.add(joined := cast("asyncio.Task[None]", asyncio.current_task()))
        sides, ending = [writer], Ending.RESET
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            sides.append(far_writer)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, far_writer, None))
                ways.create_task(self._carry(far_reader, writer, self.cut_after))
            ending = Ending.CLOSE
        except* _Cut:
            ending = Ending.CLOSE
        except* OSError:
            pass
        finally:
            for side in sides:
                end(side, ending)
            self._joined.discard(joined)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int | None) -> None:
        line: Line = asyncio.Queue(PIECES)
        async with asyncio.TaskGroup() as halves:
            halves.create_task(self._take(source, line))
            halves.create_task(self._deliver(line, sink, limit))

    async def _take(self, source: asyncio.StreamReader, line: Line) -> None:
        more = True
        while more:
            piece = await source.read(READ_BYTES)
            await line.put((asyncio.get_running_loop().time() + self.latency_s, piece))
            more = bool(piece)

    async def _deliver(self, line: Line, sink: asyncio.StreamWriter, limit: int | None) -> None:
        while True:
            due, piece = await line.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not piece:
                return sink.write_eof()
            if self.blackhole:
                continue
            sink.write(piece[:limit])
            await sink.drain()
            if limit is not None and (limit := limit - len(piece)) <= 0:
                raise _Cut


class _Cut(Exception):
    """As many bytes as the fault allows have passed."""

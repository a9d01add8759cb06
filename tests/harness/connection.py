"""One accepted connection: a reader, a writer, and the moment at which the client went away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

# Room for a head of 1 MiB, far over what any client of ours sends.
READ_LIMIT = 2**20


class Connection(asyncio.StreamReaderProtocol):
    """Calls `begin` once it stands and `forget` once it is closed on both sides.

    `gone` is set as soon as the client has closed or reset, also while nobody is reading: a client of HTTP that
    closes its half has left. `gone_at` is then the event loop's time in seconds.
    """

    def __init__(self, begin: Callable[[Connection], None], forget: Callable[[Connection], None]) -> None:
        self.reader = asyncio.StreamReader(limit=READ_LIMIT)
        super().__init__(self.reader)
        self.gone = asyncio.Event()
        self.gone_at: float | None = None
        self._begin, self._forget = begin, forget

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)
        self.writer = asyncio.StreamWriter(self.transport, self, self.reader, asyncio.get_running_loop())
        self._begin(self)

    def eof_received(self) -> bool | None:
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)
        self._forget(self)

    def _leave(self) -> None:
        if not self.gone.is_set():
            self.gone_at = asyncio.get_running_loop().time()
            self.gone.set()

"""A table service that answers every call with one status: throttled, broken, or refusing us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Refusing:
    """What it answers, and how often it was asked."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        self.calls = 0
        self.port = 0
        self._status = status
        self._headers = {} if retry_after is None else {"Retry-After": retry_after}

    async def answer(self, request: web.Request) -> web.Response:
        self.calls += 1
        return web.Response(status=self._status, headers=self._headers, text="{}")


@asynccontextmanager
async def refusing(status: int, retry_after: str | None = None) -> AsyncIterator[Refusing]:
    """Serve on a free port while the block runs."""
    service = Refusing(status, retry_after)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.port = runner.addresses[0][1]
        yield service
    finally:
        await runner.cleanup()

"""A gateway before Azurite, as there are some before Table Storage: it holds transactions back, or answers itself."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

HOP = ("content-length", "transfer-encoding", "connection")


@dataclass(frozen=True)
class Late:
    """Answer with this status at once, and carry the transaction out when told to `commit`."""

    status: int = 504


@dataclass(frozen=True)
class Refuse:
    """Answer as the service does where it does not carry the transaction out."""

    status: int
    code: str


@dataclass
class Gateway:
    """`steps` are what happens to the next transactions: an event is waited for. All others are passed on."""

    target: int
    session: aiohttp.ClientSession
    port: int = 0
    transactions: int = 0
    steps: deque[Late | Refuse | asyncio.Event | None] = field(default_factory=deque)
    _late: list[Callable[[], Awaitable[web.Response]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()

        async def send() -> web.Response:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
            url = URL(f"http://127.0.0.1:{self.target}{request.raw_path}", encoded=True)  # as it was signed
            async with self.session.request(request.method, url, data=body or None, headers=headers) as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        if "batch" not in request.raw_path:
            return await send()
        self.transactions += 1
        match self.steps.popleft() if self.steps else None:
            case Late(status):
                self._late.append(send)
                return web.Response(status=status, text="{}")
            case Refuse(status, code):
                told = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": "no"}}}
                return web.Response(status=status, text=json.dumps(told), content_type="application/json")
            case asyncio.Event() as event:
                await event.wait()
        return await send()

    async def commit(self) -> None:
        """Carry out what was late, if its conditions still hold."""
        for send in self._late:
            await send()
        self._late.clear()


@asynccontextmanager
async def gateway(target: int) -> AsyncIterator[Gateway]:
    """Before the emulator on this port, while the block runs."""
    async with aiohttp.ClientSession() as session:
        gate = Gateway(target, session)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", gate.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            gate.port = runner.addresses[0][1]
            yield gate
        finally:
            await runner.cleanup()

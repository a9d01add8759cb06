"""`python -m bench.relay.bare`: column (c), the Functions extension's own web server with the least possible in it.

Server and catch-all route are made as azure_functions_runtime.http_v2.initialize_http_server makes them; the handler
reads the body, sends it on and hands back the bytes as they come. Nothing that runs in that server can be faster.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from importlib import import_module
from typing import Any

import aiohttp
import uvloop
from fastapi import Request
from fastapi.responses import StreamingResponse
from yarl import URL

from bench.relay.upstream import PATH

HOST = "127.0.0.1"
EXTENSION = import_module("azurefunctions.extensions.http.fastapi")  # has no types; the runtime imports it so, too


def relay_to(url: URL, session: aiohttp.ClientSession) -> Any:
    """The application: one route that relays everything to `url`."""
    headers = {"authorization": "Bearer bench", "content-type": "application/json"}

    async def relay(request: Request) -> StreamingResponse:
        answer = await session.post(url, data=await request.body(), headers=headers)
        return StreamingResponse(answer.content.iter_any(), answer.status, media_type=answer.content_type)

    app = EXTENSION.WebApp()
    app.route(relay)
    return app


async def serve(upstream: str) -> None:
    """Serve until a signal says stop; says `listening URL` once it does."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        app = relay_to(URL(upstream + PATH.decode()), session)
        server = asyncio.ensure_future(EXTENSION.WebServer(HOST, port, app).serve())
        while not await _connects(port):
            await asyncio.wait([server], timeout=0.02)
            if server.done():
                server.result()
        # the server sets its loggers up as it starts: only now is the access log its own to lose
        logging.getLogger("uvicorn.access").handlers.clear()
        print(f"listening http://{HOST}:{port}", flush=True)
        await server


async def _connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.relay.bare", description="A bare relay to one upstream.")
    parser.add_argument("--upstream", required=True, help="its URL")
    uvloop.run(serve(parser.parse_args().upstream))

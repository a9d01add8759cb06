"""Ends of connections that no well-behaved server makes."""

from __future__ import annotations

import socket
import struct

from aiohttp import web

LINGER_0 = struct.pack("ii", 1, 0)  # on, for 0 s: closing sends RST instead of FIN


def close(request: web.Request, *, reset: bool = False) -> web.StreamResponse:
    """Close a request's connection, with RST where it is to look broken. What is returned is never sent."""
    transport = request.transport
    if transport is not None:
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        transport.abort()
    return web.Response()

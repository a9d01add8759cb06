"""Addresses where no answer comes from: one that refuses, and one that does not even accept."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Long enough for a handshake on loopback, which takes microseconds.
HANDSHAKE_S = 0.1


@contextmanager
def refused() -> Iterator[int]:
    """A port that answers SYN with RST. It stays bound, so that nobody else can listen on it meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose accept queue is full: SYNs are dropped, so a connect hangs until its own time-out."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        while _connects(sockets.enter_context(socket.socket()), address):
            pass
        yield address[1]


def _connects(client: socket.socket, address: tuple[str, int]) -> bool:
    client.setblocking(False)
    client.connect_ex(address)
    _, writable, _ = select.select([], [client], [], HANDSHAKE_S)
    return bool(writable)

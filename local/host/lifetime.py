"""A host process's beginning and end: its port, its signals, and how it leaves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

CLEAN_UP_S = 1.0  # for `finally` blocks, once everything is cancelled


def bound_socket(port: int) -> socket.socket:
    """A socket bound to 127.0.0.1:port that does not listen yet: the port is ours, and nobody is answered too early.

    Raises OSError where the port is taken.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def on_stop(act: Callable[[], None]) -> None:
    """Call this at SIGINT and SIGTERM from now on, in the event loop, instead of anything that was set before."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


async def leave(code: int) -> NoReturn:
    """Cancel everything, give it a second, and end the process without exit hooks.

    An instance in the cloud ends without them as well: uvicorn lets its signal kill the worker. Nothing may rely on
    them, and a thread of the app that hangs cannot hold this process.
    """
    logging.disable()  # what is cancelled now may complain, and nobody has to read it
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLEAN_UP_S)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

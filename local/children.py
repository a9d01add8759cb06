"""Child processes of `make run`: started together, heard line by line, ended together."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

LINE_BYTES = 1024 * 1024  # longest line that goes through
STOP_S = 6.0  # from SIGINT to SIGKILL; the local host drains for up to 5 s
PR_SET_PDEATHSIG = 1  # prctl(2)

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: little is safe between fork and exec


class Ended(Exception):
    """A child ended by itself; the text says which and how."""


class Child:
    """`python -m MODULE ARGUMENTS`, whose output goes through line by line, behind a prefix.

    Its line `listening URL` says that it is ready and does not go through; what follows waits until `announced` is set.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, prefix: str, announced: asyncio.Event) -> None:
        self.name = name
        self._process = process
        self._prefix = prefix
        self._announced = announced
        self._listening = asyncio.Event()
        self.life = asyncio.create_task(self._live())  # until it has ended and its last line is out

    @classmethod
    async def start(
        cls,
        name: str,
        *arguments: str,
        announced: asyncio.Event,
        prefix: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Start it, in a session of its own so that Ctrl-C reaches it through its parent only."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            env={**os.environ, **(settings or {}), "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        return cls(name, process, prefix, announced)

    async def ready(self) -> None:
        """Wait until it listens. Raises Ended."""
        listening = asyncio.create_task(self._listening.wait())
        await asyncio.wait({listening, self.life}, return_when=asyncio.FIRST_COMPLETED)
        if not self._listening.is_set():
            listening.cancel()
            raise self.ended()

    def ended(self) -> Ended:
        """The error that it has ended."""
        return Ended(f"{self.name} ended with exit code {self._process.returncode}")

    async def stop(self) -> None:
        """SIGINT, SIGKILL after 6 s, and its last lines."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        await asyncio.wait({self.life}, timeout=STOP_S)
        with suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.wait({self.life})

    async def _live(self) -> None:
        assert self._process.stdout
        while line := await self._line(self._process.stdout):
            if line.startswith("listening ") and not self._listening.is_set():
                self._listening.set()
                await self._announced.wait()
            else:
                print(f"{self._prefix}{line}", end="", flush=True)
        await self._process.wait()

    async def _line(self, output: asyncio.StreamReader) -> str:
        try:
            return (await output.readline()).decode(errors="replace")
        except ValueError:  # longer than the reader's limit, which has dropped it
            return f"(a line of more than {LINE_BYTES} bytes is left out)\n"


def die_with_parent() -> None:
    """In the child: be killed when the parent ends, however it ends. Linux only; elsewhere its signals do that."""
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

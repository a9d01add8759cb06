"""The steps of a scripted upstream: what is written, what is waited for, and how the connection ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Ending(Enum):
    """What becomes of the connection. A script without one leaves it open for the next request."""

    KEEP = auto()
    CLOSE = auto()  # FIN after everything that was sent
    RESET = auto()  # RST: the client's next read fails with ECONNRESET
    HANG = auto()  # silence until the client leaves or the server stops


CLOSE: Final = Ending.CLOSE
RESET: Final = Ending.RESET
HANG: Final = Ending.HANG


@dataclass(frozen=True, slots=True)
class Delay:
    """Nothing happens for so many seconds. For the few tests whose subject is real time; others use a gate."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes sent one by one, each in a segment of its own, with `pause_s` seconds after each."""

    text: bytes
    pause_s: float = 0.0


# Bytes are sent; an Event is a gate: the script waits until the test sets it.
type Step = bytes | asyncio.Event | Delay | Drip | Ending
# A generator may be endless: the client's reading is what paces it.
type Script = Iterable[Step]


async def play(script: Script, writer: asyncio.StreamWriter) -> Ending:
    """Do the steps up to the first ending. Raises ConnectionError if the client goes away between two writes."""
    for step in script:
        match step:
            case bytes():
                await _send(step, writer)
            case asyncio.Event():
                await step.wait()
            case Delay():
                await asyncio.sleep(step.seconds)
            case Drip():
                for byte in step.text:
                    await _send(bytes([byte]), writer)
                    await asyncio.sleep(step.pause_s)
            case Ending.HANG:
                await asyncio.Event().wait()
            case Ending():
                return step
            case _:
                raise TypeError(f"no step of a script: {step!r}")
    return Ending.KEEP


def end(writer: asyncio.StreamWriter, ending: Ending) -> None:
    """Close the connection, or reset it: linger of 0 s makes the kernel send RST instead of FIN."""
    if ending is Ending.RESET and not writer.transport.is_closing():  # else the other side was faster
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def _send(piece: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(piece)
    await writer.drain()
    # A turn for the client, also where the kernel took everything at once: it may share this loop.
    await asyncio.sleep(0)

"""The one clock: wall time at the start, then only forward."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, anchored once: it never steps back, and instances agree as well as NTP does."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()  # noqa: TID251  # here the wall clock is read, and nowhere else

    def now(self) -> float:
        """Now, in seconds."""
        return time.monotonic() + self._offset

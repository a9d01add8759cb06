"""The simulator's one clock: monotonic seconds."""

from __future__ import annotations

import asyncio
import time


def now() -> float:
    """Monotonic seconds; finer than uvloop's own time, which is whole milliseconds."""
    return time.monotonic()


async def until(moment: float) -> None:
    """Wait for `moment`; one that has passed is not waited for."""
    if (left := moment - now()) > 0:
        await asyncio.sleep(left)

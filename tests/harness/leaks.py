"""I6: no task, no descriptor and no complaint of Python is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.harness.eventually import GUARD_S, eventually

DESCRIPTORS = Path("/proc/self/fd")  # Linux only: elsewhere descriptors are not watched


@asynccontextmanager
async def no_leaks(*, guard_s: float = GUARD_S) -> AsyncIterator[None]:
    """Whatever the block started has ended after it: tasks, sockets, files. Raises AssertionError naming what has not.

    What was there before may stay or go. Complaints are what Python can only print: an exception in `__del__`, a
    coroutine never awaited, an unclosed resource, a task destroyed while pending, an exception nobody took.
    """
    gc.collect()  # an earlier test's garbage complains now, not within the block
    loop = asyncio.get_running_loop()
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    with _complaints(loop) as complaints:
        yield
        what = "I6: every task of the block has ended"
        await _none(lambda: [repr(task) for task in asyncio.all_tasks() - tasks], what, guard_s)
        # Objects in a cycle close their sockets, and complain, when they are collected.
        gc.collect()
        await _none(lambda: list((_descriptors() - descriptors).elements()), "I6: every descriptor is closed", guard_s)
        await asyncio.sleep(0)
    if complaints:
        raise AssertionError("I6: Python complained:\n" + "\n".join(complaints))


async def _none(leftover: Any, what: str, guard_s: float) -> None:
    """Wait until `leftover()` is empty; the message of the failure lists what it holds."""
    try:
        await eventually(lambda: not leftover(), what=what, guard_s=guard_s)
    except AssertionError as failure:
        raise AssertionError("\n".join([str(failure), *leftover()])) from None


def _descriptors() -> Counter[str]:
    """What each open descriptor points at: a socket by its inode, a file by its path."""
    if not DESCRIPTORS.exists():
        return Counter()
    targets = Counter[str]()
    for descriptor in os.listdir(DESCRIPTORS):
        try:
            targets[os.readlink(DESCRIPTORS / descriptor)] += 1
        except FileNotFoundError:
            continue  # the one that listed the directory
    return targets


@contextmanager
def _complaints(loop: asyncio.AbstractEventLoop) -> Iterator[list[str]]:
    """Collect as text what would go to stderr: the objects themselves must not be kept alive."""
    told: list[str] = []
    unraisable, handler = sys.unraisablehook, loop.get_exception_handler()

    def hook(args: sys.UnraisableHookArgs) -> None:
        told.append(f"{args.err_msg or 'exception ignored in'} {args.object!r}: {args.exc_value!r}")

    def handle(_: asyncio.AbstractEventLoop, facts: dict[str, Any]) -> None:
        told.append(f"{facts['message']}: {facts.get('exception') or facts.get('task') or ''!r}")

    sys.unraisablehook = hook
    loop.set_exception_handler(handle)
    try:
        with warnings.catch_warnings():
            # As errors within `__del__` they reach the hook, whatever the filters outside say.
            warnings.filterwarnings("error", category=ResourceWarning)
            warnings.filterwarnings("error", "coroutine .* was never awaited", RuntimeWarning)
            yield told
    finally:
        sys.unraisablehook = unraisable
        loop.set_exception_handler(handler)

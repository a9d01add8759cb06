"""Waiting until something holds, without a sleep that a test's meaning depends on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GUARD_S = 5.0
# Turns of the loop before the first real pause: what only needs the loop to run costs no time at all.
FREE_TURNS = 20
PAUSE_S = 0.001


async def eventually[T](predicate: Callable[[], T], *, what: str = "the condition", guard_s: float = GUARD_S) -> T:
    """The first truthy value of `predicate`, asked once a turn of the loop and then every millisecond.

    `guard_s` only bounds a failing test. Raises AssertionError naming `what` and the last value when it has passed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + guard_s
    turns = 0
    while not (value := predicate()):
        if loop.time() >= end:
            raise AssertionError(f"{what}: still not so after {guard_s:g} s; last value {value!r}")
        await asyncio.sleep(0 if turns < FREE_TURNS else PAUSE_S)
        turns += 1
    return value

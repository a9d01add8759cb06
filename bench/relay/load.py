"""The loads that a program is put under. Each runs in the load generator's process and returns plain figures.

A client stops at its first bad answer, so a broken program ends a load early and never floods the report.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.relay import process
from bench.relay.client import Connection, Pool, Request, request
from bench.relay.percentile import percentile
from bench.relay.tokens import FIRST_TOKEN, TOKENS, BadAnswer, check, timing

ARRIVALS_PER_S = 20.0
CLIENTS = 32  # of a closed loop: enough to keep one core of any of the programs busy
GRACE_S = 15.0  # for the answers that are under way when a load's time is over
HOLD_AT_ONCE = 50  # streams opened side by side when many are to be held: fewer than a listener's backlog


@dataclass
class Result:
    """Figures by name, and the answers that were not what they should have been."""

    figures: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    answers: int = 0  # that were right

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a bad answer instead of raising it."""
        try:
            yield
        except BadAnswer as e:
            self.failures.append(str(e))


def light(url: str, seconds: float, seed: int) -> Result:
    """Streams at Poisson arrivals. Waiting counts from the planned moment: falling behind cannot hide it."""
    return _run(_light(Pool(url), planned(seconds, random.Random(seed))), seconds)


def streams(url: str, seconds: float, pid: int) -> Result:
    """Streams from clients in a closed loop, against an upstream at full speed."""
    result, per_s, busy = _closed(url, request("peak", stream=True), seconds, pid)
    result.figures = {"streams_per_s": per_s, "tokens_per_s": TOKENS * per_s, "busy": busy}
    result.figures["cpu_ms_per_stream"] = _per_answer(busy, per_s)
    return result


def calls(url: str, seconds: float, pid: int) -> Result:
    """Calls without a stream from clients in a closed loop."""
    result, per_s, busy = _closed(url, request("peak", stream=False), seconds, pid)
    result.figures = {"calls_per_s": per_s, "cpu_ms_per_call": _per_answer(busy, per_s)}
    return result


def held(url: str, count: int, pid: int) -> Result:
    """Memory of `count` streams that stand open after their first token."""
    return _run(_held(Pool(url), count, pid), 0)


def planned(seconds: float, rng: random.Random) -> list[float]:
    """Moments of arrival within `seconds`, as seconds from the start: a Poisson process."""
    moments, at = [], rng.expovariate(ARRIVALS_PER_S)
    while at < seconds:
        moments.append(at)
        at += rng.expovariate(ARRIVALS_PER_S)
    return moments


def _run(load: Coroutine[Any, Any, Result], seconds: float) -> Result:
    async def bounded() -> Result:
        async with asyncio.timeout(seconds + GRACE_S):
            return await load

    try:
        return uvloop.run(bounded())
    except TimeoutError:
        return Result(failures=[f"answers were still missing {GRACE_S:.0f} s after the end"])


async def _light(pool: Pool, moments: list[float]) -> Result:
    result, waits, lags, tasks = Result(), list[float](), list[float](), list[asyncio.Task[None]]()
    asked = request("light", stream=True)

    async def one(due: float) -> None:
        with result.noting():
            connection = await pool.take()
            pieces = await connection.ask(asked)
            pool.give_back(connection)
            check(b"".join(data for _, data in pieces), stream=True)
            result.answers += 1
            seen = timing(pieces)
            waits.append((seen.first_read - seen.upstream_wait) / 1e6 - 1000 * due)
            lags.extend(lag / 1e6 for lag in seen.lags)

    await _at(moments, lambda due: tasks.append(asyncio.ensure_future(one(due))))
    await asyncio.gather(*tasks)
    pool.close()
    result.figures = {
        "ttft_p50_ms": percentile(waits, 50),
        "ttft_p99_ms": percentile(waits, 99),
        "lag_p50_ms": percentile(lags, 50),
        "lag_p99_ms": percentile(lags, 99),
    }
    return result


async def _at(moments: list[float], start: Callable[[float], object]) -> None:
    """Call `start(planned moment in clock seconds)` at each. A thread sleeps: the loop's timers are 1 ms coarse."""
    loop, begin = asyncio.get_running_loop(), time.perf_counter()

    def pace() -> None:
        for moment in moments:
            time.sleep(max(0.0, begin + moment - time.perf_counter()))
            loop.call_soon_threadsafe(start, begin + moment)

    await asyncio.to_thread(pace)


def _closed(url: str, asked: Request, seconds: float, pid: int) -> tuple[Result, float, float]:
    """The result, answers per second, and the share of a core that the program took."""
    before, done = process.cpu_s(pid), list[float]()
    result = _run(_clients(Pool(url), asked, seconds, done), seconds)
    return result, len(done) / seconds, (process.cpu_s(pid) - before) / seconds


def _per_answer(busy: float, per_s: float) -> float:
    """Milliseconds of processor time that one answer took."""
    return 1000 * busy / per_s if per_s else math.nan


async def _clients(pool: Pool, asked: Request, seconds: float, done: list[float]) -> Result:
    result, end = Result(), time.perf_counter() + seconds
    stream = b'"stream":true' in asked.after

    async def client() -> None:
        with result.noting():
            connection = await pool.take()
            while time.perf_counter() < end:
                check(b"".join([data for _, data in await connection.ask(asked)]), stream=stream)
                result.answers += 1
                if (now := time.perf_counter()) < end:
                    done.append(now)
            connection.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return result


async def _held(pool: Pool, count: int, pid: int) -> Result:
    result, open_streams, turns = Result(), list[Connection](), iter(range(count))
    asked, before = request("held", stream=True), process.rss_bytes(pid)

    async def opener() -> None:
        with result.noting():
            for _ in turns:
                open_streams.append(connection := await pool.take())
                await connection.ask(asked, until=FIRST_TOKEN)
                result.answers += 1

    await asyncio.gather(*(opener() for _ in range(min(count, HOLD_AT_ONCE))))
    result.figures = {"kb_per_stream": (process.rss_bytes(pid) - before) / count / 1000}
    if closed := sum(not connection.open for connection in open_streams):
        result.failures.append(f"{closed} of {count} streams did not stay open")
    for connection in open_streams:
        connection.close()
    return result

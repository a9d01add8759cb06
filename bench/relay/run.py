"""One run: the programs take turns, each turn in a fresh process, so that no round inherits another's heap or luck."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from bench.relay import load, process, program
from bench.relay.columns import Column
from bench.relay.load import Result
from bench.relay.program import Cores, Running, StartFailed, running
from bench.relay.upstream import CALLS_PATH

WARM_UP_S = 0.5


class Plan(NamedTuple):
    """How much is measured. Times in seconds."""

    rounds: int
    light_s: float
    streams_s: float
    calls_s: float
    held: int  # streams open at once
    imports: int


FULL = Plan(rounds=3, light_s=6.0, streams_s=2.5, calls_s=1.5, held=500, imports=5)
QUICK = Plan(rounds=1, light_s=3.0, streams_s=1.0, calls_s=0.7, held=200, imports=3)


class Bench:
    """A run's surroundings: plan, cores, the load generator's process, the upstream and the programs' environment."""

    def __init__(
        self,
        plan: Plan,
        cores: Cores,
        generator: ProcessPoolExecutor,
        upstream: str,
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._plan, self._cores, self._generator = plan, cores, generator
        self._upstream, self._environment, self._folder = upstream, environment, folder

    def turn(self, column: Column, number: int) -> Result:
        """One program's figures of one round."""
        total = Result()
        log = self._folder / f"{column.letter}{number}.log"
        try:
            with running(column.argv, self._cores.program, log, self._environment) as tested:
                self._measure(tested, number, total)
        except StartFailed as e:
            total.failures.append(str(e))
        if total.failures:
            total.failures.append(f"it said last:\n{program.last_words(log)}")
        total.failures = [f"({column.letter}) {failure}" for failure in total.failures]
        return total

    def _measure(self, tested: Running, number: int, total: Result) -> None:
        plan, (url, pid) = self._plan, tested
        process.settle(pid)  # a cold start is not what is measured here
        self._apply(total, "warm-up", load.streams, url, WARM_UP_S, pid)
        self._apply(total, "warm-up", load.calls, url, WARM_UP_S, pid)
        process.settle(pid)
        answers_before, calls_before = total.answers, calls_of(self._upstream)
        self._apply(total, "light", load.light, url, plan.light_s, number)
        self._apply(total, "streams", load.streams, url, plan.streams_s, pid)
        self._apply(total, "calls", load.calls, url, plan.calls_s, pid)
        total.figures["rss_mb"] = process.rss_bytes(pid) / 1e6
        self._apply(total, "held", load.held, url, plan.held, pid)
        answers, calls = total.answers - answers_before, calls_of(self._upstream) - calls_before
        total.figures["calls_per_answer"] = calls / answers if answers else math.nan

    def _apply[**P](self, total: Result, name: str, of: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a load in the generator's process and add what it found."""
        result = self._generator.submit(of, *args, **kwargs).result()
        total.figures |= result.figures
        total.answers += result.answers
        total.failures += [f"{name}: {failure}" for failure in result.failures]


def calls_of(upstream: str) -> int:
    """How many chat requests the upstream has had: more than answers where some were hedged or sent again."""
    with urlopen(upstream + CALLS_PATH.decode(), timeout=10) as answer:
        return int(answer.read())


@contextmanager
def generator(cores: Cores) -> Iterator[ProcessPoolExecutor]:
    """The load generator: one process of its own, on its core."""
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (cores.load,)) as pool:
        yield pool


def _prepare(core: int | None) -> None:
    program.pin(core)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run's own process ends it


def say(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)

"""The rhythm of one background task: again and again, never in step with other instances, slower while it fails."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from routing.errors import StoreUnavailable

JITTER = 0.2  # of every period, both ways
LONGEST_S = 60.0  # between two tries of a store that is away
LOG = logging.getLogger("routing.sync")


class Pulse:
    """Calls `work` every `period()` seconds until it is cancelled.

    `counts` holds how many beats were `ok`, were `skipped` (`work` returned False: it has left all as it was), failed
    as the store was `unavailable`, or failed by a `fault` of ours.
    """

    def __init__(
        self, name: str, work: Callable[[], Awaitable[object]], period: Callable[[], float], rng: Random
    ) -> None:
        self.name, self._work, self._period, self._rng = name, work, period, rng
        self.counts: Counter[str] = Counter()
        self.failures = 0  # in a row
        self.failing = ""  # how the last beat failed: `unavailable`, `fault` or not at all
        self._resume_at = 0.0  # by the loop's clock: when the pause after a failure is over

    async def run(self) -> None:
        """For ever. The first beat is spread over a whole period, as all instances may start at once."""
        await asyncio.sleep(self._period() * self._rng.random())
        while True:
            await self.beat()
            await asyncio.sleep(self.pause())

    async def tick(self) -> None:
        """For a timer, which comes as often as it was set to: a beat, unless it would be too soon after a failure."""
        if asyncio.get_running_loop().time() >= self._resume_at:
            await self.beat()

    async def beat(self) -> None:
        """Once. What fails is counted and tried again at a later beat."""
        try:
            done = await self._work()
        except StoreUnavailable as error:
            self._failed("unavailable")
            if self.failures == 1:
                LOG.warning("%s: %s", self.name, error.message)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            self._faulty()
        except Exception:  # nobody is above this task: if it ended, sharing would be broken and nobody would know
            self._faulty()
        else:
            self.counts["skipped" if done is False else "ok"] += 1
            if self.failures:
                LOG.warning("%s: works again after %d failures", self.name, self.failures)
            self.failures, self.failing, self._resume_at = 0, "", 0.0

    def pause(self) -> float:
        """Seconds to the next beat: the period, doubled with each failure up to a minute, 20 % more or less."""
        usual = self._period()
        longest = max(usual, LONGEST_S / (1 + JITTER))
        return min(longest, usual * 2.0 ** min(self.failures, 10)) * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def _faulty(self) -> None:
        self._failed("fault")
        LOG.exception("%s failed; it goes on", self.name)

    def _failed(self, how: str) -> None:
        self.failures += 1
        self.failing = how
        self.counts[how] += 1
        self._resume_at = asyncio.get_running_loop().time() + self.pause()


def _is_cancelled() -> bool:
    """Whether this task itself is told to end. A call below may be cancelled by others, and raise the same error."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

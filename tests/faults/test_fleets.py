"""Fleets of routers: those that are killed again and again, that start at once, that see the same (rows F1, F3, F4)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from bench.routing.calls import Record
from bench.routing.traces import Floats
from bench.routing.world import World
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.engine.probe import UNMEASURED_S, probe
from routing.fleet import Deployment
from routing.outcome import Signals
from routing.ports import Piece, Way
from routing.request import ChatRequest, LatencyPriority
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.balance.worlds import TTFT_S, slow
from tests.balance.worlds import equal as world_of
from tests.balance.worlds import run as simulate
from tests.faults.virtual import DistantTables, VirtualClock, repeat, run
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import equal

ROUTERS = 20


@pytest.mark.parametrize("seed", range(3))
async def test_f1_routers_that_are_killed_leave_the_others_as_good_as_before(seed: int) -> None:
    """Four processes in virtual time, one killed every five seconds for two minutes, beside four that are let live.

    The survivors' targets are met as often, within a point, and no killed process's samples are lost or doubled.
    """
    rng, of = Random(seed), equal(4)
    rates = []
    for killing in (False, True):
        store = SharedStore(MemoryTables())
        crew = [Instance(store, of=of) for _ in range(4)]
        draw, met, asked = Random(seed), 0, 0
        for second in range(120):
            if killing and second % 5 == 4:
                victim = rng.randrange(1, 4)
                crew[victim] = Instance(store, of=of)
            for n, me in enumerate(crew):
                me.clock.at = NOW + second
                for _ in range(10):
                    decision = me.router.route(priority=LatencyPriority.STREAMING)
                    assert decision is not None
                    d = me.tracker.index[decision.deployment]
                    seconds = (0.3, 0.35, 0.4, 3.0)[d] * draw.lognormvariate(0, 0.2)
                    me.answer(model_s=seconds, d=d)
                    if n == 0 and second >= 20:
                        asked, met = asked + 1, met + (seconds < 1.0)
                if second % 5 == n:
                    await me.sync.flush()
                if second % 10 == 0 and n == 0:
                    await me.sync.merge()
                if second % 5 == (n + 2) % 5:
                    await me.sync.pull()
        rates.append(met / asked)
    assert rates[1] == pytest.approx(rates[0], abs=0.01)
    assert rates[1] > 0.95


# ---------------------------------------------------------------------- F3: all start at once
class Word:
    """An answer of one word."""

    dialect = "openai"

    def __init__(self) -> None:
        self.signals = Signals()
        self._pieces = [Piece(content=1, finish="stop", last=True)]

    async def read(self) -> Piece | None:
        return self._pieces.pop() if self._pieces else None

    def abort(self, error: Exception) -> None:
        self._pieces.clear()

    async def close(self) -> None:
        pass


class Probed:
    """A provider of any deployment, and when each was asked."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = defaultdict(list)

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Word:
        self.at[deployment.id].append(asyncio.get_running_loop().time())
        await asyncio.sleep(TTFT_S)
        return Word()

    async def warm(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def start_together(deployments: int, seed: int) -> Probed:
    """The timers of function_app.py in twenty instances that start in the same moment, for two windows of probes."""
    store, of, probed, until = SharedStore(DistantTables()), equal(deployments), Probed(), 2.5 * UNMEASURED_S
    async with asyncio.TaskGroup() as timers:
        for n in range(ROUTERS):
            me = Instance(store, of=of)
            me.router.clock, me.router.providers = VirtualClock(), [probed] * deployments
            me.router.rng.seed(ROUTERS * seed + n)
            timers.create_task(repeat(partial(probe, me.sync), 60.0, until))
            timers.create_task(repeat(me.sync.refresh, MERGE_S, until))
    return probed


@pytest.mark.parametrize("seed", range(3))
def test_f3_instances_that_start_at_once_probe_a_deployment_once(seed: int) -> None:
    """Not twice in a second, as the row allows: a lease leaves it to one of them, for a window."""
    probed = run(start_together(4, seed)).at
    assert len(probed) == 4, "those that nobody has measured"
    for times in probed.values():
        assert len(times) >= 2
        assert min(b - a for a, b in pairwise(times)) >= UNMEASURED_S


# ---------------------------------------------------------------------- F4: herds
DEPLOYMENTS, RATE, SECONDS, SEEN_S = 10, 200.0, 60.0, 20.0
TENTHS = 21  # of a second: the spans that are looked at, longer than two seconds
FAIR = 2.0  # times its fair share is the most that a deployment may get for so long


def sees_one_fast(faster: float, target_s: float, load: float, seed: int) -> World:
    """Twenty routers and ten equal deployments, one of which becomes faster; `load` is the share of capacity asked."""
    world = world_of(DEPLOYMENTS, RATE, SECONDS, ROUTERS, load, seed)
    world.scenario = replace(world.scenario, flush_s=FLUSH_S, merge_s=MERGE_S, pull_s=PULL_S)
    world.deadline[:] = world.known_deadline[:] = target_s
    slow(world, 0, SEEN_S, SECONDS + 120, 1 / faster)
    return world


def spans(record: Record) -> Floats:
    """Calls by deployment in every span of more than two seconds, a tenth of a second apart."""
    calls = np.zeros((DEPLOYMENTS, round(10 * SECONDS)))
    for at, d in record.sends:
        if at < SECONDS:
            calls[d, int(10 * at)] += 1
    return np.lib.stride_tricks.sliding_window_view(calls, TENTHS, axis=1).sum(2)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("faster", [1.1, 2.0])
def test_f4_routers_that_see_one_fast_deployment_do_not_herd(faster: float, seed: int) -> None:
    """The target is the 99 % point of the others: they are as good for it, so nobody needs the fast one.

    Each router knows its own calls at once, and those of the nineteen others some seconds later.
    """
    calls = spans(simulate(sees_one_fast(faster, 2 * TTFT_S, 0.5, seed)))
    assert (calls / (calls.sum(0) / DEPLOYMENTS)).max() <= FAIR


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_f4_a_deployment_that_is_better_for_the_target_gets_more_up_to_its_nominal_rate(seed: int) -> None:
    """One in eight answers of the others is late: more than a fair share is right then, where there is room."""
    world = sees_one_fast(1.1, 1.4 * TTFT_S, 0.25, seed)
    calls, room = spans(simulate(world)), float(world.capacity.nominal[0]) * TENTHS / 10
    assert calls[0].mean() > calls.mean()
    assert (calls / np.maximum(FAIR * calls.sum(0) / DEPLOYMENTS, room)).max() <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("faster", [1.1, 2.0])
def test_f4_routers_that_all_want_one_deployment_do_not_overrun_it(faster: float, seed: int) -> None:
    """It has room for twice its fair share, and for five seconds' burst: nobody is refused."""
    record = simulate(sees_one_fast(faster, 1.4 * TTFT_S, 0.5, seed))
    calls = spans(record)
    assert calls[0].mean() > calls.mean()
    assert not any(record.met_429)

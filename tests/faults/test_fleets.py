"""Fleets of routers: herds, and instances that are killed again and again (rows F1 and F4)."""

from __future__ import annotations

from random import Random

import pytest

from routing.request import LatencyPriority
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import equal

ROUTERS, DEPLOYMENTS = 20, 10
STEP_S = 0.05
CALL_S = 0.8
NEWS_S = 15  # flush, merge and pull, once around
NOMINAL_PER_S = 80.0  # of each deployment: twice its fair share of what is sent


async def test_f4_twenty_routers_that_see_one_fast_deployment_do_not_herd() -> None:
    """It may have more than its fair share, as there is room, but never what would overrun it."""
    store, of = SharedStore(MemoryTables()), equal(DEPLOYMENTS, requests_per_minute=int(60 * NOMINAL_PER_S))
    crew = [Instance(store, of=of) for _ in range(ROUTERS)]
    for n, me in enumerate(crew):
        me.router.rng.seed(n)
    for _ in range(20):
        for d in range(DEPLOYMENTS):
            crew[0].answer(model_s=0.45 if d == 0 else 0.5, d=d)
    await crew[0].sync.refresh()
    for me in crew:
        await me.sync.pull()
    windows = [[0] * DEPLOYMENTS]
    running: list[tuple[float, Instance, int]] = []
    for step in range(int(30 / STEP_S)):
        now = NOW + step * STEP_S
        for end, me, d in [call for call in running if call[0] <= now]:
            me.router.view.slots.in_flight[d] -= 1
            running.remove((end, me, d))
        for me in crew:
            me.clock.at = now
            decision = me.router.route(priority=LatencyPriority.STREAMING)
            assert decision is not None
            d = me.tracker.index[decision.deployment]
            me.router.view.slots.in_flight[d] += 1
            me.tracker.sent(d, now, 1 / NOMINAL_PER_S)
            windows[-1][d] += 1
            running.append((now + CALL_S, me, d))
            if step % 100 == 5 * ROUTERS // 20 + crew.index(me):
                await me.sync.flush()
                await me.sync.pull()
        if step % 100 == 50:
            await crew[0].sync.merge()
        if step % int(1 / STEP_S) == int(1 / STEP_S) - 1:
            windows.append([0] * DEPLOYMENTS)
    shares = [max(window) * DEPLOYMENTS / sum(window) for window in windows[:-1]]
    assert max(shares) < 2.5, "what each router sends itself and P2C hold it, before any news has come"
    assert max(shares[NEWS_S:]) <= 2, "then all know what all send"


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

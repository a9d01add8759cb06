"""Probes: every deployment that is unmeasured gets its turn, whatever others do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from routing.engine import probe as probing
from routing.engine.probe import MOST, UNMEASURED_S, probe
from routing.errors import StoreUnavailable
from routing.ports import Override
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import REGIONS, deployment, fleet

COUNT = 8


class Probing:
    """Instances of a region with eight deployments, of which some never answer; and what was asked of whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tables = MemoryTables()
        self.store = SharedStore(self.tables)
        self.asked: Counter[str] = Counter()
        self.broken: set[str] = set()
        monkeypatch.setattr(probing, "SPREAD_S", 0.0)
        monkeypatch.setattr(probing, "_ask", self._ask)

    def instance(self, count: int = COUNT) -> Instance:
        me = Instance(self.store, of=fleet(*(deployment(f"d{n}", region=REGIONS[0]["id"]) for n in range(count))))
        me.router.providers = [object()] * count  # type: ignore[list-item]
        self._of = {id(me.router): me}
        return me

    async def _ask(self, router: Any, name: str) -> None:
        self.asked[name] += 1
        if name not in self.broken:
            me = self._of[id(router)]
            me.answer(d=me.tracker.index[name])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Probing:
    return Probing(monkeypatch)


@pytest.mark.parametrize("anew", [False, True], ids=["one process", "a new process at each firing"])
async def test_deployments_that_always_fail_do_not_keep_others_from_their_turn(world: Probing, anew: bool) -> None:
    world.broken = {"d0", "d1", "d2"}
    me = world.instance()
    for minute in range(60):
        me = world.instance() if anew else me
        me.clock.at = NOW + 60 * minute
        await probe(me.sync)
        await me.sync.merge()
    assert set(world.asked) == {f"d{n}" for n in range(COUNT)}
    windows = 3600 / UNMEASURED_S
    assert all(windows / 2 <= count <= windows for count in world.asked.values()), world.asked


async def test_those_tried_longest_ago_come_first(world: Probing) -> None:
    """Where more fail than are probed in a window, they would be due again before those that were measured once."""
    me = world.instance(28)
    for d in range(24, 28):
        me.answer(d=d)
    world.broken = {f"d{d}" for d in range(24)}
    for minute in range(6, 20):
        me.clock.at = NOW + 60 * minute
        await probe(me.sync)
    assert set(world.asked) == {f"d{d}" for d in range(28)}


async def test_a_denied_deployment_leaves_its_place_to_the_next(world: Probing) -> None:
    me, other = world.instance(), world.instance()
    held = [deployment.id for deployment in me.router.fleet.deployments[:6]]
    for name in held:
        assert await world.store.lease(f"probe|{me.sync.origin}|{name}", "another", NOW, UNMEASURED_S)
    world._of = {id(one.router): one for one in (me, other)}
    assert set(await probe(me.sync)) == {"d6", "d7"}


async def test_what_was_denied_is_not_asked_for_again_in_its_window(world: Probing) -> None:
    me = world.instance()
    for d in me.router.fleet.deployments:
        await world.store.lease(f"probe|{me.sync.origin}|{d.id}", "another", NOW, UNMEASURED_S)
    leases, lease = [0], world.store.lease

    async def counted(*a: Any, **k: Any) -> bool:
        leases[0] += 1
        return await lease(*a, **k)

    world.store.lease = counted  # type: ignore[method-assign]
    for minute in range(3):
        me.clock.at = NOW + 60 * minute
        assert await probe(me.sync) == []
    assert leases == [COUNT]


async def test_a_firing_probes_no_more_than_it_may(world: Probing) -> None:
    assert len(await probe(world.instance().sync)) == MOST


@pytest.mark.parametrize("state", ["drain", "disable"])
async def test_what_operators_took_out_is_not_probed(world: Probing, state: str) -> None:
    me = world.instance()
    for n in range(COUNT - 1):
        await world.store.order(Override(f"d{n}", "ops", NOW + 60, state), NOW)
    await me.sync.obey()
    assert await probe(me.sync) == [f"d{COUNT - 1}"]


async def test_nothing_is_probed_while_the_store_is_away(world: Probing) -> None:
    async def away(*a: Any, **k: Any) -> bool:
        raise StoreUnavailable("away")

    world.store.lease = away  # type: ignore[method-assign]
    assert await probe(world.instance().sync) == []
    assert not world.asked

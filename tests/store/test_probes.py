"""Probes: every deployment that is unmeasured gets its turn, whatever others do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from bench.store.instance import Canned, Instant
from routing.engine import probe as probing
from routing.engine.probe import FIRING_S, LONGEST_S, SILENT_S, SPREAD_S, UNMEASURED_S, probe
from routing.errors import RouterError, StoreUnavailable
from routing.fleet import Deployment
from routing.latency.sums import ANSWERS, FAILURES
from routing.ports import Answer, Override, Piece, Provider, Way
from routing.request import ChatRequest
from routing.store.memory import MemoryTables
from routing.store.shared import SharedStore
from tests.faults.virtual import VirtualClock, run
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


async def test_those_tried_longest_ago_come_first(world: Probing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more fail than are probed in a window, they would be due again before those that were measured once."""
    monkeypatch.setattr(probing, "most", lambda _endpoints: 3)  # as where a timer comes late
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


@pytest.mark.parametrize("count", [1, 5, 6, 50])
async def test_however_large_the_fleet_each_deployment_is_probed_in_every_window_and_a_firing_has_its_share(
    world: Probing, count: int
) -> None:
    me, firings = world.instance(count), []
    for minute in range(60):
        me.clock.at = NOW + 60 * minute
        firings.append(len(await probe(me.sync)))
    assert max(firings) == -(-count // 5)
    assert set(world.asked.values()) == {60 // 6}, "the fifth firing is just too early for who was probed at the first"


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


async def test_what_was_granted_before_the_store_went_away_is_probed(world: Probing) -> None:
    lease = world.store.lease

    async def once(*a: Any, **k: Any) -> bool:
        world.store.lease = away  # type: ignore[method-assign]
        return await lease(*a, **k)

    async def away(*a: Any, **k: Any) -> bool:
        raise StoreUnavailable("away")

    world.store.lease = once  # type: ignore[method-assign]
    assert await probe(world.instance().sync) == list(world.asked)
    assert world.asked.total() == 1


async def test_a_fault_in_one_probe_is_raised_when_the_others_have_ended(
    world: Probing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def ask(_router: Any, name: str) -> None:
        asked.append(name)
        if len(asked) == 1:
            raise ZeroDivisionError
        await asyncio.sleep(0)
        asked.append(name)

    monkeypatch.setattr(probing, "_ask", ask)
    with pytest.raises(ZeroDivisionError):
        await probe(world.instance(10).sync)
    assert len(asked) == 3


# ---------------------------------------------------------------------- deployments that hang, in virtual time
class Hangs(Instant):
    """Never says a word."""

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        way.connecting = False
        await asyncio.Event().wait()
        raise AssertionError


class Words(Canned):
    """An answer that never ends: a word in ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._aborted: asyncio.Future[RouterError] = asyncio.get_running_loop().create_future()

    async def read(self) -> Piece | None:
        await asyncio.wait([self._aborted], timeout=10.0)
        if self._aborted.done():
            raise self._aborted.result()
        return Piece(b"x", 1)

    def abort(self, error: RouterError) -> None:
        self._aborted.set_result(error)


class Crawls(Instant):
    """Answers with such words."""

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        return Words()


class Noted(Instant):
    """Answers at once; when it was asked."""

    def __init__(self) -> None:
        self.at: list[float] = []

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        self.at.append(asyncio.get_running_loop().time())
        return Canned()


def served_by(providers: Sequence[Provider]) -> Instance:
    """An instance alone with its store, on the loop's clock."""
    names = (deployment(f"d{n}") for n in range(len(providers)))
    me = Instance(SharedStore(MemoryTables()), of=fleet(*names))
    me.router.clock, me.router.providers = VirtualClock(), providers
    return me


def test_a_probe_of_a_deployment_that_hangs_ends_as_its_failure_and_the_third_ejects() -> None:
    async def main() -> None:
        me, loop = served_by([Hangs(), Instant()]), asyncio.get_running_loop()
        me.router.tracker.known[1].newest_at = NOW + 1e6  # of it there is news enough
        for n in (1, 2, 3):
            began = loop.time()
            assert await probe(me.sync) == ["d0"]
            assert loop.time() - began <= SILENT_S + SPREAD_S
            assert me.router.view.health.in_a_row[0] == n
            assert me.router.view.health.why[0] == ("ejected" if n == 3 else "")
            assert me.router.tracker.known[0].sums.age(me.router.clock.now())[FAILURES] == pytest.approx(1.0)
            assert me.router.view.slots.in_flight[0] == 0
            await asyncio.sleep(UNMEASURED_S + 2 * SPREAD_S)

    run(main())


def test_a_probe_whose_answer_never_ends_has_ended_before_the_next_firing() -> None:
    async def main() -> None:
        me, loop = served_by([Crawls()]), asyncio.get_running_loop()
        pace = me.router.tracker.beliefs[0].pace
        await probe(me.sync)
        assert loop.time() <= LONGEST_S + SPREAD_S < FIRING_S
        assert me.router.view.slots.in_flight == [0]
        assert me.router.tracker.beliefs[0].pace > pace, "it has shown how slow it is"

    run(main())


def test_deployments_that_hang_keep_no_others_waiting() -> None:
    async def main() -> None:
        noted = Noted()
        me = served_by([Hangs()] * 10 + [noted] * 10)
        for minute in range(60):
            await asyncio.sleep(minute * FIRING_S - asyncio.get_running_loop().time())
            await probe(me.sync)
        assert len(noted.at) == 10 * 60 // 6
        assert me.router.tracker.known[19].sums.age(me.router.clock.now())[ANSWERS] > 0

    run(main())


def test_the_probes_of_a_firing_do_not_begin_in_the_same_moment() -> None:
    async def main() -> None:
        noted = Noted()
        await probe(served_by([noted] * 50).sync)
        assert len(noted.at) == 10
        assert all(a < b for a, b in pairwise(noted.at))
        assert noted.at[-1] <= SPREAD_S

    run(main())

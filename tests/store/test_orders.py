"""Orders of operators: obeyed whatever else fails, and never lifted by accident."""

from __future__ import annotations

import asyncio

from routing.engine.periods import PULL_S
from routing.engine.sync import IDLE_ORDERS_S
from routing.ports import Override
from routing.store import keys
from routing.store.shared import SharedStore
from tests.store.away import Away
from tests.store.instances import Instance
from tests.store.learned import NOW
from tests.unit.fleets import deployment, fleet


async def test_an_order_is_obeyed_and_lifted_again(shared: SharedStore) -> None:
    me = Instance(shared)
    usual = me.router.view.slots.limits[0], me.router.view.quota.nominal[0]
    await shared.order(Override("d0", "ops", NOW + 60, "drain", weight=0.5, limit=3), NOW)
    await me.sync.obey()
    assert (me.router.view.slots.limits[0], me.router.view.quota.nominal[0]) == (3, usual[1] / 2)
    decision = me.router.route()
    assert decision is not None
    assert decision.excluded["d0"].startswith("drain by ops until 20")
    await shared.lift("d0")
    await me.sync.obey()
    assert (me.router.view.slots.limits[0], me.router.view.quota.nominal[0]) == usual


async def test_a_drained_deployment_is_the_last_resort_and_a_disabled_one_is_none(shared: SharedStore) -> None:
    me = Instance(shared, of=fleet(deployment("only")))
    await shared.order(Override("only", "ops", NOW + 60, "drain"), NOW)
    await me.sync.obey()
    decision = me.router.route()
    assert decision is not None
    assert (decision.deployment, decision.reason) == ("only", "only_candidate")
    await shared.order(Override("only", "ops", NOW + 60, "disable"), NOW)
    await me.sync.obey()
    assert me.router.route() is None


async def test_the_last_known_order_survives_an_outage_until_it_expires(tables: Away, shared: SharedStore) -> None:
    me = Instance(shared)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    await me.sync.obey()
    tables.away = True
    for at, obeyed in ((NOW + 59, True), (NOW + 61, False)):
        me.clock.at = at
        await me.sync.ordering.beat()
        assert (0 in me.router.view.orders) is obeyed
    assert me.sync.ordering.counts["unavailable"] == 2


async def test_an_order_is_obeyed_while_the_profiles_cannot_be_read(tables: Away, shared: SharedStore) -> None:
    """The switch that takes a deployment out must not depend on anything else."""
    me = Instance(shared)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    tables.blocked = keys.PROFILES
    await me.sync.refresh()
    assert me.sync.pulling.counts == {"unavailable": 1}
    assert list(me.router.view.orders) == [0]


async def test_older_orders_are_not_obeyed_after_newer_ones(shared: SharedStore) -> None:
    """The timer and the background ask at once, and what the first was told is slow to come."""
    me, read, told = Instance(shared), shared.overrides, asyncio.Event()

    async def slow(now: float) -> list[Override]:
        shared.overrides = read  # type: ignore[method-assign]
        orders = await read(now)
        await told.wait()
        return orders

    shared.overrides = slow  # type: ignore[method-assign]
    first = asyncio.create_task(me.sync.obey())
    await asyncio.sleep(0)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    second = asyncio.create_task(me.sync.obey())
    await asyncio.sleep(0)
    told.set()
    await asyncio.gather(first, second)
    assert list(me.router.view.orders) == [0]


async def test_an_order_that_is_renewed_in_a_form_that_cannot_be_read_holds_on_until_it_ends(
    tables: Away, shared: SharedStore
) -> None:
    """By the `make override` of a newer router: it was not lifted."""
    me = Instance(shared)
    await shared.order(Override("d0", "ops", NOW + 60, "disable"), NOW)
    await me.sync.obey()
    row = await tables.get(keys.OVERRIDES, keys.VERSION, "d0")
    assert row is not None
    await tables.upsert(keys.OVERRIDES, [row._replace(properties={**row.properties, "v": 2})])
    for away in (False, True, False):
        tables.away = away
        await me.sync.ordering.beat()
        assert list(me.router.view.orders) == [0]
    assert shared.rejected == {"overrides:version": 2}
    me.clock.at = NOW + 61
    await me.sync.obey()
    assert not me.router.view.orders
    me.clock.at = NOW
    await shared.lift("d0")
    await me.sync.obey()
    assert not me.router.view.orders, "lifted is lifted"


async def test_an_instance_that_nobody_asks_looks_at_orders_rarely(shared: SharedStore) -> None:
    """A thousand of them all read the same partition; the more orders it has, the more rarely."""
    me = Instance(shared)
    assert me.sync.order_period() == me.sync.pull_period() == PULL_S
    me.clock.at += me.sync.live_s() + 1
    assert me.sync.order_period() == IDLE_ORDERS_S
    me.sync.orders = [Override(f"d{n}", "ops", NOW + 600) for n in range(50)]
    assert 1_000 * 50 / me.sync.order_period() < 2_000

"""What every store promises. Each test runs on the memory of a process and on Table Storage."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routing.latency.sums import ANSWERS, COLUMNS
from routing.ports import Home, Learned, Override, Profiles
from routing.store import codec, keys
from routing.store.bounds import LONGEST_ORDER_S, Refused
from routing.store.memory import MemoryStore, MemoryTables
from routing.store.shared import SharedStore
from routing.store.tables import Row
from tests.store.learned import NOW, learned


async def flushed(store: SharedStore, origin: str, now: float = NOW) -> dict[tuple[str, str], float]:
    """(instance, deployment) -> answers."""
    totals = await store.flushed(origin, now)
    return {(t.instance, t.deployment): t.learned.sums[ANSWERS] for t in totals}


async def profile(store: SharedStore, origin: str) -> Profiles | None:
    head = next((head for head in await store.heads() if head.origin == origin), None)
    found = None if head is None else await store.learned(head, True, NOW)
    return None if head is None or found is None else Profiles(origin, head.merged_at, head.holds, found, head.live)


# ---------------------------------------------------------------------- samples
async def test_totals_come_back_as_they_were_written(store: SharedStore, origin: str) -> None:
    sums = [float(column + 1) / 3 for column in range(COLUMNS)]
    written = Learned(NOW, sums, {0: 1.0, 133: 2.5}, {52: 1e-4}, NOW - 1, 0.0123)
    await store.flush(origin, "i", 7, {"a": written, "b": learned()}, NOW)
    read = {t.deployment: t for t in await store.flushed(origin, NOW)}
    assert set(read) == {"a", "b"}
    assert (read["a"].instance, read["a"].version) == ("i", 7)
    assert read["a"].learned.sums == pytest.approx(sums, rel=1e-8)
    read["a"].learned.sums = sums
    assert read["a"].learned == written


async def test_writing_the_same_again_changes_nothing(store: SharedStore, origin: str) -> None:
    for _ in range(3):
        await store.flush(origin, "i", 1, {"a": learned(samples=5)}, NOW)
    assert await flushed(store, origin) == {("i", "a"): 5}


async def test_a_later_total_replaces_an_earlier_one_of_the_same_instance_only(store: SharedStore, origin: str) -> None:
    await store.flush(origin, "i", 1, {"a": learned(samples=1), "b": learned(samples=2)}, NOW)
    await store.flush(origin, "j", 1, {"a": learned(samples=10)}, NOW)
    await store.flush(origin, "i", 2, {"a": learned(samples=3)}, NOW)
    assert await flushed(store, origin) == {("i", "a"): 3, ("i", "b"): 2, ("j", "a"): 10}


MIDNIGHT = 1_795_478_400.0


@pytest.mark.parametrize("at", [MIDNIGHT - 1, MIDNIGHT - keys.READ_S, MIDNIGHT, MIDNIGHT + 43_200.0])
@pytest.mark.parametrize("passed", [1.0, 600.0, keys.READ_S])
async def test_a_total_of_the_last_half_hour_is_superseded_and_not_added(
    store: SharedStore, origin: str, at: float, passed: float
) -> None:
    """Also where the day, and so the table, changes between the two."""
    later = at + passed
    await store.flush(origin, "i", 1, {"a": learned(at, 1), "quiet": learned(at, 7)}, at)
    await store.flush(origin, "i", 2, {"a": learned(later, 2)}, later)
    assert await flushed(store, origin, later) == {("i", "a"): 2, ("i", "quiet"): 7}
    assert await flushed(store, origin, later + keys.READ_S + keys.STEP_S) == {}, "what has faded is not read"


@pytest.mark.parametrize("second", range(0, int(keys.READ_S), 300))
async def test_half_an_hour_is_read_at_any_time_of_the_day(second: int) -> None:
    """And no more than a step beyond it."""
    store, now = MemoryStore(), MIDNIGHT + second
    for ago in range(0, 7200, 60):
        await store.flush("r", f"i{ago}", 1, {"a": learned(now - ago)}, now - ago)
    read = {int(total.instance[1:]) for total in await store.flushed("r", now)}
    assert set(range(0, int(keys.READ_S) + 1, 60)) <= read
    assert max(read) < keys.READ_S + keys.STEP_S


class Slow(MemoryTables):
    """The table of one day answers last."""

    async def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
        if table == self.slow:
            await asyncio.sleep(0)
        async for rows in super().pages(table, partition, first, last):
            yield rows

    slow = ""


@pytest.mark.parametrize("slow", [MIDNIGHT - 1, MIDNIGHT])
async def test_the_newest_total_is_found_in_whatever_order_rows_come(origin: str, slow: float) -> None:
    tables = Slow()
    store, tables.slow = SharedStore(tables), keys.samples_table(slow)
    await store.flush(origin, "i", 1, {"a": learned(MIDNIGHT - 1, 1)}, MIDNIGHT - 1)
    await store.flush(origin, "i", 2, {"a": learned(MIDNIGHT, 2)}, MIDNIGHT)
    assert await flushed(store, origin, MIDNIGHT) == {("i", "a"): 2}


async def test_twenty_writers_lose_nothing(store: SharedStore, origin: str) -> None:
    async def write(n: int) -> None:
        for version in range(1, 6):
            await store.flush(origin, f"i{n}", version, {d: learned(samples=version) for d in ("a", "b")}, NOW)

    await asyncio.gather(*(write(n) for n in range(20)))
    assert await flushed(store, origin) == {(f"i{n}", d): 5 for n in range(20) for d in ("a", "b")}


async def test_more_than_a_transaction_holds(store: SharedStore, origin: str) -> None:
    """250 deployments: Table Storage takes a hundred rows at once."""
    await store.flush(origin, "i", 1, {f"d{n}": learned(samples=n) for n in range(250)}, NOW)
    assert await flushed(store, origin) == {("i", f"d{n}"): n for n in range(250)}


async def test_regions_are_kept_apart(store: SharedStore, origin: str) -> None:
    await store.flush(origin, "i", 1, {"a": learned()}, NOW)
    assert await flushed(store, f"{origin}x") == {}


# ---------------------------------------------------------------------- profiles
async def test_profiles_come_back_as_they_were_published(store: SharedStore, origin: str) -> None:
    assert await store.head(origin) is None
    written = Profiles(origin, NOW, {"i": 12, "j": 1_800_000_000_000}, {"a": learned(), "b": learned(samples=2)})
    assert await store.publish(written, None)
    assert await profile(store, origin) == written


async def test_of_two_merges_at_once_one_is_published(store: SharedStore, origin: str) -> None:
    first, second = (Profiles(origin, NOW + n, {"i": n}, {"a": learned(samples=n)}) for n in (1, 2))
    assert await store.publish(first, None)
    assert not await store.publish(second, None), "there is a profile already"
    head = await store.head(origin)
    assert await store.publish(second, head)
    assert not await store.publish(first, head), "it was replaced meanwhile"
    found = await profile(store, origin)
    assert found is not None
    assert (found.merged_at, found.holds) == (NOW + 2, {"i": 2})
    assert found.learned["a"].sums[ANSWERS] == 2


async def test_a_thousand_instances_and_150_deployments_fit(store: SharedStore, origin: str) -> None:
    holds = {f"{n:016x}": 1_800_000_000_000 + n for n in range(1000)}
    written = Profiles(origin, NOW, holds, {f"d{n}": learned() for n in range(150)})
    assert await store.publish(written, None)
    found = await profile(store, origin)
    assert found is not None
    assert (found.holds, len(found.learned)) == (holds, 150)


# ---------------------------------------------------------------------- homes
async def test_the_first_region_that_wants_a_user_is_home(store: SharedStore, origin: str) -> None:
    user = f"{origin}-user"
    assert await store.home(user, None, None, NOW) is None
    assert await store.home(user, "eastus", None, NOW) == Home("eastus", 1, NOW)
    assert await store.home(user, "westus", None, NOW) == Home("eastus", 1, NOW)
    assert await store.home(user, None, None, NOW) == Home("eastus", 1, NOW)


async def test_a_user_who_left_moves_once(store: SharedStore, origin: str) -> None:
    """Two regions saw the user leave the same home: the second finds that the user has moved already."""
    user = f"{origin}-user"
    await store.home(user, "eastus", None, NOW)
    assert await store.home(user, "westus", 1, NOW + 1) == Home("westus", 2, NOW + 1)
    assert await store.home(user, "asia", 1, NOW + 2) == Home("westus", 2, NOW + 1)
    assert await store.home(user, "asia", 2, NOW + 3) == Home("asia", 3, NOW + 3)


async def test_of_twenty_regions_that_want_a_user_one_wins_and_all_agree(store: SharedStore, origin: str) -> None:
    user = f"{origin}-user"
    homes = await asyncio.gather(*(store.home(user, f"r{n}", None, NOW) for n in range(20)))
    assert len({home.region for home in homes if home}) == 1
    assert {home.version for home in homes if home} == {1}


async def test_versions_of_a_home_only_rise(store: SharedStore, origin: str) -> None:
    user, seen = f"{origin}-user", []

    async def move(n: int) -> None:
        for step in range(5):
            known = await store.home(user, None, None, NOW)
            moved = await store.home(user, f"r{n}-{step}", known.version if known else None, NOW)
            if moved and (known is None or moved.version < known.version):
                seen.append((known, moved))

    await store.home(user, "first", None, NOW)
    await asyncio.gather(*(move(n) for n in range(5)))
    assert not seen


# ---------------------------------------------------------------------- orders and leases
async def test_an_order_holds_until_it_expires_or_is_lifted(store: SharedStore, origin: str) -> None:
    drain = Override(f"{origin}-a", "ops", NOW + 60, "drain", reason="slow")
    limit = Override(f"{origin}-b", "ops", NOW + 600, weight=0.5, limit=3)
    for order in (drain, limit):
        await store.order(order, NOW)

    async def ours(now: float) -> list[Override]:
        return [o for o in await store.overrides(now) if o.deployment.startswith(origin)]

    assert await ours(NOW) == [drain, limit]
    assert await ours(NOW + 61) == [limit]
    await store.order(limit._replace(limit=5), NOW)
    assert await store.lift(drain.deployment)
    assert not await store.lift(drain.deployment)
    assert await ours(NOW) == [limit._replace(limit=5)]


@pytest.mark.parametrize(
    "change", [{"state": "off"}, {"weight": 0.0}, {"weight": math.nan}, {"limit": 0}, {"expires_at": math.inf},
               {"author": ""}, {"deployment": "a/b"}, {"deployment": keys.HEAD}, {"reason": "x" * 200},
               {"expires_at": NOW + LONGEST_ORDER_S + 1}]
)  # fmt: skip
async def test_an_order_that_makes_no_sense_is_refused(store: SharedStore, change: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        await store.order(Override("a", "ops", NOW + 60)._replace(**change), NOW)
    assert [refused.value.field] == list(change)


async def test_an_order_for_longer_than_a_month_is_skipped_and_counted(store: SharedStore, origin: str) -> None:
    """Written by hand, with milliseconds for seconds: it would hold for ever, and its end is in no calendar."""
    right = Override(f"{origin}-right", "ops", NOW + LONGEST_ORDER_S)
    wrong = codec.encode_override(right, NOW, 0.0) | {"expires_at": (NOW + 60) * 1000}
    await store.order(right, NOW)
    await store.tables.upsert(keys.OVERRIDES, [Row(keys.VERSION, f"{origin}-wrong", wrong)])
    assert [order for order in await store.overrides(NOW) if order.deployment.startswith(origin)] == [right]
    assert store.rejected["overrides:future"] == 1
    for name in ("right", "wrong"):
        await store.lift(f"{origin}-{name}")


async def test_a_lease_has_one_owner_at_a_time(store: SharedStore, origin: str) -> None:
    won = await asyncio.gather(*(store.lease(origin, f"o{n}", NOW, 60) for n in range(10)))
    assert sum(won) == 1
    owner = f"o{won.index(True)}"
    assert await store.lease(origin, owner, NOW + 30, 60), "renewed by its owner"
    assert not await store.lease(origin, "another", NOW + 89, 60)
    assert await store.lease(origin, "another", NOW + 91, 60)


# ---------------------------------------------------------------------- rubbish
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (learned(sums=[math.nan] * COLUMNS), "not_finite"),
        (learned(sums=[math.inf] * COLUMNS), "not_finite"),
        (learned(sums=[-1.0] * COLUMNS), "negative"),
        (learned(sums=[1.0]), "shape"),
        (learned(samples=1e12), "range"),
        (learned(total_ms={1: math.nan}), "not_finite"),
        (learned(total_ms={1: -1.0}), "negative"),
        (learned(total_ms=dict.fromkeys(range(600), 1.0)), "shape"),
        (learned(round_trip_s=-1.0), "range"),
        (learned(at=math.inf), "not_finite"),
    ],
)
async def test_what_cannot_have_been_measured_is_not_written_and_counted(
    store: SharedStore, origin: str, bad: Learned, reason: str
) -> None:
    await store.flush(origin, "i", 1, {"bad": bad, "good": learned()}, NOW)
    assert await flushed(store, origin) == {("i", "good"): 1}
    assert store.rejected == {f"samples:{reason}": 1}


GOOD = codec.encode_flushed("d", 1, learned())
RUBBISH: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    (GOOD | {"v": 2}, "version"),
    (GOOD | {"v": "1"}, "version"),
    (GOOD | {"version": "1"}, "type"),
    (GOOD | {"at": "soon"}, "type"),
    (GOOD | {"at": math.nan}, "not_finite"),
    (GOOD | {"at": NOW + 3600}, "future"),
    (GOOD | {"newest_at": NOW + 3600}, "future"),
    (GOOD | {"sums": 5}, "type"),
    (GOOD | {"sums": "[" * 30_000}, "json"),
    (GOOD | {"sums": "x" * 30_000}, "json"),
    (GOOD | {"sums": "[1,2]"}, "shape"),
    (GOOD | {"sums": str([float("inf")] * COLUMNS).replace("inf", "Infinity")}, "not_finite"),
    (GOOD | {"sums": str([-1.0] * COLUMNS)}, "negative"),
    (GOOD | {"ttft_ms": "[[1]]"}, "shape"),
    (GOOD | {"ttft_ms": '[["1", 2]]'}, "shape"),
    (GOOD | {"ttft_ms": "[[1, NaN]]"}, "not_finite"),
    (GOOD | {"round_trip_s": -0.1}, "range"),
]


@pytest.mark.parametrize(("properties", "reason"), RUBBISH)
async def test_a_row_of_rubbish_is_skipped_and_counted_and_the_others_are_used(
    store: SharedStore, origin: str, properties: dict[str, Any], reason: str
) -> None:
    """Of samples and of profiles; yesterday's and tomorrow's formats are rubbish, too."""
    partition = keys.samples_partition(origin, 3)
    await store.tables.upsert(keys.samples_table(NOW), [Row(partition, keys.sample_key(NOW, "i", "bad"), properties)])
    await store.flush(origin, "i", 1, {"good": learned()}, NOW)
    assert await flushed(store, origin) == {("i", "good"): 1}
    assert store.rejected == {f"samples:{reason}": 1}


async def test_rows_of_profiles_affinity_and_overrides_may_be_rubbish_too(store: SharedStore, origin: str) -> None:
    await store.publish(Profiles(origin, NOW, {}, {"good": learned()}), None)
    partition, user = keys.profiles_partition(origin), f"{origin}-user"
    await store.tables.upsert(keys.PROFILES, [Row(partition, "bad", {"v": 9, "at": "x"})])
    await store.tables.upsert(keys.AFFINITY, [Row(user[:2], user, {"v": 1, "region": "x" * 30_000, "version": 1})])
    wrong = {"v": 1, "author": 5, "expires_at": NOW}
    await store.tables.upsert(keys.OVERRIDES, [Row(keys.VERSION, f"{origin}-bad", wrong)])
    found = await profile(store, origin)
    assert found is not None
    assert list(found.learned) == ["good"]
    assert await store.home(user, "eastus", None, NOW) == Home("eastus", 1, NOW), "rubbish is written over"
    assert [o for o in await store.overrides(NOW) if o.deployment.startswith(origin)] == []
    assert {"profiles:version", "affinity:name", "overrides:name"} <= set(store.rejected)
    await store.lift(f"{origin}-bad")
    await store.tables.delete(keys.PROFILES, partition, "bad")


@pytest.mark.parametrize("key", ["one", "two|parts", "|i|d", "h|i|d|e", f"i|{keys.HEAD}"])
async def test_a_row_with_a_key_of_another_form_is_skipped(store: SharedStore, origin: str, key: str) -> None:
    row = Row(keys.samples_partition(origin, 0), f"{keys.reversed_step(NOW)}|{key}", GOOD)
    await store.tables.upsert(keys.samples_table(NOW), [row])
    expected = {("two", "parts"): 1.0} if key == "two|parts" else {}
    assert await flushed(store, origin) == expected
    assert sum(store.rejected.values()) == (0 if expected else 1)


# ---------------------------------------------------------------------- retention
async def test_purging_drops_tables_of_samples_that_are_older_than_two_days(store: SharedStore, origin: str) -> None:
    days = [NOW - n * 86_400 for n in (0, 1, 2, 3, 4, 30)]
    for day in days:
        await store.flush(origin, "i", 1, {"a": learned(day)}, day)
    await store.tables.upsert("samplesOfSomebody", [Row("p", "k", {})])
    assert sorted(await store.purge(NOW)) == sorted(keys.samples_table(day) for day in days[3:])
    assert {*map(keys.samples_table, days[:3]), "samplesOfSomebody"} <= set(await store.tables.names("samples"))
    assert await store.purge(NOW) == []


async def orders_left(store: SharedStore, origin: str) -> set[str]:
    rows = await store.tables.query(keys.OVERRIDES, keys.VERSION, f"{origin}-", f"{origin}.")
    return {row.key.removeprefix(f"{origin}-") for row in rows}


async def test_purging_removes_orders_that_ended_an_hour_ago(store: SharedStore, origin: str) -> None:
    """All instances would read them for ever. What cannot be read may hold, and stays."""
    for name, until in (("ended", NOW + 60), ("holds", NOW + 7_200)):
        await store.order(Override(f"{origin}-{name}", "ops", until, "drain"), NOW)
    newer = codec.encode_override(Override("d", "ops", NOW + 60), NOW, 0.0) | {"v": 2}
    await store.tables.upsert(keys.OVERRIDES, [Row(keys.VERSION, f"{origin}-newer", newer)])
    for later, left in ((3_600, {"ended", "holds", "newer"}), (3_700, {"holds", "newer"})):
        await store.purge(NOW + later)
        assert await orders_left(store, origin) == left
    for name in ("holds", "newer"):
        await store.lift(f"{origin}-{name}")


async def test_an_order_that_is_given_anew_while_its_old_row_is_purged_stays(store: SharedStore, origin: str) -> None:
    old, now = Override(f"{origin}-a", "ops", NOW + 60, "drain"), NOW + 7_200
    new, query = old._replace(state="disable", expires_at=now + 60), store.tables.query
    await store.order(old, NOW)

    async def given_anew(table: str, *a: Any, **k: Any) -> list[Row]:
        rows = await query(table, *a, **k)
        if table == keys.OVERRIDES:
            await store.order(new, now)
        return rows

    store.tables.query = given_anew  # type: ignore[method-assign]
    await store.purge(now)
    store.tables.query = query  # type: ignore[method-assign]
    assert [order for order in await store.overrides(now) if order.deployment.startswith(origin)] == [new]
    await store.lift(new.deployment)

"""Totals at the bounds of what is taken, and beyond: one row, whoever wrote it, must not stop a region's requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.latency.histogram import BUCKETS
from routing.latency.sums import PACE_N, PACE_Y, SLOW_N, SLOW_Y, WIDE_N, WIDE_XX, N, X
from routing.ports import Learned, Profiles
from routing.store import bounds, codec, keys
from routing.store.bounds import MOST_MEAN, OWN, Refused
from routing.store.memory import MemoryStore
from routing.store.shared import SharedStore
from routing.store.tables import Row
from tests.store.instances import Instance
from tests.store.learned import NOW, learned

BOUNDS = {  # sum -> its count, the most that it is of a sample, and whether it may be negative
    X: (N, MOST_MEAN, True),
    WIDE_XX: (WIDE_N, MOST_MEAN**2, False),
    PACE_Y: (PACE_N, MOST_MEAN, True),
    SLOW_Y: (SLOW_N, MOST_MEAN, True),
}
CASES = [
    (column, count, sign * most)
    for column, (count, most, negative) in BOUNDS.items()
    for sign in ((1, -1) if negative else (1,))
]
HUGE = int("9" * 400)


def total(samples: float, **changes: float) -> Learned:
    """A total whose counts are all `samples`, and whose sums are 0 but for those of `changes`, by column."""
    sums = [samples] * bounds.COLUMNS
    for column in BOUNDS:
        sums[column] = changes.get(str(column), 0.0)
    return learned(sums=sums)


def at_bounds(samples: float, sign: float) -> Learned:
    """All sums as far out as they may be, on one side."""
    far = {column: most * samples * (sign if negative else 1) for column, (_, most, negative) in BOUNDS.items()}
    return total(samples, **{str(column): value for column, value in far.items()})


def stored(sums: list[float]) -> dict[str, Any]:
    """A row with these sums, as somebody may write it past our checks."""
    return codec.encode_flushed("d0", 1, learned()) | {"sums": json.dumps(sums)}


def read(row: dict[str, Any]) -> Learned:
    return codec.decode_flushed("s|i|d0", row, NOW, 0.0).learned


# ---------------------------------------------------------------------- sums and their counts
@pytest.mark.parametrize(("column", "count", "most"), CASES)
@pytest.mark.parametrize("samples", [0.0, 1e-9, 1 / 3, 1.0, 1234.5, OWN.most])
def test_a_sum_is_taken_up_to_its_bound(column: int, count: int, most: float, samples: float) -> None:
    good = total(samples, **{str(column): most * samples})
    assert read(codec.encode_flushed("d0", 1, good)).sums == pytest.approx(good.sums, rel=1e-8)


@pytest.mark.parametrize(("column", "count", "most"), CASES)
@pytest.mark.parametrize("samples", [0.0, 1 / 3, 1.0, 1234.5])
def test_a_sum_that_its_count_cannot_have_brought_is_refused_on_write_and_on_read(
    column: int, count: int, most: float, samples: float
) -> None:
    beyond = (1.0001 * abs(most) * samples + 1e-3) * (1 if most > 0 else -1)
    bad = total(samples, **{str(column): beyond})
    assert bad.sums[count] == samples
    with pytest.raises(Refused, match="range"):
        codec.encode_flushed("d0", 1, bad)
    with pytest.raises(Refused, match="range"):
        read(stored(bad.sums))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("origin", ["eastus", "swedencentral"])
@pytest.mark.parametrize("samples", [1.0, OWN.most])
async def test_requests_are_routed_after_a_pull_of_rows_at_the_bounds(sign: float, origin: str, samples: float) -> None:
    """Own region's rows, and another's."""
    store = MemoryStore()
    me, far = Instance(store), Instance(store, origin)
    for instance in "ab":
        await store.flush(origin, instance, 1, {"d0": at_bounds(samples, sign)}, NOW)
    assert await far.sync.merge()
    await me.sync.pull()
    assert store.rejected == {}
    assert me.tracker.known[0].sums.values[N] == pytest.approx(2 * samples), "they were taken"
    for _ in range(20):
        for limit in (None, 10_000):
            assert me.router.route(max_latency_ms=limit) is not None
        me.answer()
        me.tracker.silent(0, NOW, 5.0, 1000)
        me.tracker.failed(0, NOW, rate_limited=False)


# ---------------------------------------------------------------------- numbers that are none
@pytest.mark.parametrize(
    "row",
    [
        stored([HUGE] * bounds.COLUMNS),
        codec.encode_flushed("d0", 1, learned()) | {"ttft_ms": f"[[1, {HUGE}]]"},
        codec.encode_flushed("d0", 1, learned()) | {"ttft_ms": f"[[{HUGE}, 1]]"},
        codec.encode_flushed("d0", 1, learned()) | {"at": HUGE},
        codec.encode_flushed("d0", HUGE, learned()),
        codec.encode_flushed("d0", -1, learned()),
    ],
)
async def test_an_integer_of_400_digits_is_refused_like_any_other_rubbish(row: dict[str, Any]) -> None:
    store = MemoryStore()
    await store.tables.upsert(
        keys.samples_table(NOW), [Row(keys.samples_partition("eastus", 3), keys.sample_key(NOW, "i", "d0"), row)]
    )
    me = Instance(store)
    me.answer()
    await me.sync.flush()
    assert await me.sync.merge()
    assert store.rejected == {"samples:range": 1}
    await store.tables.upsert(keys.PROFILES, [Row(keys.profiles_partition("westus"), "d0", row)])
    await me.sync.pull()
    assert me.samples == pytest.approx(1)


def test_a_head_with_versions_of_400_digits_is_refused() -> None:
    with pytest.raises(Refused):
        codec.decode_head("eastus", codec.encode_head(NOW, {"i": HUGE}), 0.0)


@pytest.mark.parametrize("expires_at", [HUGE, float("inf"), float("nan"), "soon", None, True])
async def test_a_lease_whose_end_cannot_be_read_has_ended(expires_at: Any) -> None:
    store = MemoryStore()
    await store.tables.upsert(keys.LEASES, [Row("l", "l", {"owner": "a", "expires_at": expires_at})])
    assert await store.lease("l", "b", NOW, 60.0)


# ---------------------------------------------------------------------- buckets
def test_the_codec_knows_as_many_buckets_as_a_histogram_has() -> None:
    assert bounds.BUCKETS == BUCKETS


@pytest.mark.parametrize("bucket", [-1, BUCKETS, 10**6])
def test_a_bucket_that_no_histogram_has_is_refused_on_write_and_on_read(bucket: int) -> None:
    with pytest.raises(Refused, match="range"):
        codec.encode_flushed("d0", 1, learned(ttft_ms={bucket: 1.0}))
    with pytest.raises(Refused, match="range"):
        read(codec.encode_flushed("d0", 1, learned()) | {"total_ms": f"[[{bucket}, 1.0]]"})


def test_full_histograms_are_taken() -> None:
    full = dict.fromkeys(range(BUCKETS), 1.0)
    assert read(codec.encode_flushed("d0", 1, learned(ttft_ms=full, total_ms=full))).ttft_ms == full


# ---------------------------------------------------------------------- what is merged of them
async def test_a_region_goes_on_merging_with_rows_at_the_bounds() -> None:
    """What is merged from rows that were taken is never refused: many instances, each with as much as one may have."""
    store = MemoryStore()
    me = Instance(store)
    slack = [15 * (1 + OWN.slack) * OWN.most if column in BOUNDS else OWN.most for column in range(bounds.COLUMNS)]
    full = dict.fromkeys(range(BUCKETS), OWN.most)
    for n in range(200):
        await store.flush("eastus", f"i{n}", 1, {"d0": learned(sums=slack, ttft_ms=full, total_ms=full)}, NOW)
    assert await me.sync.merge()
    await me.sync.pull()
    assert store.rejected == {}
    assert me.tracker.known[0].sums.values[N] == pytest.approx(200 * OWN.most)


async def test_a_merge_with_a_total_that_cannot_be_stored_is_not_published(store: SharedStore, origin: str) -> None:
    """A head that claims what is in no row would make instances drop their own samples."""
    before = Profiles(origin, NOW, {"i": 1}, {"d0": learned(samples=1), "d1": learned(samples=1)})
    assert await store.publish(before, None)
    unfit = Profiles(origin, NOW + 1, {"i": 2}, {"d0": learned(samples=2), "d1": learned(samples=1e15)})
    token = await store.head(origin)
    assert not await store.publish(unfit, token)
    assert store.rejected == {"profiles:range": 1}
    assert await store.head(origin) == token, "nothing was written"

"""A sketch: everything learned of one deployment, mergeable as a whole."""

from __future__ import annotations

import pytest

from routing.latency.sketch import Sketch
from routing.latency.sums import N


def sketch(ttft_ms: float, now: float) -> Sketch:
    made = Sketch(now)
    made.sums.age(now)[N] += 1
    made.ttft_ms.add(ttft_ms, now)
    made.total_ms.add(10 * ttft_ms, now)
    made.newest_at = now
    return made


def test_merging_adds_every_part() -> None:
    merged = sketch(100.0, 5.0)
    merged.merge(sketch(400.0, 5.0))
    assert merged.sums.values[N] == 2.0
    assert [h.count(5.0) for h in (merged.ttft_ms, merged.total_ms)] == [2.0, 2.0]
    assert merged.total_ms.quantile(1.0) == pytest.approx(4_000.0, rel=0.05)


@pytest.mark.parametrize(("left", "right", "newest"), [(3.0, 5.0, 5.0), (5.0, 3.0, 5.0), (0.0, 0.0, 0.0)])
def test_the_newest_sample_of_both_is_the_newest(left: float, right: float, newest: float) -> None:
    merged = sketch(100.0, left)
    merged.merge(sketch(100.0, right))
    assert merged.newest_at == newest


def test_an_empty_sketch_adds_nothing() -> None:
    full, empty = sketch(100.0, 5.0), Sketch(5.0)
    full.merge(Sketch(5.0))
    empty.merge(sketch(100.0, 5.0))
    for merged in (full, empty):
        assert (merged.newest_at, merged.sums.values[N], merged.ttft_ms.count(5.0)) == (5.0, 1.0, 1.0)


def test_merging_leaves_the_other_its_own() -> None:
    """What two instances hold is never one object."""
    a, b = Sketch(5.0), sketch(100.0, 5.0)
    a.merge(b)
    a.sums.age(5.0)[N] += 7
    a.ttft_ms.add(100.0, 5.0)
    assert (b.sums.values[N], b.ttft_ms.count(5.0)) == (1.0, 1.0)

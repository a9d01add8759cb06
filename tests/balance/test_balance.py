"""Equal deployments share the load, in the long run and at every moment."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from bench.routing.adapter import fleet_of
from bench.routing.calls import Record
from routing.load.slots import Lease
from routing.policy.slo import Row, SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.balance.worlds import SPREAD, TARGET_S, TTFT_S, equal, run

DEPLOYMENTS, RATE = 100, 500.0
REQUESTS, FEWER = 100_000, 20_000  # fewer show well enough that a broken rule is found out
EVEN = 1.3  # the busiest deployment's load over the mean
FIRST_S, SPAN_S = 20, 20  # learning at the start is not counted; spans in which nobody may be herded onto

type Draw = Callable[..., int]


def _always_the_best(_seen: View, rows: Sequence[Row], *_: object) -> int:
    return max(rows)[3]


def _always_the_first(_seen: View, rows: Sequence[Row], *_: object) -> int:
    return rows[0][3]


def shared(requests: int) -> float:
    """Unevenness where each request may go to any of the hundred: the greater of most / mean and mean / fewest.

    Latencies are learned as they are measured; calls last a second, 500 come in one.
    """
    rng, view = Random(7), View.of(fleet_of(equal(deployments=DEPLOYMENTS, rate=RATE, duration=1.0)))
    ask = Ask(Demand(), LatencyPriority.STREAMING, target_s=TARGET_S, tokens_in=1_000)
    policy, count, now, everyone = SloPolicy(), Counter[int](), 0.0, range(DEPLOYMENTS)
    flying: list[tuple[float, int, int, float, Lease]] = []
    for i in range(requests):
        now += rng.expovariate(RATE)
        while flying and flying[0][0] <= now:
            at, _, d, ttft, lease = heapq.heappop(flying)
            lease.close()
            view.tracker.first_content(d, at, ttft, 1_000)
        ready = [d for d in everyone if not view.slots.full(d)]
        d = policy.choose(view, ask, ready, TARGET_S, now, rng, False).score.deployment
        opened = view.slots.lease(d)
        assert opened is not None
        heapq.heappush(flying, (now + rng.expovariate(1.0), i, d, TTFT_S * rng.lognormvariate(0, SPREAD), opened))
        view.tracker.sent(d, now, view.quota.cost_s(d, 1_000))
        count[d] += 1
    mean = requests / DEPLOYMENTS
    return max(max(count.values()) / mean, mean / max(1, min(count[d] for d in everyone)))


def herded(record: Record) -> float:
    """The share of the busiest of ten deployments over the mean, in the worst span."""
    worst = 0.0
    for start in range(FIRST_S, 120, SPAN_S):
        count = Counter(d for at, d in record.sends if start <= at < start + SPAN_S)
        worst = max(worst, max(count.values()) / (sum(count.values()) / 10))
    return worst


def test_a_hundred_equal_deployments_share_the_requests_that_may_all_go_to_any_of_them() -> None:
    assert shared(REQUESTS) <= EVEN


@pytest.mark.parametrize("instances", [1, 8])
def test_no_twenty_seconds_herd_onto_one_deployment_however_many_instances_share_it(instances: int) -> None:
    assert herded(run(equal(deployments=10, rate=50.0, duration=120.0, instances=instances))) <= EVEN


@pytest.mark.parametrize("broken", [_always_the_best, _always_the_first], ids=["argmax", "first"])
def test_a_rule_that_does_not_spread_is_found_out(broken: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SloPolicy, "_draw", staticmethod(broken))
    assert shared(FEWER) > EVEN
    assert herded(run(equal(deployments=10, rate=50.0, duration=120.0, instances=8))) > EVEN

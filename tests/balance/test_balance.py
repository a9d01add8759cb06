"""Equal deployments share the load, in the long run and at every moment."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random

import pytest

from bench.routing.adapter import fleet_of
from routing.load.slots import Lease
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.balance.worlds import equal, run

EVEN = 1.3  # the busiest deployment's load over the mean


def test_a_hundred_equal_deployments_share_a_hundred_thousand_requests() -> None:
    """Each request may go to ten of them; calls last a second, 500 come in one."""
    rng, view = Random(7), View.of(fleet_of(equal(deployments=100, rate=500.0, duration=1.0)))
    ask = Ask(Demand(), LatencyPriority.STREAMING, target_s=1.5, tokens_in=1_000)
    policy, count, now = SloPolicy(), Counter[int](), 0.0
    flying: list[tuple[float, float, Lease]] = []
    for _ in range(100_000):
        now += rng.expovariate(500.0)
        while flying and flying[0][0] <= now:
            heapq.heappop(flying)[2].close()
        d = policy.choose(view, ask, rng.sample(range(100), 10), 1.5, now, rng, False).score.deployment
        lease = view.slots.lease(d)
        assert lease is not None
        heapq.heappush(flying, (now + rng.expovariate(1.0), rng.random(), lease))
        view.tracker.sent(d, now, view.quota.cost_s(d, 1_000))
        count[d] += 1
    assert max(count.values()) <= EVEN * 1_000
    assert min(count.values()) >= 1_000 / EVEN


@pytest.mark.parametrize("instances", [1, 8])
def test_no_ten_seconds_herd_onto_one_deployment_however_many_instances_share_it(instances: int) -> None:
    record = run(equal(deployments=10, rate=50.0, duration=120.0, instances=instances))
    for start in range(20, 120, 20):
        count = Counter(d for at, d in record.sends if start <= at < start + 20)
        assert max(count.values()) / (sum(count.values()) / 10) <= EVEN

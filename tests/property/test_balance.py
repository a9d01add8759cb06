"""Balance in virtual time: how whole streams of requests are shared out. Seeded."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest

from routing.errors import ServerError
from routing.policy.view import View
from tests.unit.fleets import deployment, equal, fleet, model
from tests.unit.plan.life import ask
from tests.unit.virtual import Behaviour, Request, World, calls, every, failing, share, steady

TARGET_S = 1.0


def poisson(rng: Random, rate: float, n: int) -> list[float]:
    times, now = [], 0.0
    for _ in range(n):
        now += rng.expovariate(rate)
        times.append(now)
    return times


def served(behaviours: list[Behaviour], arrivals: list[float], seed: int = 1) -> list[Request]:
    world = World(View.of(equal(len(behaviours))), behaviours, seed=seed)
    world.send(ask(target_s=TARGET_S), arrivals)
    return world.run()


def hit_rate(requests: list[Request]) -> float:
    return mean(r.ttft <= TARGET_S for r in requests)


def test_equal_deployments_get_equal_shares() -> None:
    """20 of them, 20,000 requests at 200 a second: the busiest gets at most 1.3 times the mean, also in each tenth."""
    rng = Random(1)
    requests = served([steady(rng, 0.5) for _ in range(20)], poisson(rng, 200.0, 20_000))
    for start, end in [(0.0, 1_000.0), *((10.0 * k, 10.0 * (k + 1)) for k in range(9))]:
        counted = calls(requests, start, end)
        assert len(counted) == 20
        assert max(counted.values()) <= 1.3 * counted.total() / 20


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_fails_fast_gets_at_most_a_twentieth_after_twenty_requests(seed: int) -> None:
    """It fails in 2 ms, the others answer in 800."""
    rng = Random(seed)
    behaviours = [failing(ServerError("500")), *(steady(rng, 0.8) for _ in range(3))]
    requests = served(behaviours, poisson(rng, 20.0, 1_000), seed)
    assert share(requests[20:], 0) <= 0.05
    assert sum(r.error is not None for r in requests) <= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_slow_deployment_costs_little(seed: int) -> None:
    """Of five one is ten times as slow. Taking turns would miss a fifth; ours misses less than half of that."""
    rng = Random(seed)
    behaviours = [steady(rng, 5.0), *(steady(rng, 0.5) for _ in range(4))]
    requests = served(behaviours, poisson(rng, 20.0, 1_000), seed)
    assert hit_rate(requests) >= 0.8 + 0.1
    assert share(requests[100:], 0) <= 0.05


def test_half_the_rate_gets_about_half_the_load() -> None:
    rng = Random(1)
    made = fleet(*(deployment(name, requests_per_minute=rpm) for name, rpm in (("a", 1_200), ("b", 1_200), ("c", 600))))
    world = World(View.of(made), [steady(rng, 0.5) for _ in range(3)])
    world.send(ask(target_s=TARGET_S), poisson(rng, 25.0, 2_000))
    counted = calls(world.run())
    assert counted[2] / counted.total() == pytest.approx(0.2, abs=0.05)
    assert counted[0] == pytest.approx(counted[1], rel=0.1)


def test_large_prompts_are_shared_by_tokens() -> None:
    """30,000 tokens a request: the calls are few, and yet the small deployment is not asked for more than it has."""
    rng = Random(1)
    made = fleet(deployment("a", tokens_per_minute=6_000_000), deployment("b", tokens_per_minute=600_000))
    world = World(View.of(made), [steady(rng, 0.5) for _ in range(2)])
    world.send(ask(target_s=5.0, tokens_in=30_000, reserved_tokens=30_000), every(0.5, 300.0))
    counted = calls(world.run())
    assert 30_000 * counted[1] <= 600_000 * 300 / 60


def test_what_is_more_than_the_cheapest_can_take_goes_to_the_next_price() -> None:
    """Eight a second, and five fit each quota: the cheapest is used well and asked for no more than it has."""
    rng = Random(1)
    names, prices = ("cheap", "dear", "dearest"), (1.0, 2.0, 3.0)
    made = fleet(
        *(deployment(name, model=name, requests_per_minute=300) for name in names),
        models=[model(name, price_in=price) for name, price in zip(names, prices, strict=True)],
    )
    world = World(View.of(made), [steady(rng, 0.5) for _ in names])
    world.send(ask(target_s=5.0, cheapest=True), every(0.125, 240.0))
    counted = calls(world.run())
    assert 0.9 * 5 * 240 <= counted[0] <= 5 * 240
    assert counted[2] == 0

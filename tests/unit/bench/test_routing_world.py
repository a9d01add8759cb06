"""A world is its seed: the same requests and luck for every policy, another for another seed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bench.routing.adapter import Asks, fleet_of
from bench.routing.arrivals import replayed, superposed
from bench.routing.deployments import replay
from bench.routing.runs import Job, world_of
from bench.routing.scenario import BEYOND, CLASSIC, SCENARIOS, shortened
from bench.routing.shipped import Shipped
from bench.routing.world import HANGS, REFUSES, STREAMING, World, build
from routing.load.lengths import Lengths
from routing.policy.eligible import Eligibility
from routing.request import LatencyPriority


@cache
def world(scenario: str = "base", seed: int = 1) -> World:
    return world_of(Job(scenario, seed, "slo", share=0.1))


def test_the_same_seed_draws_the_same_world_and_another_seed_another() -> None:
    again, other = world_of(Job("base", 1, "slo", share=0.1)), world("base", 2)
    assert np.array_equal(world().t, again.t)
    assert np.array_equal(world().z_ttft, again.z_ttft)
    assert np.array_equal(world().fleet.log_ttft, again.fleet.log_ttft)
    assert not np.array_equal(world().fleet.log_ttft[:5], other.fleet.log_ttft[:5])


def test_what_only_some_scenarios_draw_does_not_move_the_luck_of_the_others() -> None:
    with_breaks = build(shortened(replace(SCENARIOS["base"], breaks=0.1), 0.1), 1, Shipped(), Shipped())
    assert np.array_equal(world().z_ttft, with_breaks.z_ttft)
    assert np.array_equal(world().deadline, with_breaks.deadline)
    assert with_breaks.break_share.sum() > 0


def test_requests_come_in_order_at_the_rate_of_the_scenario() -> None:
    w = world()
    assert (np.diff(w.t) >= 0).all()
    assert w.n / w.scenario.duration == pytest.approx(w.scenario.rate, rel=0.4)
    assert w.instance.max() < w.routers


def test_capacity_is_what_the_load_of_the_scenario_leaves() -> None:
    w = world("heavy")
    assert w.n / w.scenario.duration / w.capacity.per_s.sum() == pytest.approx(0.45, rel=1e-6)


def test_a_brown_out_slows_what_it_hits_and_an_outage_takes_it_down() -> None:
    slow, dark = world("brownout"), world("outage")
    assert slow.incident == dark.incident == (30.0, 48.0)
    during, before = slice(16, 23), slice(5, 14)
    d = slow.hit[0]
    assert slow.fleet.log_ttft[during, d].mean() - slow.fleet.log_ttft[before, d].mean() > 1
    assert set(dark.down[during, dark.hit].ravel()) <= {REFUSES, HANGS}
    assert not dark.down[before].any()


@pytest.mark.parametrize("scenario", [s.name for s in (*CLASSIC, *BEYOND)])
def test_the_products_own_filters_leave_what_the_world_calls_eligible(scenario: str) -> None:
    w = world(scenario)
    eligibility, asks = Eligibility(fleet_of(w), frozenset()), Asks(w)
    for i in range(40):
        mask, _ = w.eligible(int(w.min_tier[i]), bool(w.eu_only[i]))
        assert eligibility.of(asks.of(i, Lengths()).demand).first == tuple(np.flatnonzero(mask))


def test_an_ask_says_what_the_request_wants() -> None:
    w = world()
    ask = Asks(w).of(7, Lengths())
    assert ask.target_s == w.known_deadline[7]
    assert (ask.priority is LatencyPriority.STREAMING) == (w.goal[7] == STREAMING)
    assert ask.expected_tokens == w.hint[7]


def test_the_fleet_holds_the_priors_and_limits_that_the_router_is_told() -> None:
    w, d = world(), 3
    fleet = fleet_of(w)
    assert fleet.prior_of(fleet.deployments[d]).ttft_ms == pytest.approx(1000 * np.exp(w.fleet.prior_log_ttft[d]))
    assert fleet.deployments[d].requests_per_minute == max(1, round(60 * w.capacity.nominal[d]))


def test_regimes_follow_each_other_and_fade() -> None:
    levels = replay(np.array([1.0, 2.0]), steps=60, segment=60.0, phase=0.0)
    assert levels[0] == 1.0
    assert 1.0 < levels[25] < 2.0
    assert levels[31] == 2.0


def test_a_replayed_trace_keeps_its_order_and_takes_the_wanted_rate() -> None:
    trace = {"t_s": np.arange(1000.0), "in_tokens": np.arange(1000.0), "out_tokens": np.ones(1000)}
    t, tokens_in, _ = replayed(trace, np.random.default_rng(1), rate=10.0, duration=50.0)
    assert len(t) == pytest.approx(500, abs=2)
    assert (np.diff(tokens_in) % 1000 == 1).all()


def test_clients_add_up_to_the_rate() -> None:
    t = superposed(np.random.default_rng(1), np.ones(50), np.ones(50), rate=20.0, duration=200.0)
    assert len(t) == pytest.approx(4000, rel=0.1)

"""The loop turns what happens into the plan's events and the plan's actions into calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from bench.routing.adapter import Asks
from bench.routing.measures import measure
from bench.routing.oracles import Clairvoyant, StateOracle
from bench.routing.runs import ORACLES, Job, one, run_job, world_of
from bench.routing.servers import Servers
from bench.routing.simulation import Simulation
from bench.routing.world import HANGS, REFUSES, THROUGHPUT, TOTAL, World
from routing.load.lengths import ANSWER_TOKENS, LONG_ANSWER_TOKENS, Lengths
from routing.policy import BASELINES, POLICIES
from routing.policy.seam import Choice
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask
from tests.balance.worlds import PACE_S, TARGET_S, TOKENS_OUT, TTFT_S, equal, run


def test_every_request_gets_its_answer_where_nothing_goes_wrong() -> None:
    world = equal(deployments=4, rate=10.0, duration=30.0)
    record = run(world)
    first, end = np.array(record.first_at) - world.t, np.array(record.end_at) - world.t
    assert np.median(first) == pytest.approx(TTFT_S, rel=0.1)
    assert np.median(end - first) == pytest.approx((TOKENS_OUT - 1) * PACE_S, rel=0.1)
    assert len(record.sends) == world.n + record.hedges


def test_every_lease_is_given_back_and_every_server_is_idle_at_the_end() -> None:
    world = equal(deployments=3, rate=30.0, duration=40.0, load=0.8)
    world.down[:, 0] = HANGS
    world.capacity.dedicated[1] = True
    simulation = Simulation(world, lambda _: SloPolicy())
    simulation.run()
    assert simulation.servers.running == [0, 0, 0]
    assert simulation.servers.queued == [0, 0, 0]
    assert simulation.instances[0].view.slots.in_flight == [0, 0, 0]


def test_the_same_world_and_policy_run_the_same_twice() -> None:
    a, b = (run(equal(deployments=3, rate=10.0, duration=30.0)) for _ in range(2))
    assert a.sends == b.sends
    assert a.end_at == b.end_at


def test_without_a_deployment_that_works_requests_end_with_an_error() -> None:
    world = equal(deployments=2, rate=5.0, duration=10.0)
    world.down[:] = REFUSES
    record = run(world)
    assert sum(record.errors.values()) == world.n
    assert measure(world, record)["fail"] == 1.0


def test_a_broken_stream_is_a_failed_request_though_it_had_its_first_token() -> None:
    world = equal(deployments=2, rate=5.0, duration=20.0)
    world.break_share[:], world.u_break[:] = 1.0, 0.5
    record = run(world)
    assert record.errors == {"connection_lost": world.n}
    assert not any(map(math.isnan, record.first_at))


def test_a_lost_hedge_wastes_its_prompt() -> None:
    world = equal(deployments=2, rate=5.0, duration=30.0)
    world.fleet.sigma_up[:] = world.fleet.prior_sigma[:] = 1.0
    record = run(world)
    assert record.hedges > 0
    assert record.wasted_tokens >= 1_000 * record.hedges * 0.9


def test_a_bucket_refuses_what_is_over_its_rate_and_says_for_how_long() -> None:
    servers = Servers(equal(deployments=1, rate=1.0, duration=10.0, load=1.0))
    answers = [servers.refused(0, 0.0, 1.0) for _ in range(7)]
    assert answers[:5] == [None] * 5
    assert answers[5] == pytest.approx(1.0)
    assert servers.refused(0, 1.1, 1.0) is None


def test_a_deployment_that_counts_tokens_refuses_long_prompts_first() -> None:
    world = equal(deployments=1, rate=1.0, duration=10.0)
    world.capacity.tokens_per_s[:] = 1_000.0
    servers = Servers(world)
    assert servers.refused(0, 0.0, 9_000.0) is None
    assert servers.refused(0, 0.0, 5_000.0) == pytest.approx(4.0)
    assert servers.refused(0, 0.0, 500.0) is None
    assert servers.used(0, 0.0) == pytest.approx(0.95)


def test_what_still_runs_after_the_end_of_the_grid_finds_all_as_it_was_there() -> None:
    servers = Servers(equal(deployments=1, rate=1.0, duration=10.0))
    assert servers.service(0, 0, 1e6) == servers.service(0, 0, 129.0)


def test_an_idle_deployment_meets_its_next_call_with_a_cold_start() -> None:
    world = equal(deployments=1, rate=1.0, duration=10.0)
    warm, _ = Servers(world).service(0, 0, 100.0)
    object.__setattr__(world.scenario, "cold_start_s", 8.0)
    cold, _ = Servers(world).service(0, 0, 100.0)
    assert cold == pytest.approx(warm + 8.0)


@pytest.mark.parametrize("oracle", [Clairvoyant, StateOracle])
def test_oracles_do_better_than_the_policy_that_cannot_look(oracle: type[Clairvoyant | StateOracle]) -> None:
    world = world_of(Job("base", 1, "slo", share=0.1))
    assert one(world, oracle)["hit"] > one(world, lambda _: SloPolicy())["hit"]


@pytest.mark.parametrize("policy", [rule.name for rule in BASELINES])
def test_every_rule_serves_with_and_without_hedges(policy: str) -> None:
    names = (policy, f"{policy}+p95", f"{policy}+hedges")
    runs = {name: run_job(Job("azure", 1, name, share=0.01)).measures for name in names}
    assert all(measures["fail"] < 0.5 for measures in runs.values())
    assert runs[policy]["hedges"] == 0
    assert runs[f"{policy}+hedges"]["hedges"] > 0


def test_no_name_stands_for_two_policies() -> None:
    assert not set(POLICIES) & set(ORACLES)
    assert all(make().name == name for name, make in POLICIES.items())


def test_load_is_shared_by_rules_that_take_turns() -> None:
    record = run(equal(deployments=4, rate=20.0, duration=20.0), "round_robin")
    assert max(Counter(d for _, d in record.sends).values()) <= 1.02 * len(record.sends) / 4


def test_a_first_choice_is_judged_alone_by_what_it_would_have_taken() -> None:
    """Half of the fleet answers only after the target: hedges rescue calls that are none the better for it."""
    world = equal(deployments=2, rate=5.0, duration=60.0)
    world.fleet.log_ttft[:, 0] = math.log(4.0)
    record = Simulation(world, lambda _: Twice()).run()
    first, alone = np.array(record.first_at) - world.t, np.array(record.alone_first_at) - world.t
    slow = np.array(record.first_choice) == 0
    assert record.hedge_wins > 50
    assert np.median(first[slow]) < TARGET_S
    assert np.median(alone[slow]) == pytest.approx(4.0, rel=0.1)
    assert np.array_equal(first[~slow], alone[~slow])
    assert (np.array(record.alone_end_at) > np.array(record.alone_first_at)).all()


def test_calibration_of_the_call_alone_takes_no_hedges_success_for_its_own() -> None:
    """Predictions that are right about the first call are called wrong where the rescue counts."""
    world = equal(deployments=2, rate=5.0, duration=60.0)
    world.fleet.log_ttft[:, 0] = math.log(4.0)
    record = Simulation(world, lambda _: Twice()).run()
    record.predicted = [0.0 if d == 0 else 1.0 for d in record.first_choice]
    measures = measure(world, record)
    assert measures["calibration_alone"] < 0.05
    assert measures["calibration"] > 0.2


def test_a_first_choice_that_fails_or_hangs_has_no_time_of_its_own() -> None:
    world = equal(deployments=2, rate=5.0, duration=20.0)
    world.down[:, 0], world.break_share[1], world.u_break[::2] = HANGS, 1.0, 0.0
    record = Simulation(world, lambda _: Twice()).run()
    first_choice, ends = np.array(record.first_choice), np.array(record.alone_end_at)
    assert np.isnan(ends[first_choice == 0]).all()
    assert np.array_equal(np.isnan(ends[first_choice == 1]), (world.u_break < 1)[first_choice == 1])


def test_an_answer_that_is_not_streamed_is_first_heard_of_at_its_end() -> None:
    world = waiting_for_the_whole(unstreamed=True)
    record = run(world)
    assert record.first_at == record.end_at
    took = np.array(record.end_at) - world.t
    assert np.median(took) == pytest.approx(TTFT_S + (TOKENS_OUT - 1) * PACE_S, rel=0.1)
    streamed = run(waiting_for_the_whole(unstreamed=False))
    assert np.median(np.array(streamed.end_at) - np.array(streamed.first_at)) > 0.3


def test_a_whole_answer_that_lost_to_a_hedge_on_its_last_way_is_wasted_and_ends_nothing() -> None:
    world = waiting_for_the_whole(unstreamed=True)
    world.fleet.rtt[:] = 1.0
    world.known_deadline[:] = world.deadline[:] = 3.0
    simulation = Simulation(world, lambda _: Twice())
    record = simulation.run()
    assert record.hedges == world.n
    assert np.isfinite(record.end_at).all()
    assert record.wasted_tokens == pytest.approx(world.n * (1_000 + TOKENS_OUT), rel=0.01)
    assert simulation.servers.running == [0, 0]


def test_without_hints_an_instance_goes_by_the_answers_it_has_seen() -> None:
    world = waiting_for_the_whole(hints=False)
    asks, learned = Asks(world), Lengths()
    assert asks.of(0, learned).expected_tokens == pytest.approx(ANSWER_TOKENS)
    simulation = Simulation(world, lambda _: SloPolicy())
    simulation.run()
    ask = simulation._asks.of(0, simulation.instances[0].lengths)
    assert ask.expected_tokens == pytest.approx(TOKENS_OUT, rel=0.1)
    assert ask.length_spread < asks.of(0, learned).length_spread
    assert ask.reserved_tokens == int(1_000 + ask.expected_tokens)


def test_without_hints_a_wanted_rate_of_tokens_becomes_a_target_for_the_length_that_is_believed() -> None:
    told, untold = (world_of(Job(name, 1, "slo", share=0.05)) for name in ("base", "nohint"))
    assert np.array_equal(told.t, untold.t)
    i = int(np.flatnonzero(told.goal == THROUGHPUT)[0])
    one, other = (Asks(w).of(i, Lengths()) for w in (told, untold))
    assert other.expected_tokens == LONG_ANSWER_TOKENS
    assert one.target_s is not None
    assert other.target_s is not None
    rate = (told.deadline[i] - one.target_s) / (told.tokens_out[i] - told.hint[i])
    assert other.target_s - one.target_s == pytest.approx(rate * (LONG_ANSWER_TOKENS - told.hint[i]))


def waiting_for_the_whole(unstreamed: bool = False, hints: bool = True) -> World:
    """Ten seconds of requests that want whole answers."""
    world = equal(deployments=2, rate=10.0, duration=10.0)
    world.goal[:] = TOTAL
    world.scenario = replace(world.scenario, unstreamed=unstreamed, hints=hints)
    return world


class Twice(SloPolicy):
    """Takes the deployments in turn, and always the other one 0.6 s later."""

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """One of all."""
        choice = super().choose(view, ask, candidates, left, now, rng, retry)
        choice.score.deployment = rng.choice(candidates)
        return choice

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """A constant."""
        return 0.6

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """The other, whatever the purse holds."""
        view.hedges.content = view.hedges.cap
        return next(iter(candidates), None)

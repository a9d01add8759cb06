"""The comparison rules choose as their authors say."""

from __future__ import annotations

from random import Random

import pytest

from routing.errors import RateLimited
from routing.outcome import LatencyMeasurement
from routing.plan import Failed, Plan, Start
from routing.policy import POLICIES
from routing.policy.seam import Policy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.unit import fleets

ALL = (0, 1, 2)
STREAM = Ask(Demand(), LatencyPriority.STREAMING, target_s=2.0, tokens_in=1_000)
WHOLE = Ask(Demand(), LatencyPriority.TOTAL, target_s=20.0, tokens_in=1_000, expected_tokens=100.0)


def view(**changes: object) -> View:
    return fleets.view(*(fleets.deployment(name, **changes) for name in "abc"))


def chosen(policy: Policy, seen: View, ask: Ask = STREAM, times: int = 30, now: float = 10.0) -> set[int]:
    rng = Random(1)
    return {policy.choose(seen, ask, ALL, ask.target_s, now, rng, False).score.deployment for _ in range(times)}


def saw(seen: View, d: int, ttft: float, total: float = 2.0, now: float = 5.0, times: int = 1) -> None:
    for _ in range(times):
        seen.tracker.first_content(d, now, ttft, 1_000)
        seen.tracker.answered(d, now, LatencyMeasurement(2.0, 0.0, 1000 * ttft, 1000.0, 1000 * total, 100))


def watching(name: str, seen: View) -> Policy:
    policy = POLICIES[name]()
    chosen(policy, seen, times=1)
    return policy


def test_litellm_tries_what_it_has_not_seen_and_then_takes_the_lowest_mean() -> None:
    seen = view()
    policy = watching("litellm", seen)
    saw(seen, 0, 0.5)
    saw(seen, 1, 0.4)
    assert chosen(policy, seen) == {2}
    saw(seen, 2, 0.9)
    assert chosen(policy, seen) == {1}


def test_litellm_forgets_all_but_the_last_ten() -> None:
    seen = view()
    policy = watching("litellm", seen)
    for d, ttft in enumerate((9.0, 0.5, 0.6)):
        saw(seen, d, ttft)
    saw(seen, 0, 0.3, times=10)
    assert chosen(policy, seen) == {0}


def test_litellm_counts_a_time_out_as_a_thousand_and_a_lost_hedge_as_nothing() -> None:
    seen = view()
    policy = watching("litellm", seen)
    for d, ttft in enumerate((0.3, 0.5, 0.6)):
        saw(seen, d, ttft)
    seen.tracker.silent(0, 6.0, 2.0, 1_000)
    assert chosen(policy, seen) == {0}
    seen.tracker.silent(0, 6.0, 10.0, 1_000)
    assert chosen(policy, seen) == {1}


def test_litellms_buffer_lets_chance_decide_among_the_nearly_best() -> None:
    seen = view()
    policy = watching("litellm_buffer", seen)
    for d, ttft in enumerate((0.4, 0.55, 0.7)):
        saw(seen, d, ttft)
    assert chosen(policy, seen) == {0, 1}


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("litellm", 5), ("litellm_buffer", 5), ("litellm+p95", 5), ("litellm+hedges", 5), ("c3", 1), ("slo", 0)],
)
def test_after_a_429_each_rule_stays_away_as_long_as_its_authors_say(name: str, seconds: float) -> None:
    seen, policy = view(), POLICIES[name]()
    plan = Plan(STREAM, seen, policy, Random(1), 10.0)
    plan.on(Start(), 10.0)
    plan.on(Failed(0, RateLimited("full", 0.01)), 10.0)
    assert max(seen.health.closed_until) == pytest.approx(10.0 + seconds, abs=0.02)


def test_peak_ewma_rises_at_once_and_falls_slowly() -> None:
    seen = view()
    policy = watching("peak_ewma", seen)
    saw(seen, 0, 5.0, now=5.0)
    assert 0 not in chosen(policy, seen)
    saw(seen, 0, 0.1, now=6.0)
    assert 0 not in chosen(policy, seen)
    saw(seen, 0, 0.1, now=60.0)
    assert chosen(policy, seen) == {0}


def test_peak_ewma_weighs_calls_in_flight() -> None:
    seen = view()
    policy = watching("peak_ewma", seen)
    assert chosen(policy, seen) == {0}
    lease = seen.slots.lease(0)
    assert lease is not None
    assert 0 not in chosen(policy, seen)


@pytest.mark.parametrize("name", ["c3", "prequal"])
def test_a_used_up_quota_is_avoided(name: str) -> None:
    seen = view()
    policy = watching(name, seen)
    saw(seen, 0, 0.2, total=1.0, times=8)
    assert chosen(policy, seen) == {0}
    seen.quota.saw(0, 10.0, 1.0)
    assert 0 not in chosen(policy, seen, times=5)


def test_a_failure_counts_as_a_slow_answer_and_a_refusal_does_not() -> None:
    seen = view()
    policy = watching("c3", seen)
    saw(seen, 0, 0.3, times=8)
    seen.tracker.failed(0, 6.0, rate_limited=True)
    assert chosen(policy, seen) == {0}
    for _ in range(8):
        seen.tracker.failed(0, 6.0, rate_limited=False)
    assert 0 not in chosen(policy, seen)


def test_least_busy_takes_whom_it_has_fewest_calls_with() -> None:
    seen = view()
    assert seen.slots.lease(0) is not None
    assert seen.slots.lease(2) is not None
    assert chosen(POLICIES["least_busy"](), seen) == {1}


def test_round_robin_takes_turns() -> None:
    policy, seen, rng = POLICIES["round_robin"](), view(), Random(1)
    turns = [policy.choose(seen, STREAM, ALL, 2.0, 1.0, rng, False).score.deployment for _ in range(6)]
    assert sorted(turns[:3]) == [0, 1, 2]
    assert turns[:3] == turns[3:]


def test_weighted_random_follows_the_configured_rates() -> None:
    seen = fleets.view(*(fleets.deployment(n, requests_per_minute=r) for n, r in (("a", 9_000), ("b", 1_000))))
    policy, rng = POLICIES["weighted_random"](), Random(1)
    first = [policy.choose(seen, STREAM, (0, 1), 2.0, 1.0, rng, False).score.deployment for _ in range(2_000)]
    assert first.count(0) / 2_000 == pytest.approx(0.9, abs=0.03)


def test_the_inverse_square_of_the_price_decides() -> None:
    models = [fleets.model("cheap", price_in=1.0, price_out=1.0), fleets.model("dear", price_in=3.0, price_out=3.0)]
    seen = fleets.view(fleets.deployment("a", model="cheap"), fleets.deployment("b", model="dear"), models=models)
    policy, rng = POLICIES["price_inverse_square"](), Random(1)
    first = [policy.choose(seen, STREAM, (0, 1), 2.0, 1.0, rng, False).score.deployment for _ in range(2_000)]
    assert first.count(0) / 2_000 == pytest.approx(0.9, abs=0.03)


def test_the_seeds_table_never_learns_and_its_tracked_point_does() -> None:
    seen = fleets.view(
        *(fleets.deployment(n, latency=fleets.prior(ttft_ms=t)) for n, t in (("a", 300.0), ("b", 500.0), ("c", 600.0)))
    )
    for d, ttft in enumerate((3.0, 0.5, 0.6)):
        saw(seen, d, ttft, times=10)
    assert chosen(POLICIES["seed_static"](), seen) == {0}
    assert chosen(POLICIES["seed_tracked"](), seen) == {1}


def test_the_seeds_load_stage_avoids_what_is_nearly_full() -> None:
    seen = view(concurrency=10)
    policy = POLICIES["seed_load"]()
    (before,) = chosen(policy, seen)
    for _ in range(9):
        assert seen.slots.lease(before) is not None
    assert before not in chosen(policy, seen)


def test_a_hedge_at_the_95_percent_point_waits_as_long_as_that() -> None:
    seen = view()
    policy = watching("round_robin+p95", seen)
    for d in ALL:
        for k in range(40):
            saw(seen, d, 0.1 + k / 100)
    choice = policy.choose(seen, STREAM, ALL, 2.0, 10.0, Random(1), False)
    assert policy.hedge_after(seen, STREAM, choice, 2.0, 10.0) == pytest.approx(0.48)
    assert policy.hedge(seen, STREAM, 0, 0.5, (1, 2), 1.5, 10.0) in (1, 2)
    assert policy.hedge(seen, STREAM, 0, 0.5, (), 1.5, 10.0) is None


def test_a_rule_with_the_products_hedges_keeps_its_choice_and_plans_a_second() -> None:
    seen = view()
    policy = watching("peak_ewma+hedges", seen)
    saw(seen, 1, 0.9, times=8)
    saw(seen, 2, 0.2, times=8)
    choice = policy.choose(seen, STREAM, ALL, 1.0, 10.0, Random(1), False)
    assert choice.score.deployment == 2
    assert choice.second == 0


def test_rules_never_hedge_by_themselves_and_wait_a_constant_time() -> None:
    policy, seen = POLICIES["litellm"](), view()
    choice = policy.choose(seen, WHOLE, ALL, 20.0, 1.0, Random(1), False)
    assert policy.hedge_after(seen, WHOLE, choice, 20.0, 1.0) is None
    assert policy.hedge(seen, WHOLE, 0, 1.0, (1, 2), 19.0, 1.0) is None
    assert policy.patience(seen, WHOLE, 0, 1, 60.0) == 10.0

"""The product's policy: predict and choose."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from statistics import NormalDist

import pytest

from routing.latency.prediction import ttft_at, within
from routing.latency.sums import SENT, TAU_S
from routing.load.slots import queue_s
from routing.policy.slo import NEARLY_FULL, NO_TARGET, TIER_PENALTY, SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.unit.fleets import deployment, equal, model, prior, view
from tests.unit.plan.life import ask
from tests.unit.policy.measured import NET_S, NOW, know, measured

POLICY = SloPolicy()


def shares(seen: View, asked: Ask, left: float | None, n: int = 2_000, retry: bool = False) -> dict[str, float]:
    """The share of choices that each deployment gets, nothing being in flight."""
    rng, names = Random(11), [d.id for d in seen.fleet.deployments]
    counts = Counter(
        names[POLICY.choose(seen, asked, range(len(names)), left, NOW, rng, retry).score.deployment] for _ in range(n)
    )
    return {name: counts[name] / n for name in names}


def probability(seen: View, asked: Ask, left: float) -> float:
    return POLICY.score(seen, asked, (0,), left, NOW)[0].probability


# ---------------------------------------------------------------------- predicting
def test_a_first_token_is_predicted_from_the_prior() -> None:
    """The median lies 0.2 spreads below the base, and the network comes on top."""
    seen = view(deployment("a"))
    b = seen.tracker.beliefs[0]
    for z, p in ((0.0, 0.5), (1.2816, 0.9), (2.3263, 0.99)):
        assert probability(seen, ask(), NET_S + ttft_at(z, b.at, b.spread)) == pytest.approx(p, abs=1e-3)


def test_a_longer_prompt_makes_a_first_token_less_likely() -> None:
    seen = view(deployment("a"))
    assert probability(seen, ask(tokens_in=60_000), 0.6) < probability(seen, ask(), 0.6) - 0.3


def test_a_whole_answer_takes_its_generation_too() -> None:
    """200 tokens at 50 tokens/s are 4 s on top of the first token."""
    seen, whole = view(deployment("a")), ask(priority=LatencyPriority.TOTAL)
    assert probability(seen, ask(), 3.0) > 0.99
    assert probability(seen, whole, 3.0) < 0.2
    assert probability(seen, whole, 12.0) > 0.99


def test_an_unstreamed_answer_is_awaited_whole_whatever_the_goal() -> None:
    seen = view(deployment("a"))
    unstreamed = ask(priority=LatencyPriority.STREAMING, streamed=False)
    assert probability(seen, unstreamed, 3.0) == probability(seen, ask(priority=LatencyPriority.TOTAL), 3.0)


def test_failures_lower_the_probability_by_their_share() -> None:
    seen = view(deployment("a"))
    before = probability(seen, ask(), 1.0)
    seen.tracker.failed(0, NOW, rate_limited=False)
    assert probability(seen, ask(), 1.0) == pytest.approx(before * (1 - 1 / 5))


def test_a_queue_of_our_own_counts_from_half_of_the_slots_on() -> None:
    seen = measured(500.0, concurrency=10)
    free = probability(seen, ask(), 0.7)
    for _ in range(4):
        seen.slots.lease(0)
    assert probability(seen, ask(), 0.7) == free
    for _ in range(4):
        seen.slots.lease(0)
    told, b = POLICY.score(seen, ask(), (0,), 0.7, NOW)[0], seen.tracker.beliefs[0]
    wait = queue_s(8, 9, b.median_s + 200 * b.pace)  # a slot is held for a whole answer
    assert told.probability < free
    assert told.probability == pytest.approx(within(0.7 - NET_S - wait, b.at, b.spread, 0.0))
    assert told.queue == pytest.approx(queue_s(8, 9, NET_S + b.median_s + 200 * b.pace))
    assert told.ttft > told.queue


def test_scores_tell_medians_with_network_and_queue() -> None:
    seen = view(deployment("a", region="westus"))
    told = POLICY.score(seen, ask(priority=LatencyPriority.TOTAL), (0,), 5.0, NOW)[0]
    network, median = seen.tracker.net_s[0], seen.tracker.beliefs[0].median_s
    assert told.ttft == pytest.approx(network + median)
    assert told.total == pytest.approx(network + median + 200 / 50)
    assert (told.queue, told.used) == (0.0, 0.0)


def test_a_tier_above_the_asked_costs_a_little() -> None:
    seen = view(deployment("a"), deployment("b", model="n"), models=[model("m"), model("n", quality_tier=5)])
    low, high = POLICY.score(seen, ask(demand=Demand(min_quality_tier=3)), (0, 1), 1.0, NOW)
    assert low.probability == high.probability
    assert low.value - high.value == pytest.approx(2 * TIER_PENALTY)


# ---------------------------------------------------------------------- choosing
def test_equal_deployments_share_equally() -> None:
    told = shares(View.of(equal(4)), ask(target_s=1.0), 1.0)
    assert all(share == pytest.approx(0.25, abs=0.04) for share in told.values())


def test_the_likelier_gets_nearly_all() -> None:
    assert shares(measured(400.0, 900.0), ask(target_s=0.8), 0.8)["a"] > 0.97


def test_what_fails_fast_is_not_preferred() -> None:
    """Its errors come in 2 ms, its answers never: they are no fast samples."""
    seen = measured(500.0, 500.0)
    for _ in range(20):
        seen.tracker.failed(0, NOW, rate_limited=False)
    assert shares(seen, ask(target_s=1.0), 1.0)["a"] < 0.01


def test_a_retry_spreads_more_than_a_first_try() -> None:
    seen = measured(400.0, 600.0)
    first, again = (shares(seen, ask(target_s=0.8), 0.8, retry=retry) for retry in (False, True))
    assert first["b"] < 0.12
    assert again["b"] > 2 * first["b"]


def test_load_is_shared_in_proportion_to_the_nominal_rate() -> None:
    seen = view(deployment("a", requests_per_minute=60_000), deployment("b", requests_per_minute=20_000))
    know(seen)
    drawn = shares(seen, ask(target_s=5.0), 5.0)
    assert drawn["a"] == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("target", [0.20, 0.25, 0.27, 0.29, 0.32, 0.5])
def test_a_hard_target_is_no_reason_to_try_those_who_cannot_meet_it(target: float) -> None:
    """However likely it is that the best one does."""
    seen = measured(400.0, *[4_000.0] * 9)
    assert shares(seen, ask(target_s=target), target)["a"] > 0.9


@pytest.mark.parametrize("samples", [0, 20])
def test_chance_alone_moves_no_user_out_of_the_home_region(samples: int) -> None:
    """Of equals, whether or not they were measured."""
    seen = view(*(deployment(f"d{n}", region=region) for n, region in enumerate(("eastus", "swedencentral") * 3)))
    rng = Random(3)
    for d in range(6):
        for _ in range(samples):
            seen.tracker.first_content(d, NOW, seen.tracker.net_s[d] + 0.5 * rng.lognormvariate(0, 0.4), 1_000)
    asked = ask(home="eastus")
    reasons = Counter(
        POLICY.choose(seen, asked, range(6), None, NOW, Random(seed), False).reason for seed in range(200)
    )
    assert reasons["left_home"] == 0


def test_the_likeliest_is_worth_less_the_more_it_is_used() -> None:
    """Else a lead in probability, however it came about, would let all instances overrun one deployment."""
    seen = measured(500.0, 800.0)
    idle = shares(seen, ask(target_s=0.9), 0.9)
    for used, most in ((0.5, 1.0), (0.8, 0.95), (0.95, 0.6)):
        seen.quota.saw(0, NOW, used)
        assert shares(seen, ask(target_s=0.9), 0.9)["a"] <= most * idle["a"] + 0.01
    half, all_of_it = (_value(seen, used) for used in (0.5, 1.0))
    assert half - all_of_it == pytest.approx(2.4 * 0.5**2)


def test_of_those_beyond_all_quota_the_likelier_is_taken_whoever_is_the_fuller() -> None:
    """One request with a great `max_tokens` takes a deployment out, but does not make a hopeless one the better."""
    seen = measured(500.0, 5_000.0)
    for d, quotas in ((0, 6.0), (1, 2.0)):
        seen.tracker.sent(d, NOW, TAU_S[SENT] * quotas)
    know(seen, 1)
    assert shares(seen, ask(target_s=0.9), 0.9)["a"] > 0.9


def _value(seen: View, used: float) -> float:
    seen.quota.saw(0, NOW, used)
    return POLICY.score(seen, ask(target_s=0.9), (0,), 0.9, NOW)[0].value


def test_a_deployment_near_its_quota_is_spared() -> None:
    seen = measured(500.0, 500.0)
    seen.quota.saw(0, NOW, 0.95)
    assert shares(seen, ask(target_s=1.0), 1.0)["a"] < 0.02


def test_of_two_drawn_the_less_busy_is_taken() -> None:
    seen = view(deployment("a"), deployment("b"))
    for _ in range(5):
        seen.slots.lease(0)
    assert shares(seen, ask(target_s=9.0), 9.0)["a"] == pytest.approx(0.25, abs=0.04)  # only if drawn twice


def test_an_unknown_deployment_gets_some_and_not_all() -> None:
    """Its prior is a little worse than what the other was measured to do."""
    seen = view(deployment("a", latency=prior(500.0)), deployment("b", latency=prior(600.0)))
    for _ in range(200):
        seen.tracker.first_content(0, NOW, NET_S + 0.45, 1_000)
    explored = shares(seen, ask(target_s=0.75), 0.75)["b"]
    know(seen)
    assert 0.02 < explored < 0.5
    assert shares(seen, ask(target_s=0.75), 0.75)["b"] < explored


def test_without_a_target_the_fast_is_preferred_to_the_slow() -> None:
    told = shares(measured(400.0, 2_000.0), ask(), None)
    assert told["a"] > 0.95


def test_the_target_that_is_set_without_one_is_a_multiple_of_the_best_median() -> None:
    seen = measured(400.0, 2_000.0)
    scores = POLICY.score(seen, ask(), (0, 1), None, NOW)
    first, whole = (
        POLICY.choose(seen, ask(priority=priority), (0, 1), None, NOW, Random(1), False).target_s
        for priority in (LatencyPriority.STREAMING, LatencyPriority.TOTAL)
    )
    assert first == pytest.approx(NO_TARGET * min(s.ttft for s in scores))
    assert whole == pytest.approx(NO_TARGET * min(s.total for s in scores))


@pytest.mark.parametrize("left", [0.05, 0.0, -3.0])
def test_where_the_target_is_out_of_reach_the_fast_is_still_preferred(left: float) -> None:
    """Nearly nothing is predicted to meet it, and nothing would tell the candidates apart."""
    assert shares(measured(400.0, 2_000.0), ask(target_s=left), left)["a"] > 0.95


def test_a_target_out_of_reach_is_still_the_one_that_is_reported() -> None:
    choice = POLICY.choose(measured(400.0, 2_000.0), ask(), (0, 1), 0.05, NOW, Random(1), False)
    assert choice.target_s == 0.05
    assert choice.score.probability < 0.01


def test_the_second_is_the_best_other() -> None:
    seen = measured(400.0, 3_000.0, 500.0)
    for seed in range(20):
        choice = POLICY.choose(seen, ask(target_s=0.8), (0, 1, 2), 0.8, NOW, Random(seed), False)
        assert {choice.score.deployment, choice.second} == {0, 2}


def test_the_only_candidate_has_no_second() -> None:
    choice = POLICY.choose(measured(400.0, 500.0), ask(), (1,), None, NOW, Random(1), False)
    assert (choice.score.deployment, choice.second, choice.reason) == (1, None, "only_candidate")


def test_chance_is_the_callers() -> None:
    seen = View.of(equal(6))
    for seed in range(5):
        one, two = (POLICY.choose(seen, ask(), range(6), 1.0, NOW, Random(seed), False) for _ in range(2))
        assert one == two


# ---------------------------------------------------------------------- price
def priced() -> View:
    seen = view(
        deployment("a", model="dear", latency=prior(300.0)),
        deployment("b", model="cheap", latency=prior(500.0)),
        deployment("c", model="free", latency=prior(5_000.0)),
        models=[
            model("dear", price_in=5.0, price_out=20.0),
            model("cheap", price_in=0.5, price_out=2.0),
            model("free", price_in=0.0, price_out=0.0),
        ],
    )
    know(seen)
    return seen


def test_with_a_price_goal_the_cheapest_that_meets_the_target_is_taken() -> None:
    choice = POLICY.choose(priced(), ask(cheapest=True), range(3), 3.0, NOW, Random(1), False)
    assert (choice.score.deployment, choice.reason) == (1, "cheapest_meeting_slo")


@pytest.mark.parametrize(("percentile", "chosen"), [(80.0, 1), (93.0, 0)])
def test_the_target_is_met_at_the_callers_percentile(percentile: float, chosen: int) -> None:
    """b meets 0.7 s with a probability of 0.87, a of 0.99."""
    asked = ask(cheapest=True, percentile=percentile)
    assert POLICY.choose(priced(), asked, range(3), 0.7, NOW, Random(1), False).score.deployment == chosen


def test_with_a_price_goal_that_nothing_meets_the_likeliest_is_taken() -> None:
    choice = POLICY.choose(priced(), ask(cheapest=True), range(3), 0.3, NOW, Random(1), False)
    assert (choice.score.deployment, choice.reason) == (0, "fastest")


def test_with_a_price_goal_and_no_target_the_cheapest_is_taken_however_slow() -> None:
    assert shares(priced(), ask(cheapest=True), None, n=200)["c"] == 1.0


def test_with_a_price_goal_and_no_target_no_hedge_is_planned() -> None:
    """Without a target none is missed, and the second call would not be a cheap one."""
    seen, asked = priced(), ask(cheapest=True)
    choice = POLICY.choose(seen, asked, range(3), None, NOW, Random(1), False)
    assert POLICY.hedge_after(seen, ask(), choice, 1.0, NOW) is not None
    assert POLICY.hedge_after(seen, asked, choice, 1.0, NOW) is None


def test_with_a_price_goal_equal_prices_share_the_load() -> None:
    told = shares(measured(500.0, 500.0, 500.0, 500.0), ask(cheapest=True, target_s=3.0), 3.0)
    assert all(share == pytest.approx(0.25, abs=0.04) for share in told.values())


def test_prices_that_differ_by_a_rounding_are_equal() -> None:
    """0.1 + 0.2 is not 0.3 in binary."""
    seen = view(deployment("a"), deployment("b", model="n"), models=[model("m"), model("n")])
    seen.price_in[1] *= 1 + 1e-15
    assert seen.cost_usd(ask(), 1) > seen.cost_usd(ask(), 0)
    assert shares(seen, ask(cheapest=True), None)["b"] == pytest.approx(0.5, abs=0.04)


def test_with_a_price_goal_a_full_quota_passes_the_request_on_to_the_next_price() -> None:
    seen = priced()
    seen.quota.saw(2, NOW, NEARLY_FULL)
    assert shares(seen, ask(cheapest=True), None, n=200)["b"] == 1.0
    for d in range(3):
        seen.quota.saw(d, NOW, 1.0)
    assert shares(seen, ask(cheapest=True), None, n=200)["c"] == 1.0, "where all are full, the price counts again"
    assert shares(seen, ask(cheapest=True, target_s=3.0), 3.0, n=200)["b"] == 1.0, "of those that meet the target"


def test_whether_a_price_goal_meets_the_target_is_judged_without_noise() -> None:
    """Nothing was measured, and the cheap one is predicted to meet the target only just, or only just not."""
    seen = view(
        deployment("a", model="dear", latency=prior(100.0)),
        deployment("b"),
        models=[model("m"), model("dear", price_in=50.0)],
    )
    for percentile, taken in ((89.0, 1), (91.0, 0)):
        left, asked = _reached_with(seen, 1, 0.9), ask(cheapest=True, percentile=percentile)
        choices = [POLICY.choose(seen, asked, (0, 1), left, NOW, Random(seed), False) for seed in range(50)]
        assert {choice.score.deployment for choice in choices} == {taken}
        assert all(choice.score.probability >= percentile / 100 for choice in choices)


def _reached_with(seen: View, d: int, p: float) -> float:
    """Seconds to the first token within which deployment d answers with probability p."""
    b = seen.tracker.beliefs[d]
    return seen.tracker.net_s[d] + ttft_at(NormalDist().inv_cdf(p), b.at, b.spread)


def test_a_price_goal_comes_before_the_home() -> None:
    seen = view(
        deployment("a", model="cheap"),
        deployment("b", region="westus"),
        models=[model("m"), model("cheap", price_in=0.1, price_out=0.1)],
    )
    choice = POLICY.choose(seen, ask(cheapest=True, home="westus"), (0, 1), 9.0, NOW, Random(1), False)
    assert (choice.score.deployment, choice.reason) == (0, "cheapest_meeting_slo")


def test_a_clients_retry_with_a_price_goal_may_go_to_the_next_price_and_no_further() -> None:
    """Its first try may have failed at the only cheapest deployment."""
    told = shares(priced(), ask(cheapest=True, client_retry=True), 20.0, retry=True)
    assert told["a"] == 0.0
    assert told["b"] > 0.2
    assert told["c"] > 0.2


# ---------------------------------------------------------------------- home
def homes(east_ms: float, west_ms: float) -> View:
    """a in eastus, b in westus; the router is in eastus."""
    seen = view(deployment("a", latency=prior(east_ms)), deployment("b", region="westus", latency=prior(west_ms)))
    know(seen, 2_000)
    return seen


def test_a_user_stays_at_home_while_it_costs_little() -> None:
    seen = homes(450.0, 450.0)  # 70 ms of network more
    for seed in range(20):
        choice = POLICY.choose(seen, ask(home="westus"), (0, 1), 3.0, NOW, Random(seed), False)
        assert (choice.score.deployment, choice.reason) == (1, "sticky")


def test_a_user_leaves_home_when_staying_costs_more_than_the_allowance() -> None:
    seen = homes(450.0, 550.0)
    for seed in range(20):
        choice = POLICY.choose(seen, ask(home="westus"), (0, 1), 3.0, NOW, Random(seed), False)
        assert (choice.score.deployment, choice.reason) == (0, "left_home")


def test_a_user_leaves_home_when_staying_misses_the_target() -> None:
    seen = homes(450.0, 450.0)
    choice = POLICY.choose(seen, ask(home="westus"), (0, 1), 0.6, NOW, Random(1), False)
    assert choice.reason == "left_home"


def test_without_a_candidate_at_home_the_choice_is_as_for_anybody_and_is_told_from_it() -> None:
    seen = homes(450.0, 450.0)
    for seed in range(20):
        anybodys, mine = (
            POLICY.choose(seen, ask(home=home), (0, 1), 3.0, NOW, Random(seed), False)
            for home in (None, "swedencentral")
        )
        assert anybodys.reason in ("fastest", "balanced", "explore")
        assert mine == replace(anybodys, reason="home_out")


@pytest.mark.parametrize("asked", [ask(home="nowhere", client_retry=True), ask(home="nowhere", cheapest=True)])
def test_who_does_not_want_to_stay_at_home_is_not_told_that_it_is_out(asked: Ask) -> None:
    choice = POLICY.choose(homes(450.0, 450.0), asked, (0, 1), 3.0, NOW, Random(1), False)
    assert choice.reason != "home_out"


def test_a_clients_own_retry_is_not_kept_at_home() -> None:
    """It is spread over all, as that of a user without a home."""
    told = shares(homes(450.0, 450.0), ask(home="westus", client_retry=True), 3.0, retry=True)
    assert told["a"] > 0.4


def test_who_stays_at_home_may_still_be_hedged_elsewhere() -> None:
    choice = POLICY.choose(homes(450.0, 450.0), ask(home="westus"), (0, 1), 3.0, NOW, Random(1), False)
    assert (choice.score.deployment, choice.second) == (1, 0)

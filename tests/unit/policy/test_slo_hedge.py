"""The product's policy: when a hedge pays, and how long to wait for a silent call."""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist

import pytest

from routing.latency.prediction import ttft_at, within
from routing.policy.slo import (
    EARLIEST_HEDGE_S,
    HEDGE_PRICE,
    LEAST_PATIENCE_S,
    PATIENCE,
    SloPolicy,
)
from routing.policy.view import View
from routing.request import Ask
from tests.unit.fleets import deployment, model, prior, view
from tests.unit.plan.life import ask
from tests.unit.policy.measured import NET_S, NOW, measured

POLICY = SloPolicy()


# ---------------------------------------------------------------------- hedging
def planned(seen: View, asked: Ask, left: float) -> float | None:
    choice = POLICY.choose(seen, asked, (0,), left, NOW, Random(1), False)
    choice.second = 1
    return POLICY.hedge_after(seen, asked, choice, left, NOW)


def test_a_hedge_is_planned_where_the_first_call_may_miss_and_the_second_may_not() -> None:
    moment = planned(measured(700.0, 200.0), ask(), 0.9)
    assert moment is not None
    assert EARLIEST_HEDGE_S <= moment < 0.9


@pytest.mark.parametrize(("first_ms", "second_ms"), [(700.0, 200.0), (500.0, 500.0), (900.0, 400.0)])
@pytest.mark.parametrize("left", [0.6, 0.9, 1.5])
def test_the_planned_moment_is_where_a_call_buys_most(first_ms: float, second_ms: float, left: float) -> None:
    """Of 30 ms and nine points of the first call's wait: P(miss) P(the second makes it then) - price P(silent)."""
    seen, phi = measured(first_ms, second_ms), NormalDist().cdf
    first, second = seen.tracker.beliefs
    miss = 1 - within(left - NET_S, first.at, first.spread, 0.0)
    gains: dict[float | None, float] = {None: 0.0}
    for z in (None, -1, -0.5, 0, 0.4, 0.8, 1.2, 1.6, 2, 2.5):
        t = EARLIEST_HEDGE_S if z is None else NET_S + ttft_at(z, first.at, first.spread)
        silent = 1.0 if z is None else 1 - phi(z)
        if t < left:
            rescue = within(left - t - NET_S, second.at, second.spread, 0.0)
            gains[t] = miss * rescue - HEDGE_PRICE * silent
    best = max(gains, key=lambda t: gains[t])
    assert planned(seen, ask(), left) == (best if best is None else pytest.approx(best))


def test_a_hedge_is_never_planned_within_thirty_milliseconds() -> None:
    for first_ms in (2.0, 20.0, 200.0, 5_000.0):
        for left in (0.1, 0.3, 1.0, 3.0):
            moment = planned(measured(first_ms, 10.0), ask(), left)
            assert moment is None or moment >= EARLIEST_HEDGE_S


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "left"),
    [
        (200.0, 200.0, 60.0),  # the first will do
        (700.0, 5_000.0, 0.9),  # the second will not
        (700.0, 200.0, 0.05),  # no time
        (700.0, 200.0, -1.0),
    ],
)
def test_a_hedge_that_would_change_nothing_is_not_planned(first_ms: float, second_ms: float, left: float) -> None:
    assert planned(measured(first_ms, second_ms), ask(), left) is None


def test_without_a_second_there_is_nothing_to_hedge_with() -> None:
    seen = measured(700.0, 200.0)
    choice = POLICY.choose(seen, ask(), (0,), 0.9, NOW, Random(1), False)
    assert POLICY.hedge_after(seen, ask(), choice, 0.9, NOW) is None


def test_an_unstreamed_call_is_silent_until_its_end_and_not_hedged_before() -> None:
    """4 s of generation are no sign of trouble."""
    moment = planned(measured(700.0, 200.0), ask(streamed=False), 9.0)
    assert moment is not None
    assert 4.7 < moment < 9.0
    assert POLICY.hedge(measured(700.0, 200.0), ask(streamed=False), 0, 4.0, (1,), 5.0, NOW) is None


def test_a_hedge_is_sent_when_silence_has_made_a_miss_likely() -> None:
    seen = measured(700.0, 200.0)
    assert POLICY.hedge(seen, ask(), 0, 0.5, (1,), 0.4, NOW) == 1


def test_a_hedge_is_not_sent_where_the_first_call_will_still_make_it() -> None:
    assert POLICY.hedge(measured(700.0, 200.0), ask(), 0, 0.1, (1,), 30.0, NOW) is None


@pytest.mark.parametrize("age", [0.001, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("left", [0.1, 0.4, 1.0])
def test_a_hedge_is_worth_the_miss_that_silence_makes_likely_times_the_rescue(age: float, left: float) -> None:
    """P(miss | silent until now) x P(the other makes it): exactly there lies the price at which it is not sent."""
    seen = measured(700.0, 200.0)
    b, phi = seen.tracker.beliefs[0], NormalDist().cdf

    def later_than(seconds: float) -> float:
        z = (math.log(seconds) - b.at) / b.spread if seconds > 0 else -math.inf
        return 1 - phi(z if z > 0 else 2 * z)

    miss = later_than(age + left - NET_S) / later_than(age - NET_S)
    worth = miss * POLICY.score(seen, ask(), (1,), left, NOW)[0].probability
    for content in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0):
        seen.hedges.content = content
        sent = POLICY.hedge(seen, ask(), 0, age, (1,), left, NOW)
        assert (sent == 1) == (worth >= HEDGE_PRICE * 2 ** (1 - 2 * content / 4))


def test_a_hedge_goes_to_the_best_other() -> None:
    assert POLICY.hedge(measured(700.0, 900.0, 200.0), ask(), 0, 0.5, (1, 2), 0.4, NOW) == 2


@pytest.mark.parametrize(("candidates", "left"), [((), 0.4), ((1,), 0.0), ((1,), -0.1)])
def test_a_hedge_needs_somebody_and_some_time(candidates: tuple[int, ...], left: float) -> None:
    assert POLICY.hedge(measured(700.0, 200.0), ask(), 0, 0.5, candidates, left, NOW) is None


def test_a_hedge_needs_what_it_costs_in_the_purse() -> None:
    seen = measured(700.0, 200.0)
    seen.hedges.content = 0.99
    assert POLICY.hedge(seen, ask(), 0, 0.5, (1,), 0.4, NOW) is None


def test_hedges_are_dear_when_the_purse_is_empty_and_cheap_when_it_is_full() -> None:
    seen, prices = measured(700.0, 200.0), []
    for seen.hedges.content in (0.0, 2.0, 4.0):
        prices.append(POLICY._price(seen, ask()))
    assert prices == [pytest.approx(2 * HEDGE_PRICE), pytest.approx(HEDGE_PRICE), pytest.approx(HEDGE_PRICE / 2)]


# ---------------------------------------------------------------------- patience
def test_a_silent_call_is_given_up_after_a_multiple_of_its_99_percent_point() -> None:
    seen = measured(500.0)
    b = seen.tracker.beliefs[0]
    expected = PATIENCE * (NET_S + ttft_at(2.3263, b.at, b.spread))
    assert POLICY.patience(seen, ask(), 0, None, 100.0) == pytest.approx(expected)


def test_patience_is_at_least_a_second_and_at_most_what_is_left() -> None:
    seen = measured(10.0)
    assert POLICY.patience(seen, ask(), 0, None, 100.0) == LEAST_PATIENCE_S
    assert POLICY.patience(seen, ask(), 0, None, 0.2) == 0.2


def test_patience_is_bounded_by_the_models_ceiling() -> None:
    seen = view(deployment("a", latency=prior(60_000.0)), models=[model(first_content_timeout_s=60)])
    assert POLICY.patience(seen, ask(), 0, None, 200.0) == 60.0


def test_patience_leaves_time_for_the_second_choices_whole_answer() -> None:
    """But the first call always has its own 90 % point."""
    seen = view(deployment("a"), deployment("b"))
    b = seen.tracker.beliefs[0]
    p90 = NET_S + ttft_at(1.2816, b.at, b.spread)
    rescue = POLICY.score(seen, ask(), (1,), 10.0, NOW)[0].total
    assert POLICY.patience(seen, ask(), 0, None, rescue + 1.5) > 1.5
    assert POLICY.patience(seen, ask(), 0, 1, rescue + 1.5) == pytest.approx(1.5)
    assert POLICY.patience(seen, ask(), 0, 1, rescue + 0.1) == pytest.approx(p90)


def test_patience_grows_with_the_prompt_and_with_an_unstreamed_answer() -> None:
    seen = measured(500.0)
    plain = POLICY.patience(seen, ask(), 0, None, 100.0)
    assert POLICY.patience(seen, ask(tokens_in=100_000), 0, None, 100.0) > 4 * plain
    generation = 200 / 50 * math.exp(3 * 0.38)  # hardly any is longer
    whole = POLICY.patience(seen, ask(streamed=False), 0, None, 100.0)
    assert whole == pytest.approx(plain + PATIENCE * generation)
    bounded = POLICY.patience(seen, ask(streamed=False, most_tokens=300.0), 0, None, 100.0)
    assert bounded == pytest.approx(plain + PATIENCE * 300 / 50), "or longer than the caller allows"
    unknown = POLICY.patience(seen, ask(streamed=False, length_spread=0.8), 0, None, 200.0)
    assert unknown > 2 * whole, "where its length is not known it takes more"


def test_of_two_equals_the_one_with_more_of_its_quota_left_gets_the_hedge() -> None:
    seen = measured(3_000.0, 300.0, 300.0)
    for order in ((1, 2), (2, 1)):
        for used, d in zip((0.97, 0.0), order, strict=True):
            seen.quota.saw(d, NOW, used)
        assert POLICY.hedge(seen, ask(target_s=5.0), 0, 2.9, (1, 2), 2.1, NOW) == order[1]


def test_the_longest_prompts_may_be_hedged_while_the_purse_is_full() -> None:
    seen = measured(500.0)
    assert seen.hedge_cost(50_000) == seen.hedges.cap

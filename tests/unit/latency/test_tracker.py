"""The tracker's estimates: what one measurement does to what is believed of a deployment."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from routing.latency.prediction import SHIFT, prompt_log
from routing.latency.tracker import RENEW_S, LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import deployment, fleet, prior

BASE_S, PACE_S, NET_S, SPREAD = 0.5, 0.02, 0.002, math.log(2) / 1.2816
NOW = 1_000.0


def tracker() -> LatencyTracker:
    """Two deployments beside the router, median TTFT 0.5 s, 50 tokens/s, nothing measured."""
    return LatencyTracker(fleet(deployment("a"), deployment("b")), "eastus")


def ttft(x: float, tokens_in: float = 1_000.0) -> float:
    """The time to first token whose residual is x."""
    return NET_S + BASE_S * math.exp(x + prompt_log(tokens_in))


def feed(t: LatencyTracker, *residuals: float, now: float = NOW) -> None:
    for x in residuals:
        t.first_content(0, now, ttft(x), 1_000)


def measurement(total_ms: float = 3_000.0, tokens: int = 101) -> LatencyMeasurement:
    return LatencyMeasurement(2.0, 0.0, 502.0, total_ms - 502.0, total_ms, tokens)


# ---------------------------------------------------------------------- level and spread
def test_before_any_sample_the_prior_is_believed() -> None:
    b = tracker().belief(0, NOW)
    assert (b.level, b.samples, b.doubt, b.keep, b.sent) == (0.0, 0.0, 1.0, 1.0, 0.0)
    assert (b.spread, b.pace) == pytest.approx((SPREAD, PACE_S))
    assert b.at == pytest.approx(math.log(BASE_S) - SHIFT * SPREAD)


def test_a_deployments_own_prior_goes_before_its_models() -> None:
    t = LatencyTracker(fleet(deployment("a", latency=prior(80.0, tokens_per_second=200.0))), "eastus")
    assert math.exp(t.log_base[0]) == pytest.approx(0.08)
    assert t.belief(0, NOW).pace == pytest.approx(0.005)


def test_the_prior_is_worth_two_samples_of_the_level() -> None:
    t = tracker()
    feed(t, 0.9)
    assert t.belief(0, NOW).level == pytest.approx(0.9 / 3)
    assert t.belief(0, NOW).doubt == pytest.approx(math.sqrt(2 / 3))
    feed(t, 0.3)
    assert t.belief(0, NOW).level == pytest.approx(1.2 / 4)


def test_the_other_deployment_learns_nothing_from_it() -> None:
    t = tracker()
    before = t.belief(1, NOW)
    feed(t, 0.9)
    assert t.belief(1, NOW) == before


@pytest.mark.parametrize("tokens_in", [0, 1_000, 20_000, 120_000])
def test_prompts_of_any_length_train_one_estimate(tokens_in: int) -> None:
    t = tracker()
    t.first_content(0, NOW, ttft(0.6, tokens_in), tokens_in)
    assert t.belief(0, NOW).level == pytest.approx(0.2)


def test_the_network_is_taken_off_before_learning() -> None:
    t = tracker()
    t.saw_network(0, NOW, 0.25)
    t.first_content(0, NOW, 0.25 + BASE_S, 1_000)
    assert t.net_s[0] == 0.25
    assert t.belief(0, NOW).level == pytest.approx(0.0)


def test_a_first_token_within_the_round_trip_counts_as_five_milliseconds() -> None:
    t = tracker()
    t.first_content(0, NOW, NET_S / 2, 1_000)
    assert t.belief(0, NOW).level == pytest.approx(math.log(0.005 / BASE_S) / 3)


def test_spread_is_the_prior_and_the_squares_around_the_level() -> None:
    """sqrt((1.45 S((x - level)^2) + 10 prior^2) / (n + 10)), each against the level of before the sample."""
    t = tracker()
    feed(t, 0.9, 0.0)
    squares = 0.9**2 + (0.0 - 0.3) ** 2
    assert t.belief(0, NOW).spread == pytest.approx(math.sqrt((1.45 * squares + 10 * SPREAD**2) / 12))


def test_one_wild_sample_does_not_own_the_level() -> None:
    t = tracker()
    feed(t, 0.0, 0.0, 0.0, 0.0, 9.0)
    assert t.belief(0, NOW).level == pytest.approx(2.5 / 7)
    feed(t, -9.0)
    assert t.belief(0, NOW).level == pytest.approx((2.5 + 2.5 / 7 - 2.5) / 8)


def test_the_first_three_samples_may_be_far_from_the_prior() -> None:
    t = tracker()
    feed(t, 5.0, 0.0, 0.0, 5.0)  # the fourth comes while there are three
    assert t.belief(0, NOW).level == pytest.approx(10.0 / 6)


def test_without_traffic_a_deployment_fades_back_to_its_prior() -> None:
    t = tracker()
    feed(t, *[1.5] * 50)
    assert t.belief(0, NOW).level > 1.4
    faded = t.belief(0, NOW + 900)
    assert abs(faded.level) < 0.001
    assert faded.doubt == pytest.approx(1.0, abs=1e-4)
    assert faded.at == pytest.approx(tracker().belief(0, 0.0).at, abs=0.2)  # the spread takes longer, 600 s


def test_a_clock_that_steps_back_keeps_what_was_learned() -> None:
    t = tracker()
    feed(t, 0.6)
    feed(t, 0.6, now=NOW - 3_600)
    assert t.belief(0, NOW - 3_600).level == pytest.approx(1.2 / 4)
    assert t.belief(0, NOW).level == pytest.approx(1.2 / 4)


# ---------------------------------------------------------------------- silence and failures
@pytest.mark.parametrize(("x_of_age", "counted"), [(0.7, 0.7), (1.1, 1.1), (1.3, 1.2), (6.0, 1.2)])
def test_silence_longer_than_the_level_counts_as_at_most_one_above_it(x_of_age: float, counted: float) -> None:
    t = tracker()
    feed(t, 0.6)  # level 0.6 / 3 = 0.2
    t.silent(0, NOW, ttft(x_of_age), 1_000)
    assert t.belief(0, NOW).level == pytest.approx((0.6 + counted) / 4)


@pytest.mark.parametrize("x_of_age", [-4.0, 0.1, 0.19])
def test_silence_shorter_than_the_level_says_nothing(x_of_age: float) -> None:
    t = tracker()
    feed(t, 0.6)
    t.silent(0, NOW, ttft(x_of_age), 1_000)
    assert t.belief(0, NOW).samples == 1.0


def test_silence_is_no_measured_time() -> None:
    t = tracker()
    t.silent(0, NOW, 30.0, 1_000)
    assert t.known[0].ttft_ms.count(NOW) == 0.0


# ---------------------------------------------------------------------- whole answers that were not waited for
TOKENS = 100
WHOLE_S = NET_S + BASE_S + TOKENS * PACE_S


def drop(t: LatencyTracker, age: float, length_spread: float = 0.38, hangs: bool = False) -> None:
    answered_by = t.answered_by(0, age, 1_000, TOKENS, length_spread)
    t.silent_whole(0, NOW, age, 1_000, TOKENS, length_spread, answered_by, hangs)


@pytest.mark.parametrize("waited", [0.6, 1.0, 1.5])
def test_answers_that_are_cut_at_a_limit_leave_the_level_where_it_is(waited: float) -> None:
    """Some answers are seen, of the others it is known that they take longer: no limit makes a deployment look slow."""
    t, rng = tracker(), Random(3)
    for _ in range(2_000):
        factor = math.exp(rng.gauss(0.0, 0.25))
        total = NET_S + (BASE_S + TOKENS * PACE_S) * factor
        if total <= waited * WHOLE_S:
            t.whole(0, NOW, total, 1_000, TOKENS)
        else:
            drop(t, waited * WHOLE_S, length_spread=0.0)
    assert t.belief(0, NOW).level == pytest.approx(0.0, abs=0.1)
    assert t.belief(0, NOW).pace == pytest.approx(PACE_S, rel=0.1)


def test_a_limit_that_nothing_meets_makes_a_deployment_slower() -> None:
    t = tracker()
    for _ in range(10):
        drop(t, 1.2 * WHOLE_S)
    assert t.belief(0, NOW).level > 0.15
    assert t.belief(0, NOW).pace > 1.15 * PACE_S


def test_a_long_answer_explains_silence_where_its_length_is_uncertain() -> None:
    sure, unsure = tracker(), tracker()
    drop(sure, 2 * WHOLE_S, length_spread=0.1)
    drop(unsure, 2 * WHOLE_S, length_spread=1.0)
    assert sure.belief(0, NOW).level > 3 * unsure.belief(0, NOW).level > 0


def test_a_caller_who_leaves_early_says_nothing_of_the_deployment() -> None:
    t = tracker()
    drop(t, 0.2 * WHOLE_S)
    drop(t, 0.0)
    assert t.belief(0, NOW).level == pytest.approx(0.0, abs=0.01)
    assert t.belief(0, NOW).keep == 1.0


@pytest.mark.parametrize(("waited", "failures"), [(1.0, 0.0), (10.0, 1.0)])
def test_silence_that_hardly_an_answer_has_is_a_failure(waited: float, failures: float) -> None:
    t = tracker()
    drop(t, waited * WHOLE_S)
    assert t.belief(0, NOW).keep == pytest.approx(1 - failures / (failures + 4), abs=0.01)


def test_a_deployment_that_hangs_has_failed_and_counts_as_slow_as_one_call_may() -> None:
    t = tracker()
    drop(t, WHOLE_S, hangs=True)
    assert t.belief(0, NOW).level == pytest.approx(1.0 / 3)
    assert t.belief(0, NOW).keep == pytest.approx(0.8)


@pytest.mark.parametrize("spread", [0.0, 0.38, 1.0])
def test_the_longer_a_call_is_silent_the_likelier_its_answer_was_due(spread: float) -> None:
    t = tracker()
    chances = [t.answered_by(0, age, 1_000, TOKENS, spread) for age in (0.0, 0.5, 1.0, 2.5, 5.0, 60.0)]
    assert chances == sorted(chances)
    assert chances[0] == 0.0
    assert chances[-1] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("rate_limited", "weight"), [(False, 1.0), (True, 0.8)])
def test_the_failing_share_is_smoothed_by_four_answers(rate_limited: bool, weight: float) -> None:
    t = tracker()
    t.failed(0, NOW, rate_limited)
    assert t.belief(0, NOW).keep == pytest.approx(1 - weight / (weight + 4))
    t.answered(0, NOW, measurement())
    assert t.belief(0, NOW).keep == pytest.approx(1 - weight / (weight + 5))


def test_failures_are_forgiven_within_seconds() -> None:
    t = tracker()
    for _ in range(10):
        t.failed(0, NOW, rate_limited=False)
    assert t.belief(0, NOW).keep < 0.3
    assert t.belief(0, NOW + 60).keep > 0.99


def test_a_failure_is_never_a_fast_sample() -> None:
    t = tracker()
    before = t.belief(0, NOW)
    t.failed(0, NOW, rate_limited=False)
    after = t.belief(0, NOW)
    assert (after.at, after.spread, after.pace, after.samples) == (before.at, before.spread, before.pace, 0.0)
    assert t.get_percentile("a", 50) == math.inf


# ---------------------------------------------------------------------- pace and whole answers
def test_pace_follows_streams_within_half_a_minute() -> None:
    """prior exp((S(y) + 2 slow) / (n + 2)), slow = S(y) / (n + 2)."""
    t = tracker()
    t.pace(0, NOW, 4 * PACE_S)
    y = math.log(4)
    assert t.belief(0, NOW).pace == pytest.approx(PACE_S * math.exp((y + 2 * y / 3) / 3))
    fast, slow = math.exp(-120 / 30), math.exp(-120 / 600)
    later = (y * fast + 2 * (y * slow) / (slow + 2)) / (fast + 2)
    assert t.belief(0, NOW + 120).pace == pytest.approx(PACE_S * math.exp(later))


def test_several_tokens_in_an_event_are_learned_from_the_providers_count() -> None:
    t = tracker()
    for _ in range(100):
        t.saw_tokens(0, 200, 50)
    assert t.tokens_per_event == [pytest.approx(4.0, rel=0.01), 1.0]
    t.pace(0, NOW, 4 * PACE_S)
    assert t.belief(0, NOW).pace == pytest.approx(PACE_S, rel=0.01)


def test_one_long_answer_of_few_events_teaches_most_of_it() -> None:
    t = tracker()
    t.saw_tokens(0, 400, 20)
    assert t.tokens_per_event[0] == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize(("tokens", "events"), [(0, 10), (10, 0), (-1, 10), (0, 0)])
def test_an_answer_without_counts_teaches_no_tokens_per_event(tokens: int, events: int) -> None:
    t = tracker()
    t.saw_tokens(0, tokens, events)
    assert t.tokens_per_event[0] == 1.0


def test_a_pace_of_nothing_is_the_clocks_resolution() -> None:
    t = tracker()
    t.pace(0, NOW, 0.0)
    y = math.log(1e-4 / PACE_S)
    assert t.belief(0, NOW).pace == pytest.approx(PACE_S * math.exp((y + 2 * y / 3) / 3))


def test_a_whole_answer_that_took_twice_as_long_slows_both_wait_and_pace() -> None:
    t = tracker()
    expected = BASE_S + 100 * PACE_S
    t.whole(0, NOW, NET_S + 2 * expected, 1_000, 100)
    y = math.log(2)
    b = t.belief(0, NOW)
    assert b.level == pytest.approx(y / 3)
    assert b.pace == pytest.approx(PACE_S * math.exp((y + 2 * y / 3) / 3))


def test_a_whole_answer_as_predicted_changes_nothing_but_the_doubt() -> None:
    t = tracker()
    t.whole(0, NOW, NET_S + BASE_S * math.exp(prompt_log(9_000)) + 100 * PACE_S, 9_000, 100)
    b = t.belief(0, NOW)
    assert (b.level, b.pace, b.samples) == pytest.approx((0.0, PACE_S, 1.0))


@pytest.mark.parametrize(("tokens", "told"), [(0, False), (1, False), (2, True)])
def test_a_whole_answer_of_one_token_tells_no_pace(tokens: int, told: bool) -> None:
    t = tracker()
    t.whole(0, NOW, 30.0, 1_000, tokens)
    assert (t.belief(0, NOW).pace > 2 * PACE_S) is told
    assert t.belief(0, NOW).level > 0.5


# ---------------------------------------------------------------------- load and renewal
def test_the_send_rate_is_a_share_of_the_quota() -> None:
    """30 calls a second of 10 ms of quota each, for a minute: 30 %."""
    t = tracker()
    for k in range(1_800):
        t.sent(0, NOW + k / 30, 0.01)
    assert t.belief(0, NOW + 60).sent == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    "news",
    [
        lambda t: t.first_content(0, NOW, 3.0, 1_000),
        lambda t: t.silent(0, NOW, 3.0, 1_000),
        lambda t: t.failed(0, NOW, rate_limited=True),
        lambda t: t.answered(0, NOW, measurement()),
        lambda t: t.pace(0, NOW, 0.1),
        lambda t: t.whole(0, NOW, 9.0, 1_000, 100),
    ],
)
def test_any_news_is_believed_at_once(news: Callable[[LatencyTracker], None]) -> None:
    t = tracker()
    t.failed(0, NOW, rate_limited=False)
    before = t.beliefs[0]
    news(t)
    assert t.beliefs[0] == t.belief(0, NOW) != before


def test_beliefs_are_renewed_by_news_at_once_and_by_age_every_few_seconds() -> None:
    t = tracker()
    feed(t, *[1.0] * 20)
    fresh = t.beliefs[0]
    assert fresh == t.belief(0, NOW)
    t.renew(NOW)
    assert t.renew(NOW + RENEW_S)[0] == fresh
    assert t.renew(NOW + RENEW_S + 0.1)[0].level < fresh.level


# ---------------------------------------------------------------------- as a library
def test_record_learns_everything_of_a_streamed_request() -> None:
    t = tracker()
    t.record("b", LatencyMeasurement(40.0, 0.0, 540.0, 2_000.0, 2_540.0, 101), NOW)
    b = t.belief(1, NOW)
    assert t.net_s[1] == 0.04
    assert (b.level, b.pace, b.samples) == pytest.approx((0.0, PACE_S, 1.0))
    assert t.get_percentile("b", 50) == pytest.approx(2_540, rel=0.05)
    assert t.known[1].newest_at == NOW


def test_measure_request_calls_learns_and_hands_back() -> None:
    t = tracker()
    response, seen = t.measure_request("a", lambda prompt: (prompt.upper(), measurement()), NOW, prompt="hello")
    assert (response, seen) == ("HELLO", measurement())
    assert t.known[0].newest_at == NOW + 3.0


def test_percentiles_of_the_total_are_measured_and_infinite_without_samples() -> None:
    t = tracker()
    assert t.get_percentile("a", 95) == math.inf
    for k in range(1, 101):
        t.answered(0, NOW, measurement(total_ms=1_000.0 + 10 * k))
    assert t.get_percentile("a", 95) == pytest.approx(1_950, rel=0.05)


def test_an_unknown_deployment_is_a_key_error() -> None:
    t = tracker()
    for ask in (lambda: t.get_percentile("c", 50), lambda: t.record("c", measurement(), NOW)):
        with pytest.raises(KeyError, match="c"):
            ask()


def test_the_network_prior_is_the_round_trip_from_the_origin_region() -> None:
    made = fleet(deployment("a", region="swedencentral"), deployment("b"))
    assert LatencyTracker(made, "swedencentral").net_s[0] == pytest.approx(0.002)
    assert LatencyTracker(made, "eastus").net_s[0] == pytest.approx(made.rtt_ms("eastus", "swedencentral") / 1000)
    assert LatencyTracker(made).net_s[1] == pytest.approx(0.002)  # by default from the first region of the fleet

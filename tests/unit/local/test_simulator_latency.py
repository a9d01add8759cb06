"""The simulator's law of latency: the prior's quantiles, and what bends them."""

import math
from itertools import pairwise
from random import Random
from statistics import median, quantiles, stdev

import pytest

from local.simulator.latency import Z90, Z99, Drift, Spells, Weather, prompt_factor, serve, ttft_ms
from routing.fleet import LatencyProfile

PRIOR = LatencyProfile(
    ttft_ms=920.0, ttft_p90_ms=2_200.0, ttft_p99_ms=6_900.0, tokens_per_second=55.0, p95_total_ms=11_800.0
)
REGIONS = ("eastus", "westeurope", "westus")


@pytest.mark.parametrize(("z", "expected"), [(0.0, 920.0), (Z90, 2_200.0), (Z99, 6_900.0)])
def test_the_law_goes_through_the_priors_three_quantiles(z: float, expected: float) -> None:
    assert ttft_ms(PRIOR, z) == pytest.approx(expected)


def test_the_lower_half_is_half_as_wide_as_the_upper() -> None:
    below, above = math.log(920 / ttft_ms(PRIOR, -1)), math.log(ttft_ms(PRIOR, 1) / 920)
    assert below == pytest.approx(above / 2)


def test_draws_have_the_priors_quantiles() -> None:
    rng = Random(1)
    drawn = [serve(PRIOR, 1_000, 0.0, 1.0, rng).ttft_s * 1_000 for _ in range(40_000)]
    cuts = quantiles(drawn, n=100)
    assert median(drawn) == pytest.approx(920, rel=0.02)
    assert cuts[89] == pytest.approx(2_200, rel=0.03)
    assert cuts[98] == pytest.approx(6_900, rel=0.05)


@pytest.mark.parametrize(("tokens", "factor"), [(0, 1 / 1.05), (1_000, 1.0), (20_000, 2 / 1.05)])
def test_longer_prompts_take_longer(tokens: int, factor: float) -> None:
    assert prompt_factor(tokens) == pytest.approx(factor)


@pytest.mark.parametrize(("load", "ttft", "token"), [(0.25, 1.03125, 1.125), (1.0, 1.5, 2.0)])
def test_load_slows_the_first_token_by_its_square_and_the_pace_by_its_power_of_1_5(
    load: float, ttft: float, token: float
) -> None:
    idle, loaded = serve(PRIOR, 1_000, 0.0, 1.0, Random(7)), serve(PRIOR, 1_000, load, 1.0, Random(7))
    assert loaded.ttft_s == pytest.approx(ttft * idle.ttft_s)
    assert loaded.token_s == pytest.approx(token * idle.token_s)


def test_a_slowdown_stretches_the_first_token_and_not_the_pace() -> None:
    usual, slow = serve(PRIOR, 1_000, 0.2, 1.0, Random(7)), serve(PRIOR, 1_000, 0.2, 6.0, Random(7))
    assert slow.ttft_s == pytest.approx(6 * usual.ttft_s)
    assert slow.token_s == usual.token_s


def test_the_pace_is_log_normal_around_the_priors() -> None:
    rng = Random(2)
    logs = [math.log(serve(PRIOR, 1_000, 0.0, 1.0, rng).token_s * 55) for _ in range(20_000)]
    assert median(logs) == pytest.approx(0, abs=0.01)
    assert stdev(logs) == pytest.approx(0.15, rel=0.03)


def test_drift_has_its_deviation_and_its_time_constant() -> None:
    rng = Random(3)
    drift = Drift(0.0, rng)
    path = [drift.log_factor(60.0 * step, rng) for step in range(20_000)]
    assert stdev(path) == pytest.approx(0.1, rel=0.05)
    together = sum(a * b for a, b in pairwise(path)) / len(path)
    assert together / stdev(path) ** 2 == pytest.approx(math.exp(-1), abs=0.03)


def test_drift_stands_still_within_one_moment() -> None:
    rng = Random(4)
    drift = Drift(0.0, rng)
    assert drift.log_factor(5.0, rng) == drift.log_factor(5.0, rng)


def test_spells_come_every_three_to_six_minutes_to_one_region_for_half_a_minute() -> None:
    rng = Random(5)
    spells = Spells(REGIONS, 0.0, rng)
    seen: list[tuple[float, str, float]] = []  # second, region, factor
    for second in range(36_000):
        factors = {region: spells.factor(region, float(second), rng) for region in REGIONS}
        slow = [(float(second), region, factor) for region, factor in factors.items() if factor != 1.0]
        assert len(slow) <= 1
        seen += slow
    starts = [now for before, now in pairwise([(-1e9, "", 1.0), *seen]) if now[0] - before[0] > 1]
    gaps = [b[0] - a[0] for a, b in pairwise(starts)]
    assert min(gaps) >= 179
    assert max(gaps) <= 361
    assert all(4 <= factor <= 8 for _, _, factor in seen)
    assert 20 <= len(seen) / len(starts) <= 40
    assert {region for _, region, _ in seen} == set(REGIONS)


def test_calm_weather_slows_nothing() -> None:
    weather = Weather(REGIONS, 0.0, Random(6), calm=True)
    assert {weather.slowdown("eastus", float(now), Random(6)) for now in range(0, 3_600, 7)} == {1.0}


def test_weather_is_drift_times_spell() -> None:
    rng = Random(8)
    weather = Weather(("eastus",), 0.0, rng, calm=False)
    slowdowns = [weather.slowdown("eastus", float(now), rng) for now in range(7_200)]
    assert median(slowdowns) == pytest.approx(1, abs=0.1)
    assert max(slowdowns) > 3

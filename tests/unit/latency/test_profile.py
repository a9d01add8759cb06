"""Profiles: what is shown of each deployment."""

from __future__ import annotations

import json

import pytest

from routing.latency.profile import Profile, profiles
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import deployment, fleet

NOW = 1_000.0


def measured() -> list[Profile]:
    tracker = LatencyTracker(fleet(deployment("a"), deployment("b", region="westus")), "eastus")
    tracker.record("b", LatencyMeasurement(60.0, 0.0, 560.0, 2_000.0, 2_560.0, 100), NOW)
    tracker.failed(1, NOW, rate_limited=False)
    return profiles(tracker, NOW + 5)


def test_every_deployment_has_one_in_the_fleets_order() -> None:
    assert [(p.deployment, p.model, p.region) for p in measured()] == [("a", "m", "eastus"), ("b", "m", "westus")]


def test_without_measurements_it_says_prior_and_tells_no_percentiles() -> None:
    untouched = measured()[0]
    assert (untouched.source, untouched.samples, untouched.age_s, untouched.failing) == ("prior", 0.0, None, 0.0)
    assert (untouched.ttft_p50_ms, untouched.total_p99_ms) == (None, None)
    assert untouched.network_ms == 2.0
    assert untouched.model_ttft_ms == pytest.approx(500 * 2 ** (-0.2 / 1.2816), abs=0.1)


def test_measured_percentiles_are_within_five_percent() -> None:
    seen = measured()[1]
    assert (seen.source, seen.age_s, seen.network_ms) == ("measured", 5.0, 60.0)
    assert seen.samples == pytest.approx(1.0, abs=0.02)
    assert [seen.ttft_p50_ms, seen.ttft_p95_ms, seen.ttft_p99_ms] == [pytest.approx(560, rel=0.05)] * 3
    assert [seen.total_p50_ms, seen.total_p95_ms, seen.total_p99_ms] == [pytest.approx(2_560, rel=0.05)] * 3
    assert seen.tokens_per_second == pytest.approx(50, rel=0.05)
    assert 0 < seen.failing < 0.2


def test_it_is_plain_json() -> None:
    assert [json.loads(json.dumps(p.as_dict()))["deployment"] for p in measured()] == ["a", "b"]


def test_a_clock_that_steps_back_shows_no_negative_age() -> None:
    tracker = LatencyTracker(fleet(deployment("a")), "eastus")
    tracker.record("a", LatencyMeasurement(60.0, 0.0, 560.0, 2_000.0, 2_560.0, 100), NOW)
    assert profiles(tracker, NOW - 60)[0].age_s == 0.0

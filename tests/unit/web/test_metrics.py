"""Metrics in Prometheus' text format."""

from __future__ import annotations

import re

import pytest

from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.errors import RequestTooLarge
from routing.latency.tracker import LatencyTracker
from routing.outcome import AttemptRecord, LatencyMeasurement, Outcome, Verdict
from routing.ports import Override
from routing.store.memory import MemoryStore
from routing.web import metrics
from routing.web.metrics import Metrics
from tests.unit.fleets import equal

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"(,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? (-?[0-9.e+-]+|\+Inf)$')


def outcome(status: int = 200, error: str | None = None, ttft_ms: float = 400.0, **changes: object) -> Outcome:
    """One request that was hedged."""
    attempts = [
        AttemptRecord("d0", Verdict.IGNORED, False, 0.4, 300.0),
        AttemptRecord("d1", Verdict.SUCCESS, True, 200.0, 900.0),
    ]
    measured = LatencyMeasurement(2.0, 0.0, ttft_ms, 500.0, ttft_ms + 500.0, 50)
    made = Outcome("r", "web", status, "d1", "m", "hedge_won", "met", error, measured, None, 900.0, attempts)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def sync() -> Sync:
    return Sync(LatencyRouter(LatencyTracker(equal(2))), MemoryStore())


def lines(counted: Metrics, sync: Sync) -> list[str]:
    return counted.text(sync, {"recorded": 2}).splitlines()


def test_every_line_is_a_comment_or_a_sample_and_every_name_is_described_once(sync: Sync) -> None:
    counted = Metrics()
    counted.saw(outcome())
    counted.saw(outcome(502, 'made "up"\n\\', attempts=[], measurement=None))
    sync.store.rejected["samples:future"] += 3
    text = lines(counted, sync)
    samples = [line for line in text if not line.startswith("#")]
    assert all(SAMPLE.match(line) for line in samples), [line for line in samples if not SAMPLE.match(line)]
    described = [line.split()[2] for line in text if line.startswith("# TYPE")]
    assert len(described) == len(set(described))
    named = {re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]) for line in samples}
    assert named <= set(described)


def test_requests_attempts_and_hedges_are_counted(sync: Sync) -> None:
    counted = Metrics()
    for _ in range(3):
        counted.saw(outcome())
    counted.saw(outcome(429, "all_deployments_rate_limited"))
    text = lines(counted, sync)
    for line in (
        'router_requests_total{status="200",outcome="ok"} 3',
        'router_requests_total{status="429",outcome="all_deployments_rate_limited"} 1',
        'router_attempts_total{deployment="d0",verdict="ignored"} 4',
        'router_attempts_total{deployment="d1",verdict="success"} 4',
        'router_hedges_total{won="true"} 4',
        'router_targets_total{slo="met"} 3',
        'router_targets_total{slo="unanswered"} 1',
        'router_measurements_total{outcome="recorded"} 2',
        "router_duration_seconds_count 3",
        'router_in_flight{deployment="d0"} 0',
        "router_instances 1",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("error", "slo", "counted"),
    [
        (None, "met", "met"),
        ("server_error", "met", "unanswered"),
        ("caller_stalled", "met", "unanswered"),
        ("caller_left", "met", "met"),
        ("all_deployments_failed", "predicted_met", "unanswered"),
        ("ttft_timeout", "missed", "missed"),
        ("server_error", "none", "none"),
    ],
)
def test_a_target_is_met_by_an_answer_that_did_not_fail(sync: Sync, error: str | None, slo: str, counted: str) -> None:
    seen = Metrics()
    seen.saw(outcome(error=error, slo=slo))
    targets = [line for line in lines(seen, sync) if line.startswith("router_targets_total")]
    assert targets == [f'router_targets_total{{slo="{counted}"}} 1']


def test_what_is_refused_before_routing_is_a_request_without_target_and_latency(sync: Sync) -> None:
    counted = Metrics()
    counted.refused(RequestTooLarge("too large"))
    text = lines(counted, sync)
    assert 'router_requests_total{status="413",outcome="request_too_large"} 1' in text
    samples = [line for line in text if not line.startswith("#")]
    assert not [line for line in samples if line.startswith(("router_targets", "router_duration", "router_overhead"))]


def test_a_histogram_is_cumulative_and_its_bounds_are_inclusive(sync: Sync) -> None:
    counted = Metrics()
    for ttft_ms in (50.0, 100.0, 100.1, 90_000.0):
        counted.saw(outcome(ttft_ms=ttft_ms))
    values = dict(line.rsplit(" ", 1) for line in lines(counted, sync) if "ttft" in line and line[0] != "#")
    assert values['router_ttft_seconds_bucket{deployment="d1",le="0.05"}'] == "1"
    assert values['router_ttft_seconds_bucket{deployment="d1",le="0.1"}'] == "2"
    assert values['router_ttft_seconds_bucket{deployment="d1",le="60"}'] == "3"
    assert values['router_ttft_seconds_bucket{deployment="d1",le="+Inf"}'] == "4"
    assert values['router_ttft_seconds_count{deployment="d1"}'] == "4"
    assert float(values['router_ttft_seconds_sum{deployment="d1"}']) == pytest.approx(90.2501)


def test_codes_that_providers_make_up_do_not_become_labels_without_end(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_OUTCOMES", 3)
    counted = Metrics()
    for n in range(10):
        counted.saw(outcome(400, f"made_up_{n}"))
    requests = [line for line in lines(counted, sync) if line.startswith("router_requests_total")]
    assert len(requests) == 4
    assert 'router_requests_total{status="400",outcome="other"} 7' in requests


async def test_sharing_and_orders_are_shown(sync: Sync) -> None:
    now = sync.router.clock.now()
    assert not [line for line in lines(Metrics(), sync) if line.startswith("router_profile_age_seconds ")]
    await sync.store.order(Override("d0", "ops", now + 60, "drain"), now)
    sync.router.tracker.first_content(0, now, 0.3, 1000)
    sync.store.rejected["samples:future"] += 3
    await sync.refresh()
    text = lines(Metrics(), sync)
    for line in (
        'router_store_stages_total{stage="merge",result="ok"} 1',
        'router_store_stages_total{stage="orders",result="ok"} 1',
        "router_store_rows_total 1",
        "router_unknown_rows 0",
        'router_rejected_rows_total{table="samples",reason="future"} 3',
        'router_ordered{deployment="d0",state="drain"} 1',
    ):
        assert line in text, line
    age = next(line for line in text if line.startswith("router_profile_age_seconds "))
    assert 0 <= float(age.split()[1]) < 60

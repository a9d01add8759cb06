"""Measurements: their parts add up."""

from __future__ import annotations

import pytest

from routing.outcome import AttemptRecord, LatencyMeasurement, Outcome, Verdict


def test_total_is_network_queue_model_and_generation() -> None:
    seen = LatencyMeasurement(40.0, 25.0, 540.0, 2_000.0, 2_540.0, 100)
    assert seen.model_ttft_ms == 475.0
    assert seen.network_ms + seen.queue_ms + seen.model_ttft_ms + seen.generation_ms == seen.total_ms


@pytest.mark.parametrize(("generation_ms", "expected"), [(2_000.0, 50.0), (0.0, 0.0)])
def test_tokens_per_second_are_those_of_the_generation(generation_ms: float, expected: float) -> None:
    assert LatencyMeasurement(40.0, 0.0, 540.0, generation_ms, 2_540.0, 100).tokens_per_second == expected


def test_a_queue_that_no_header_told_is_marked_as_estimated() -> None:
    assert LatencyMeasurement(1.0, 0.0, 1.0, 0.0, 1.0, 1).queue_estimated


def test_outcomes_share_no_list_of_attempts() -> None:
    first, second = Outcome("1", "c", 200), Outcome("2", "c", 200)
    first.attempts.append(AttemptRecord("a", Verdict.SUCCESS, False, 0.0, 1.0))
    assert second.attempts == []

"""When bytes are seen: the network shifts a stream and keeps its shape."""

import pytest

from local.simulator.latency import HEADERS_SHARE, Service
from local.simulator.timeline import Timeline

# Arrived at 10.0, 50 ms each way, waited in line until 10.25.
FAR = Timeline(arrived=10.0, half_trip=0.05, started=10.25, service=Service(ttft_s=1.0, token_s=0.1))
NEAR = Timeline(arrived=10.0, half_trip=0.0, started=10.25, service=Service(ttft_s=1.0, token_s=0.1))


def test_tokens_come_evenly_after_the_first() -> None:
    assert [FAR.token(i) for i in range(3)] == pytest.approx([11.30, 11.40, 11.50])


def test_half_the_round_trip_shifts_every_byte() -> None:
    assert FAR.headers - NEAR.headers == pytest.approx(0.05)
    assert {round(FAR.token(i) - NEAR.token(i), 9) for i in range(50)} == {0.05}


def test_headers_leave_before_the_first_token() -> None:
    assert FAR.headers == pytest.approx(10.25 + HEADERS_SHARE + 0.05)
    assert FAR.headers < FAR.token(0)


def test_processing_time_holds_the_wait_in_line_and_no_network() -> None:
    assert FAR.processing_s(FAR.token(0)) == pytest.approx(0.2 + 1.0)


def test_due_counts_what_should_have_been_seen() -> None:
    assert [FAR.due(FAR.token(i) + 0.01) for i in (0, 1, 7)] == [1, 2, 8]

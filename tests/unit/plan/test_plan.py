"""One request's life: the first choice answers, and what is learned and recorded of it."""

from __future__ import annotations

import math

import pytest

from routing.errors import ConnectionLost, ServerError
from routing.outcome import LatencyMeasurement, Verdict
from routing.plan import (
    Cancel,
    Commit,
    Ended,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Progress,
    Start,
    Tick,
    WakeAt,
)
from routing.plan.plan import CEILING_S
from tests.unit.plan.life import DONE, abc, ask, scripted

FAILED = ServerError("500")


# ---------------------------------------------------------------------- the first choice answers
def test_the_first_choice_answers() -> None:
    life = scripted()
    assert life.on(Start(), 0.0) == [Open(0, 0), WakeAt(CEILING_S)]
    assert life.view.slots.in_flight == [1, 0, 0, 0]
    assert life.on(FirstContent(0), 0.4) == [Commit(0)]
    assert life.on(Progress(0, 0.02), 1.0) == []
    assert life.on(Ended(0, DONE), 2.5) == []
    assert life.plan.over
    assert life.view.slots.in_flight == [0, 0, 0, 0]


def test_an_answer_teaches_the_tracker_everything_once() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0, network_s=0.01, utilisation=0.6), 0.4)
    life.on(Progress(0, 0.02), 1.0)
    life.on(Ended(0, DONE, events=50), 2.5)
    known, tracker = life.view.tracker.known[0], life.view.tracker
    assert (tracker.net_s[0], life.view.quota.used[0]) == (0.01, 0.6)
    assert known.ttft_ms.count(2.5) == pytest.approx(1.0, rel=0.01)
    assert known.total_ms.count(2.5) == pytest.approx(1.0, rel=0.01)
    assert tracker.belief(0, 2.5).samples == pytest.approx(1.0, rel=0.05)
    assert tracker.belief(0, 2.5).sent > 0
    assert tracker.tokens_per_event[0] > 1.0  # 101 tokens in 50 events


def test_a_whole_answer_is_learned_at_its_end() -> None:
    """How much of it was wait is not seen: no time to first token is noted."""
    life = scripted(asked=ask(streamed=False))
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 2.5)
    assert life.view.tracker.belief(0, 2.5).samples == 0.0
    life.on(Ended(0, DONE), 2.5)
    assert life.view.tracker.belief(0, 2.5).samples == 1.0
    assert life.view.tracker.known[0].ttft_ms.count(2.5) == 0.0


def test_every_request_moves_the_mean_prompt_that_costs_are_measured_in() -> None:
    life = scripted(asked=ask(tokens_in=2_000))
    life.on(Start(), 0.0)
    assert life.view.mean_prompt == pytest.approx(1_010.0)


def test_a_record_is_kept_of_every_attempt() -> None:
    life = scripted()
    life.on(Start(), 10.0)
    life.on(Failed(0, FAILED), 10.2)
    life.on(FirstContent(1), 10.7)
    life.on(Ended(1, DONE), 12.0)
    first, second = life.plan.records()
    assert (first.deployment, first.verdict, first.error) == ("a", Verdict.DROPPED, "server_error")
    assert (second.deployment, second.verdict, second.error) == ("b", Verdict.SUCCESS, None)
    assert [first.sent_ms, first.ended_ms] == [pytest.approx(10_000.0), pytest.approx(10_200.0)]
    assert life.plan.reason == "fallback"


def test_a_second_report_of_the_same_first_content_changes_nothing() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.on(FirstContent(0), 0.4) == []
    assert life.view.slots.in_flight == [1, 0, 0, 0]


def test_the_end_of_an_attempt_that_was_not_committed_ends_nothing() -> None:
    life = scripted(hedge_s=0.1)
    life.on(Start(), 0.0)
    life.on(Tick(), 0.1)
    assert life.on(Ended(0, DONE), 0.2) == []
    assert not life.plan.over
    assert life.view.slots.in_flight == [1, 1, 0, 0]


# ---------------------------------------------------------------------- after the commit
def test_a_failure_after_the_commit_is_told_and_nothing_is_tried() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.on(Failed(0, FAILED), 1.0) == [GiveUp(FAILED)]
    assert life.called == ["a"]
    assert life.plan.attempts[0].verdict is Verdict.DROPPED
    assert life.view.health.in_a_row[0] == 1


def test_a_proper_end_clears_the_failures_in_a_row_and_mere_content_does_not() -> None:
    """Else a deployment whose streams all break after their first token would never be ejected."""
    life = scripted()
    life.view.health.in_a_row[0] = 2
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.view.health.in_a_row[0] == 2
    life.on(Ended(0, DONE, 50), 2.5)
    assert life.view.health.in_a_row[0] == 0


def test_streams_that_always_break_eject_their_deployment() -> None:
    on = abc()
    for n in range(3):
        life = scripted(on=on)
        life.on(Start(), 10.0 * n)
        life.on(FirstContent(0), 10.0 * n + 0.4)
        life.on(Failed(0, ConnectionLost("the stream was cut")), 10.0 * n + 1.0)
    assert on.health.why[0] == "ejected"


@pytest.mark.parametrize(
    ("tokens", "events", "learned"),
    [(400, 20, True), (20, 20, False), (400, 3, False), (400, 24, False)],
    ids=["many tokens in few events", "short", "too few events", "has shown it before"],
)
def test_the_pace_of_a_stream_of_few_events_is_learned_at_its_end(tokens: int, events: int, learned: bool) -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    took = LatencyMeasurement(2.0, 0.0, 400.0, 800.0, 1_200.0, tokens)
    life.on(Ended(0, took, events), 1.2)
    belief = life.view.tracker.belief(0, 1.2)
    assert (belief.pace < 0.8 * life.view.tracker.prior_pace[0]) == learned


def test_tokens_that_nobody_counted_teach_no_tokens_per_event() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    life.on(Ended(0, DONE, 50, counted=False), 2.5)
    assert life.view.tracker.tokens_per_event[0] == 1.0


def test_a_whole_answer_teaches_no_tokens_per_event() -> None:
    """Its one event is the answer."""
    life = scripted(asked=ask(streamed=False))
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 2.5)
    life.on(Ended(0, DONE, 1), 2.5)
    assert life.view.tracker.tokens_per_event[0] == 1.0


def test_a_tick_after_the_commit_waits_for_the_deadline_and_no_longer() -> None:
    life = scripted(asked=ask(deadline_s=30.0))
    life.on(Start(), 0.0)
    assert life.on(FirstContent(0), 0.4) == [Commit(0), WakeAt(30.0)]
    assert life.on(Tick(), 20.0) == [WakeAt(30.0)]
    assert life.on(Tick(), 30.0) == [GiveUp(life.error), Cancel(0)]
    assert life.error.code == "total_timeout"
    assert life.plan.attempts[0].verdict is Verdict.IGNORED


def test_without_a_deadline_a_committed_answer_may_take_for_ever() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.on(Tick(), CEILING_S + 1) == [WakeAt(math.inf)]
    assert life.on(Ended(0, DONE), 1_000.0) == []

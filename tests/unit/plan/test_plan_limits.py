"""Limits: patience, the deadline, the ceiling, and targets that are required."""

from __future__ import annotations

import pytest

from routing.errors import (
    AttemptTimedOut,
    DeadlineExceeded,
    ServerError,
)
from routing.health.ejection import IN_A_ROW
from routing.outcome import Verdict
from routing.plan import (
    Cancel,
    Commit,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Progress,
    Start,
    Tick,
    WakeAt,
)
from routing.plan.plan import CEILING_S, NO_TARGET_PATIENCE
from routing.policy.view import View
from routing.request import Ask, LatencyPriority
from tests.unit.fleets import deployment, view
from tests.unit.plan.life import Life, Scripted, abc, ask, scripted

FAILED = ServerError("500")


# ---------------------------------------------------------------------- hanging
def test_a_hanging_call_is_dropped_after_its_patience_and_another_is_tried() -> None:
    life = scripted(patience_s=3.0, asked=ask(deadline_s=60.0))
    life.on(Start(), 0.0)
    assert life.wake_at == 3.0
    actions = life.on(Tick(), 3.0)
    assert actions[:2] == [Cancel(0), Open(1, 1)]
    assert life.wake_at == 6.0
    assert life.plan.attempts[0].verdict is Verdict.DROPPED
    assert life.view.tracker.belief(0, 3.0).level > 0  # its silence counts
    assert life.view.tracker.belief(0, 3.0).keep < 1.0  # and so does its failure


def test_when_all_hang_the_caller_is_told_that_no_first_token_came() -> None:
    life = scripted(patience_s=3.0, on=view(deployment("a"), deployment("b")))
    life.on(Start(), 0.0)
    life.on(Tick(), 3.0)
    life.on(Tick(), 6.0)
    assert not life.plan.over, "nothing is left to go to: the last one gets all the time that its model has"
    life.on(Tick(), 3.0 + 60.0)
    assert isinstance(life.error, DeadlineExceeded)
    assert life.error.code == "ttft_timeout"


def test_an_only_deployment_that_is_slow_gets_to_answer() -> None:
    life = scripted(patience_s=3.0, on=view(deployment("a")))
    life.on(Start(), 0.0)
    assert life.on(Tick(), 3.0) == [WakeAt(60.0)]
    assert life.on(FirstContent(0), 15.0) == [Commit(0)]


def test_the_last_of_three_tries_is_not_given_up_for_a_fourth() -> None:
    life = scripted(patience_s=3.0)
    life.on(Start(), 0.0)
    for moment in (3.0, 6.0, 9.0):
        life.on(Tick(), moment)
    assert life.called == ["a", "b", "c"]
    assert life.on(FirstContent(2), 40.0) == [Commit(2)]


def test_a_call_that_was_silent_before_its_deployment_recovered_is_not_held_against_it() -> None:
    """It may be given up long after: by then others have been answered."""
    on = view(deployment("a"))
    life = scripted(patience_s=3.0, on=on)
    life.on(Start(), 0.0)
    life.on(Tick(), 3.0)
    later = scripted(on=on)
    later.on(Start(), 30.0)
    later.on(FirstContent(0), 30.5)
    later.on(Failed(0, FAILED), 31.0)
    on.health.succeeded(0)
    life.on(Tick(), 60.0)
    assert life.error.code == "ttft_timeout"
    assert on.health.in_a_row == [0]


def test_a_whole_answer_may_take_as_long_as_the_platform_waits() -> None:
    life = scripted(patience_s=3.0, on=view(deployment("a")), asked=ask(streamed=False))
    life.on(Start(), 0.0)
    assert life.on(Tick(), 3.0) == [WakeAt(200.0)]


def test_the_deadline_binds_the_last_try() -> None:
    life = scripted(patience_s=3.0, on=view(deployment("a")), asked=ask(deadline_s=20.0))
    life.on(Start(), 0.0)
    assert life.on(Tick(), 3.0) == [WakeAt(20.0)]


def test_at_the_deadline_exactly_the_request_ends() -> None:
    life = scripted(asked=ask(deadline_s=10.0))
    life.on(Start(), 0.0)
    assert life.wake_at == 10.0
    assert life.on(Tick(), 9.999) == [WakeAt(10.0)]
    assert life.on(Tick(), 10.0) == [GiveUp(life.error), Cancel(0)]
    assert life.error.code == "total_timeout"


def test_a_failure_after_the_deadline_is_not_failed_over() -> None:
    life = scripted(asked=ask(deadline_s=10.0))
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 10.0)
    assert life.called == ["a"]
    assert life.error.code == "total_timeout"


def test_without_any_limit_the_first_content_is_awaited_to_the_ceiling() -> None:
    life = scripted()
    life.on(Start(), 50.0)  # the request arrived at 0: its limits count from there
    assert life.wake_at == CEILING_S
    life.on(Tick(), CEILING_S)
    assert life.error.code == "ttft_timeout"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (ask(deadline_s=5.0), "total_timeout"),
        (ask(target_s=5.0, require=True), "ttft_timeout"),
        (ask(), "ttft_timeout"),
    ],
)
def test_a_request_that_comes_too_late_is_sent_nowhere(asked: Ask, code: str) -> None:
    """Its time passed while it waited to be started."""
    life = scripted(asked=asked)
    (end,) = life.on(Start(), CEILING_S)
    assert isinstance(end, GiveUp)
    assert life.error.code == code
    assert life.called == []


@pytest.mark.parametrize(("target_s", "hedge_left"), [(8.0, 6.0), (None, NO_TARGET_PATIENCE)])
def test_the_policy_is_told_what_is_left_to_the_target_and_to_the_deadline(
    target_s: float | None, hedge_left: float
) -> None:
    """From now, for hedges to the target, for patience to the end. The script's own target is 1 s from the send."""
    policy = Scripted(hedge_s=0.5)
    life = Life(abc(), ask(target_s=target_s, deadline_s=30.0), policy, started_at=50.0)
    life.on(Start(), 52.0)
    life.on(Tick(), 52.5)
    assert policy.told == [
        ("patience", 28.0),
        ("hedge_after", hedge_left),
        ("hedge", hedge_left - 0.5),
        ("patience", 27.5),
    ]


def test_our_own_time_out_counts_as_a_failure_of_the_deployment() -> None:
    life = scripted(patience_s=1.0)
    life.on(Start(), 0.0)
    life.on(Tick(), 1.0)
    assert isinstance(life.plan.attempts[0].error, AttemptTimedOut)
    assert life.view.health.in_a_row[0] == 1


# ---------------------------------------------------------------------- require
@pytest.mark.parametrize(
    ("probability", "percentile", "sent"), [(0.945, 95.0, False), (0.95, 95.0, True), (0.5, 50.0, True)]
)
def test_a_required_target_is_sent_if_it_is_predicted_to_be_met_at_its_percentile(
    probability: float, percentile: float, sent: bool
) -> None:
    life = scripted(probability=probability, asked=ask(target_s=0.5, require=True, percentile=percentile))
    life.on(Start(), 0.0)
    assert bool(life.called) is sent


def test_a_required_target_that_nothing_is_predicted_to_meet_is_refused_with_both_figures() -> None:
    life = scripted(probability=0.9, asked=ask(target_s=0.5, require=True, percentile=95.0))
    (end,) = life.on(Start(), 0.0)
    assert isinstance(end, GiveUp)
    assert (life.error.code, life.error.status) == ("slo_unattainable", 503)
    assert "0.90" in life.error.message
    assert "0.95" in life.error.message


def test_without_a_target_there_is_nothing_to_require() -> None:
    life = scripted(probability=0.6, asked=ask(require=True))
    assert life.on(Start(), 0.0)[0] == Open(0, 0)


def test_without_require_an_unlikely_target_is_tried() -> None:
    life = scripted(probability=0.01, asked=ask(target_s=0.5))
    assert life.on(Start(), 0.0)[0] == Open(0, 0)


def test_a_required_first_token_is_not_awaited_beyond_its_target() -> None:
    life = scripted(asked=ask(target_s=0.5, require=True))
    life.on(Start(), 0.0)
    assert life.wake_at == 0.5
    life.on(Tick(), 0.5)
    assert life.error.code == "ttft_timeout"


def test_a_target_that_is_not_required_limits_nothing() -> None:
    life = scripted(asked=ask(target_s=0.5))
    life.on(Start(), 0.0)
    life.on(Tick(), 0.5)
    assert not life.plan.over
    assert life.on(FirstContent(0), 40.0) == [Commit(0)]


# ---------------------------------------------------------------------- answers that come whole
def hanging(deadline_s: float, requests: int) -> View:
    """A view after so many unstreamed requests to a deployment that says nothing, each given up at its deadline."""
    on = view(deployment("a"))
    for n in range(requests):
        asked = ask(deadline_s, deadline_s, LatencyPriority.TOTAL, streamed=False, expected_tokens=100.0)
        life = Life(on, asked, Scripted(), started_at=10.0 * n)
        life.on(Start(), 10.0 * n)
        life.on(Tick(), 10.0 * n + deadline_s)
        assert life.error.code == "total_timeout"
    return on


def test_a_deadline_that_passes_in_silence_is_held_against_the_deployment() -> None:
    """A hundred tokens take 2.5 s here: half of the answers would have come."""
    once, often = hanging(2.5, 1), hanging(2.5, 12)
    assert 0 < once.tracker.belief(0, 2.5).level < often.tracker.belief(0, 112.5).level
    assert often.health.in_a_row[0] == 0, "slow, as far as anybody knows"


def test_a_deployment_that_hangs_is_ejected_by_deadlines_alone() -> None:
    assert hanging(6.0, IN_A_ROW).health.in_a_row[0] == IN_A_ROW


def test_one_deadline_that_passes_long_after_the_answer_was_due_is_a_failure() -> None:
    assert hanging(30.0, 1).tracker.belief(0, 30.0).keep < 0.85


def test_a_hedge_that_wins_tells_of_the_silence_that_it_was_sent_for() -> None:
    asked = ask(None, None, LatencyPriority.TOTAL, streamed=False, expected_tokens=100.0)
    life = scripted(hedge_s=20.0, asked=asked)
    life.on(Start(), 0.0)
    life.on(Tick(), 20.0)
    life.on(FirstContent(1), 22.0)
    assert life.view.tracker.belief(0, 22.0).level > 0
    assert life.view.tracker.belief(1, 22.0).level == 0


def test_a_stream_that_was_cut_still_tells_its_pace() -> None:
    """The driver tells it when the plan has given the request up."""
    life = scripted(asked=ask(deadline_s=3.0))
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.5)
    life.on(Tick(), 3.0)
    assert life.plan.over
    assert life.on(Progress(0, 0.5), 3.0) == []
    assert life.view.tracker.belief(0, 3.0).pace > 0.1

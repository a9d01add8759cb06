"""One request's life: the first choice answers, or it does not and another takes over."""

from __future__ import annotations

import math

import pytest

from routing.errors import (
    AllDeploymentsFailed,
    AllRateLimited,
    AttemptTimedOut,
    ConnectFailed,
    ContextTooLong,
    DeadlineExceeded,
    Misconfigured,
    ProtocolError,
    ProviderRejected,
    RateLimited,
    RequestRejected,
    RouterError,
    ServerError,
)
from routing.outcome import Verdict
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
from routing.plan.plan import CEILING_S, MAX_TRIES
from routing.policy.view import FAILOVER_SHARE, FAILOVER_START
from tests.unit.fleets import deployment, model, view
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


# ---------------------------------------------------------------------- failing over
@pytest.mark.parametrize("error", [FAILED, ConnectFailed("refused"), ProtocolError("html"), Misconfigured("401")])
def test_a_failure_before_content_goes_to_another_at_once(error: ServerError) -> None:
    life = scripted()
    life.on(Start(), 0.0)
    assert life.on(Failed(0, error), 0.2)[0] == Open(1, 1)
    assert life.view.slots.in_flight == [0, 1, 0, 0]
    assert life.on(FirstContent(1), 0.7) == [Commit(1)]


def test_a_failure_is_told_to_health_and_tracker() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 0.002)
    assert life.view.health.in_a_row[0] == 1
    assert life.view.tracker.belief(0, 0.002).keep == pytest.approx(1 - 1 / 5)
    assert life.view.tracker.belief(0, 0.002).samples == 0.0  # it never counts as a fast sample


def test_refused_credentials_close_the_deployment() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, Misconfigured("401")), 0.1)
    assert life.view.health.why[0] == "misconfigured"
    assert life.view.health.closed_until[0] > 0.1


def test_three_tries_at_most() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    for number in range(MAX_TRIES - 1):
        life.on(Failed(number, FAILED), 0.1 * (number + 1))
    (end,) = life.on(Failed(MAX_TRIES - 1, FAILED), 0.5)
    assert isinstance(end, GiveUp)
    assert isinstance(life.error, AllDeploymentsFailed)
    assert life.called == ["a", "b", "c"]


def test_no_deployment_is_tried_twice() -> None:
    life = scripted(on=view(deployment("a"), deployment("b")))
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 0.1)
    life.on(Failed(1, FAILED), 0.2)
    assert life.called == ["a", "b"]
    assert isinstance(life.error, AllDeploymentsFailed)


def test_a_failover_is_paid_for_and_content_gives_it_back() -> None:
    life = scripted()
    purse = life.view.failovers
    life.on(Start(), 0.0)
    assert purse.content == FAILOVER_START
    life.on(Failed(0, FAILED), 0.1)
    assert purse.content == FAILOVER_START - 1
    life.on(FirstContent(1), 0.4)
    assert purse.content == FAILOVER_START


def test_every_request_pays_a_share_into_the_purse_for_failovers() -> None:
    life = scripted()
    life.view.failovers.content = 3.0
    life.on(Start(), 0.0)
    assert life.view.failovers.content == pytest.approx(3.0 + FAILOVER_SHARE)


def test_an_empty_purse_ends_the_request_with_its_error() -> None:
    life = scripted()
    life.view.failovers.content = 0.5
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 0.1)
    assert isinstance(life.error, AllDeploymentsFailed)
    assert life.called == ["a"]
    assert life.view.failovers.content == pytest.approx(0.5 + FAILOVER_SHARE)


def test_a_429_goes_to_another_without_paying() -> None:
    life = scripted()
    life.view.failovers.content = 0.0
    life.on(Start(), 0.0)
    assert life.on(Failed(0, RateLimited("429", 5.0)), 0.1)[0] == Open(1, 1)
    assert life.view.failovers.content == pytest.approx(FAILOVER_SHARE)
    assert life.view.health.closed_until[0] >= 5.1


def test_a_429_gives_nothing_back_either() -> None:
    life = scripted()
    life.view.failovers.content = 3.0
    life.on(Start(), 0.0)
    life.on(Failed(0, RateLimited("429")), 0.1)
    life.on(FirstContent(1), 0.2)
    assert life.view.failovers.content == pytest.approx(3.0 + FAILOVER_SHARE)


@pytest.mark.parametrize(("hedge_fails", "primary_fails", "paid"), [(429, 500, 1.0), (500, 429, 0.0)])
def test_what_is_paid_depends_on_the_failure_that_is_failed_over(
    hedge_fails: int, primary_fails: int, paid: float
) -> None:
    """Not on an earlier one, of the hedge."""
    errors = {429: RateLimited("429"), 500: FAILED}
    life = scripted(hedge_s=0.1)
    life.on(Start(), 0.0)
    life.on(Tick(), 0.1)
    life.on(Failed(1, errors[hedge_fails]), 0.2)
    life.on(Failed(0, errors[primary_fails]), 0.3)
    assert life.called == ["a", "b", "c"]
    assert life.view.failovers.content == pytest.approx(FAILOVER_START - paid)


def test_429_everywhere_is_a_429_with_the_smallest_retry_after() -> None:
    life = scripted(hedge_s=0.5, on=view(*(deployment(name) for name in "abc")))
    life.on(Start(), 0.0)
    for number, hint in enumerate((9.0, 3.0, 20.0)):
        life.on(Failed(number, RateLimited("429", hint)), 0.01 * (number + 1))
    assert isinstance(life.error, AllRateLimited)
    assert life.error.retry_after_s == pytest.approx(min(life.view.health.closed_until) - 0.03)
    assert 3.0 - 0.01 <= life.error.retry_after_s <= 4.5
    assert not any(a.hedge for a in life.plan.attempts)


def test_what_is_known_to_be_rate_limited_is_not_asked_at_all() -> None:
    life = scripted()
    for d in range(4):
        life.view.health.rate_limited(d, 0.0, 4.0 + d, life.plan.rng)
    (end,) = life.on(Start(), 1.0)
    assert isinstance(end, GiveUp)
    assert isinstance(life.error, AllRateLimited)
    assert life.error.retry_after_s == pytest.approx(min(life.view.health.closed_until) - 1.0)


def test_some_429_and_some_failures_are_a_failure() -> None:
    life = scripted(on=view(deployment("a"), deployment("b")))
    life.on(Start(), 0.0)
    life.on(Failed(0, RateLimited("429")), 0.1)
    life.on(Failed(1, FAILED), 0.2)
    assert isinstance(life.error, AllDeploymentsFailed)


# ---------------------------------------------------------------------- whose fault
def test_a_rejected_request_is_passed_on_and_tried_nowhere_else() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, RequestRejected("bad tool", 422, "tools[0]", "invalid_tool")), 0.1)
    error = life.error
    assert isinstance(error, ProviderRejected)
    assert (error.status, error.code, error.param, error.message) == (422, "invalid_tool", "tools[0]", "bad tool")
    assert life.called == ["a"]


def test_a_rejected_request_ends_a_hedge_too() -> None:
    life = scripted(hedge_s=0.1)
    life.on(Start(), 0.0)
    life.on(Tick(), 0.1)
    assert life.on(Failed(0, RequestRejected("no", 400)), 0.2) == [GiveUp(life.error), Cancel(1)]
    assert life.error.code == "invalid_request"


def test_a_rejected_request_is_no_fault_of_the_deployment() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, RequestRejected("no", 400)), 0.1)
    assert life.plan.attempts[0].verdict is Verdict.IGNORED
    assert life.view.health.in_a_row[0] == 0
    assert life.view.tracker.belief(0, 0.1).keep == 1.0


def windows() -> list[dict[str, object]]:
    return [model(name, context_window=size) for name, size in (("small", 8_000), ("same", 8_000), ("large", 200_000))]


def test_a_prompt_too_long_goes_to_larger_windows_only() -> None:
    made = view(*(deployment(m, model=m) for m in ("small", "same", "large")), models=windows())
    life = scripted(on=made)
    life.on(Start(), 0.0)
    assert life.on(Failed(0, ContextTooLong("too long")), 0.1)[0] == Open(1, 2)
    assert life.called == ["small", "large"]
    assert life.view.health.in_a_row[0] == 0


def test_a_prompt_too_long_for_all_is_the_callers() -> None:
    life = scripted(on=view(*(deployment(m, model=m) for m in ("small", "same")), models=windows()))
    life.on(Start(), 0.0)
    life.on(Failed(0, ContextTooLong("8000 tokens at most")), 0.1)
    error = life.error
    assert isinstance(error, ProviderRejected)
    assert (error.status, error.code, error.message) == (400, "context_length_exceeded", "8000 tokens at most")
    assert life.called == ["small"]


def test_a_request_for_one_try_is_never_sent_twice_once_accepted() -> None:
    life = scripted(hedge_s=0.1, asked=ask(one_try=True))
    life.on(Start(), 0.0)
    assert life.wake_at == CEILING_S  # no hedge is planned
    life.on(Failed(0, FAILED), 0.1)
    assert life.called == ["a"]
    assert isinstance(life.error, AllDeploymentsFailed)


def test_a_request_for_one_try_may_be_sent_again_if_no_byte_was_accepted() -> None:
    life = scripted(asked=ask(one_try=True))
    life.on(Start(), 0.0)
    assert life.on(Failed(0, ConnectFailed("refused")), 0.1)[0] == Open(1, 1)


def test_a_request_for_one_try_that_hangs_is_given_up() -> None:
    life = scripted(patience_s=2.0, asked=ask(one_try=True))
    life.on(Start(), 0.0)
    assert life.on(Tick(), 2.0)[0] == Cancel(0)
    assert life.error.code == "ttft_timeout"


# ---------------------------------------------------------------------- after the commit
def test_a_failure_after_the_commit_is_told_and_nothing_is_tried() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.on(Failed(0, FAILED), 1.0) == [GiveUp(FAILED)]
    assert life.called == ["a"]
    assert life.plan.attempts[0].verdict is Verdict.DROPPED
    assert life.view.health.in_a_row[0] == 1


def test_content_clears_the_failures_in_a_row() -> None:
    life = scripted()
    life.view.health.in_a_row[0] = 2
    life.on(Start(), 0.0)
    life.on(FirstContent(0), 0.4)
    assert life.view.health.in_a_row[0] == 0


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
    assert isinstance(life.error, DeadlineExceeded)
    assert life.error.code == "ttft_timeout"


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
def test_a_request_that_comes_too_late_is_sent_nowhere(asked: object, code: str) -> None:
    """Its time passed while it waited to be started."""
    life = scripted(asked=asked)  # type: ignore[arg-type]
    (end,) = life.on(Start(), CEILING_S)
    assert isinstance(end, GiveUp)
    assert life.error.code == code
    assert life.called == []


def test_our_own_time_out_counts_as_a_failure_of_the_deployment() -> None:
    life = scripted(patience_s=1.0)
    life.on(Start(), 0.0)
    life.on(Tick(), 1.0)
    assert isinstance(life.plan.attempts[0].error, AttemptTimedOut)
    assert life.view.health.in_a_row[0] == 1


# ---------------------------------------------------------------------- require
def test_a_required_target_that_nothing_is_predicted_to_meet_is_refused_unsent() -> None:
    life = scripted(probability=0.9, asked=ask(target_s=0.5, require=True, percentile=95.0))
    (end,) = life.on(Start(), 0.0)
    assert isinstance(end, GiveUp)
    assert (life.error.code, life.error.status) == ("slo_unattainable", 503)
    assert "0.90" in life.error.message
    assert "0.95" in life.error.message


def test_a_required_target_that_is_predicted_to_be_met_is_sent() -> None:
    life = scripted(probability=0.96, asked=ask(target_s=0.5, require=True, percentile=95.0))
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


@pytest.mark.parametrize("retry", [False, True])
def test_the_policy_is_told_the_time_left_and_whether_it_is_a_retry(retry: bool) -> None:
    life = scripted(asked=ask(target_s=2.0, client_retry=retry))
    life.on(Start(), 0.5)
    life.on(Failed(0, FAILED), 0.75)
    assert life.policy.chosen == [((0, 1, 2, 3), 1.5, retry), ((1, 2, 3), 1.25, True)]  # type: ignore[attr-defined]


def test_errors_tell_no_deployment() -> None:
    """What a caller reads names neither a deployment nor a region."""
    life = scripted(on=abc())
    life.on(Start(), 0.0)
    for number in range(3):
        life.on(Failed(number, FAILED), 0.1)
    assert isinstance(life.error, RouterError)
    assert life.error.message == "3 deployment(s) were tried and none gave an answer"

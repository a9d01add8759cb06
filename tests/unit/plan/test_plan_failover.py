"""Failing over: what goes to another deployment, who pays for it, and whose fault it was."""

from __future__ import annotations

import pytest

from routing.errors import (
    AdapterFault,
    AllDeploymentsFailed,
    AllRateLimited,
    AttemptError,
    ConnectFailed,
    ContextTooLong,
    Misconfigured,
    ProtocolError,
    ProviderRejected,
    RateLimited,
    RequestRejected,
    RouterError,
    ServerError,
)
from routing.health.ejection import IN_A_ROW
from routing.latency.sums import FAILURES, OWN_FAILURES, N
from routing.outcome import Verdict
from routing.plan import (
    Cancel,
    ClientGone,
    Commit,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Start,
    Tick,
    WakeAt,
)
from routing.plan.plan import CEILING_S, MAX_TRIES
from routing.policy.view import FAILOVER_SHARE, FAILOVER_START, View
from routing.ports import Override
from tests.unit.fleets import deployment, model, view
from tests.unit.plan.life import Life, Scripted, abc, ask, scripted

FAILED = ServerError("500")


# ---------------------------------------------------------------------- failing over
@pytest.mark.parametrize("error", [FAILED, ConnectFailed("refused"), ProtocolError("html"), Misconfigured("401")])
def test_a_failure_before_content_goes_to_another_at_once(error: AttemptError) -> None:
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


OWN = [ConnectFailed("refused"), Misconfigured("401"), AdapterFault("a fault")]


@pytest.mark.parametrize(("error", "counts"), [(FAILED, (1, 0)), *((error, (0, 1)) for error in OWN)])
def test_a_fault_of_our_own_region_tells_other_regions_nothing(error: AttemptError, counts: tuple[int, int]) -> None:
    """Its network and credentials, and our own code."""
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, error), 0.002)
    values = life.view.tracker.known[0].sums.values
    assert (values[FAILURES], values[OWN_FAILURES]) == counts


def test_a_request_that_our_code_cannot_send_ejects_nobody() -> None:
    on = abc()
    for _ in range(IN_A_ROW):
        life = scripted(on=on)
        life.on(Start(), 0.0)
        life.on(Failed(0, AdapterFault("a fault")), 0.002)
        life.on(FirstContent(1), 0.5)
    assert on.health.closed_until[0] == 0.0


def test_an_attempt_that_is_still_connecting_when_its_time_is_up_has_failed_to_connect() -> None:
    """Patience with a fast deployment ends before the transport's own limit."""
    life = scripted(patience_s=0.4)
    life.on(Start(), 0.0)
    life.plan.attempts[0].way.connecting = True
    life.on(Tick(), 0.4)
    assert isinstance(life.plan.attempts[0].error, ConnectFailed)
    values = life.view.tracker.known[0].sums.values
    assert (values[FAILURES], values[OWN_FAILURES], values[N]) == (0, 1, 0), "nor was it slow"


@pytest.mark.parametrize(("after_s", "failures"), [(0.1, 0), (0.6, 1)])
def test_a_caller_who_leaves_while_we_connect_says_nothing_of_the_deployment(after_s: float, failures: int) -> None:
    """A connection that takes half a second has lost a packet."""
    life = scripted()
    life.on(Start(), 0.0)
    life.plan.attempts[0].way.connecting = True
    life.on(ClientGone(), after_s)
    values = life.view.tracker.known[0].sums.values
    assert (values[FAILURES], values[OWN_FAILURES], values[N]) == (0, failures, 0)


def test_what_was_predicted_is_told_of_each_attempt() -> None:
    life = scripted(hedge_s=0.5)
    life.on(Start(), 0.0)
    life.on(Tick(), 0.5)
    life.on(Failed(1, FAILED), 0.6)
    life.on(Failed(0, FAILED), 0.7)
    assert [a.score.deployment for a in life.plan.attempts] == [0, 1, 2]


def test_refused_credentials_close_the_deployment() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(Failed(0, Misconfigured("401")), 0.1)
    assert life.view.health.why[0] == "misconfigured"
    assert life.view.health.closed_until[0] > 0.1


def two_regions() -> View:
    """Deployments a and b in eastus, c in westus."""
    return view(deployment("a"), deployment("b"), deployment("c", region="westus"))


def test_a_failure_goes_to_another_region_if_there_is_one() -> None:
    """What failed may fail together."""
    life = scripted(on=two_regions())
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 0.1)
    assert life.called == ["a", "c"]
    life.on(Failed(1, FAILED), 0.2)
    assert life.called == ["a", "c", "b"]


@pytest.mark.parametrize("error", [RateLimited("429"), Misconfigured("401")])
def test_a_refusal_that_is_the_deployments_own_may_stay_in_the_region(error: AttemptError) -> None:
    life = scripted(on=two_regions())
    life.on(Start(), 0.0)
    life.on(Failed(0, error), 0.1)
    assert life.called == ["a", "b"]


def test_a_prompt_too_long_says_nothing_of_the_region() -> None:
    made = view(
        *(deployment(m, model=m) for m in ("small", "large")),
        deployment("w", model="large", region="westus"),
        models=windows(),
    )
    life = scripted(on=made)
    life.on(Start(), 0.0)
    life.on(Failed(0, ContextTooLong("too long")), 0.1)
    assert life.called == ["small", "large"]


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


def test_429_from_all_that_were_tried_is_no_word_of_the_others() -> None:
    """Three tries are all there are; the caller may come back at once, as a fourth deployment is free."""
    life = scripted()
    life.on(Start(), 0.0)
    for number in range(3):
        life.on(Failed(number, RateLimited("429", 60.0)), 0.1)
    assert isinstance(life.error, AllRateLimited)
    assert life.error.retry_after_s == 1.0
    assert "others are free" in life.error.message


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


@pytest.mark.parametrize("retry", [False, True])
def test_the_policy_is_told_the_time_left_and_whether_it_is_a_retry(retry: bool) -> None:
    policy = Scripted()
    life = Life(abc(), ask(target_s=2.0, client_retry=retry), policy)
    life.on(Start(), 0.5)
    life.on(Failed(0, FAILED), 0.75)
    assert policy.chosen == [((0, 1, 2, 3), 1.5, retry), ((1, 2, 3), 1.25, True)]


def test_errors_tell_no_deployment() -> None:
    """What a caller reads names neither a deployment nor a region."""
    life = scripted(on=abc())
    life.on(Start(), 0.0)
    for number in range(3):
        life.on(Failed(number, FAILED), 0.1)
    assert isinstance(life.error, RouterError)
    assert life.error.message == "3 deployment(s) were tried and none gave an answer"


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


def test_a_prompt_too_long_for_one_hides_no_failure_of_another() -> None:
    """Where a larger model failed for another reason, to try again later makes sense."""
    life = scripted(on=view(*(deployment(m, model=m) for m in ("small", "large")), models=windows()))
    life.on(Start(), 0.0)
    life.on(Failed(0, ContextTooLong("too long")), 0.1)
    life.on(Failed(1, FAILED), 0.2)
    assert isinstance(life.error, AllDeploymentsFailed)


def test_a_request_that_cannot_be_served_uses_up_nobodys_failovers() -> None:
    on = view(*(deployment(m, model=m) for m in ("small", "large")), models=windows())
    before = on.failovers.content
    for _ in range(5):
        life = scripted(on=on)
        life.on(Start(), 0.0)
        life.on(Failed(0, ContextTooLong("too long")), 0.1)
        life.on(Failed(1, ContextTooLong("too long")), 0.2)
        assert life.error.status == 400
    assert on.failovers.content >= before


@pytest.mark.parametrize(("disabled", "status"), [(("a", "b"), 503), (("a",), 400)])
def test_what_operators_took_out_is_out_of_service_and_no_fault_of_the_request(
    disabled: tuple[str, ...], status: int
) -> None:
    """The caller is not told who ordered it."""
    on = view(deployment("a"), deployment("b", model="small"), models=[model("small", context_window=1), model()])
    orders = {d: Override(name, "ada@corp.example", 1e9, "disable") for d, name in enumerate("ab")}
    on.obey({d: order for d, order in orders.items() if order.deployment in disabled})
    life = scripted(on=on)
    life.on(Start(), 0.0)
    assert life.error.status == status
    assert "ada" not in life.error.message


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


def test_a_request_for_one_try_that_hangs_is_given_up_at_its_models_limit() -> None:
    """Not sooner: it can go nowhere else."""
    life = scripted(patience_s=2.0, asked=ask(one_try=True))
    life.on(Start(), 0.0)
    assert life.on(Tick(), 2.0) == [WakeAt(60.0)]
    assert life.on(Tick(), 60.0)[0] == Cancel(0)
    assert life.error.code == "ttft_timeout"


@pytest.mark.parametrize("refusal", [RateLimited("slow down", 1.0), Misconfigured("no such deployment")])
def test_a_request_for_one_try_goes_on_where_it_was_refused(refusal: AttemptError) -> None:
    """Nobody has begun to work on it."""
    life = scripted(asked=ask(one_try=True))
    life.on(Start(), 0.0)
    life.on(Failed(0, refusal), 0.1)
    assert life.called == ["a", "b"]

"""Hedges: planned at the send, one a request, the first content wins and the loser dies."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from routing.errors import AllDeploymentsFailed, ContextTooLong, RateLimited, ServerError
from routing.outcome import Verdict
from routing.plan import (
    Cancel,
    ClientGone,
    Commit,
    Ended,
    Event,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Start,
    Tick,
    WakeAt,
)
from routing.plan.plan import CEILING_S
from routing.policy.view import HEDGE_SHARE, HEDGE_START
from tests.unit.fleets import deployment, view
from tests.unit.plan.life import DONE, Life, abc, ask, scripted

FAILED = ServerError("500")


def hedged(patience_s: float = math.inf) -> Life:
    """A request whose hedge went to b after 0.31 s."""
    life = scripted(hedge_s=0.31, patience_s=patience_s)
    life.on(Start(), 0.0)
    assert life.on(Tick(), 0.31)[0] == Open(1, 1, hedge=True)
    return life


def test_a_hedge_is_sent_at_its_planned_moment() -> None:
    life = scripted(hedge_s=0.31)
    assert life.on(Start(), 0.0) == [Open(0, 0), WakeAt(0.31)]
    assert life.on(Tick(), 0.30) == [WakeAt(0.31)]
    assert life.on(Tick(), 0.31) == [Open(1, 1, hedge=True), WakeAt(CEILING_S)]
    assert life.view.slots.in_flight == [1, 1, 0, 0]


def test_the_hedge_wins() -> None:
    life = hedged()
    assert life.on(FirstContent(1), 0.42) == [Commit(1), Cancel(0)]
    assert life.plan.attempts[0].verdict is Verdict.IGNORED
    assert life.plan.reason == "hedge_won"
    assert life.on(Ended(1, DONE), 2.1) == []
    assert life.view.slots.in_flight == [0, 0, 0, 0]


def test_the_hedge_loses() -> None:
    life = hedged()
    assert life.on(FirstContent(0), 0.42) == [Commit(0), Cancel(1)]
    assert life.plan.attempts[1].verdict is Verdict.IGNORED
    assert life.plan.reason == "scripted"
    assert life.view.slots.in_flight == [1, 0, 0, 0]


def test_a_loser_is_no_failure_but_its_silence_counts() -> None:
    life = hedged()
    life.on(FirstContent(1), 5.0)
    tracker = life.view.tracker
    assert tracker.belief(0, 5.0).keep == 1.0
    assert life.view.health.in_a_row[0] == 0
    assert tracker.belief(0, 5.0).level == pytest.approx(1 / 3)  # silent for ten times its median: level + 1 at most
    assert tracker.known[0].ttft_ms.count(5.0) == 0.0


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_of_two_first_contents_in_one_tick_exactly_one_is_committed(first: int, second: int) -> None:
    life = hedged()
    assert life.on(FirstContent(first), 0.42) == [Commit(first), Cancel(second)]
    assert life.on(FirstContent(second), 0.42) == []
    assert life.plan.committed is life.plan.attempts[first]


def test_however_two_calls_interleave_in_one_tick_the_first_content_alone_is_committed() -> None:
    """1,000 orders. The content of a call that has failed before is none."""
    made, failures = abc(), {number: Failed(number, FAILED) for number in (0, 1)}
    events: list[Event] = [FirstContent(0), FirstContent(1), *failures.values(), Tick()]
    for seed in range(1_000):
        made.hedges.content, made.health.closed_until = 4.0, [0.0] * 4
        life = scripted(hedge_s=0.31, on=made)
        life.on(Start(), 0.0)
        life.on(Tick(), 0.31)
        order = Random(seed).sample(events, len(events))
        for event in order:
            life.on(event, 0.42)
        contents = [(k, event.attempt) for k, event in enumerate(order) if isinstance(event, FirstContent)]
        winner = next((number for k, number in contents if failures[number] not in order[:k]), None)
        assert (life.plan.committed and life.plan.committed.number) == winner
        life.on(ClientGone(), 0.43)
        assert made.slots.in_flight == [0] * 4


def test_a_failure_of_the_cancelled_loser_is_nobodys() -> None:
    life = hedged()
    life.on(FirstContent(1), 0.42)
    assert life.on(Failed(0, FAILED), 0.43) == []
    assert life.view.health.in_a_row[0] == 0
    assert not life.plan.over


def test_when_the_winner_dies_the_loser_is_not_resurrected() -> None:
    life = hedged()
    life.on(FirstContent(1), 0.42)
    assert life.on(Failed(1, FAILED), 0.421) == [GiveUp(FAILED)]
    assert life.on(FirstContent(0), 0.422) == []
    assert life.called == ["a", "b"]


def test_when_the_primary_fails_before_the_hedge_another_is_called_at_once() -> None:
    """And nothing is sent at the old moment: the new call has a moment of its own."""
    life = scripted(hedge_s=0.31)
    life.on(Start(), 0.0)
    assert life.on(Failed(0, FAILED), 0.125) == [Open(1, 1), WakeAt(0.435)]
    assert life.on(Tick(), 0.31) == [WakeAt(0.435)]
    assert life.on(Tick(), 0.435)[0] == Open(2, 2, hedge=True)


def test_when_the_primary_fails_while_a_hedge_is_out_the_hedge_is_what_remains() -> None:
    life = hedged()
    assert life.on(Failed(0, FAILED), 0.4) == []
    assert life.on(FirstContent(1), 0.6) == [Commit(1)]
    assert life.view.failovers.content == 20.0


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_when_both_fail_another_is_called(first: int, second: int) -> None:
    life = hedged()
    assert life.on(Failed(first, FAILED), 0.4) == []
    assert life.on(Failed(second, FAILED), 0.5)[0] == Open(2, 2)


def test_one_hedge_a_request() -> None:
    life = hedged()
    life.on(Failed(0, FAILED), 0.4)
    assert life.on(Failed(1, FAILED), 0.5) == [Open(2, 2), WakeAt(CEILING_S)]
    life.on(Tick(), 0.9)
    assert life.called == ["a", "b", "c"]


def test_a_hedge_is_not_one_of_the_three_tries() -> None:
    life = hedged()
    for number in (0, 1, 2, 3):
        life.on(Failed(number, FAILED), 0.4 + 0.1 * number)
    assert life.called == ["a", "b", "c", "d"]
    assert isinstance(life.error, AllDeploymentsFailed)


def test_after_a_429_there_is_no_hedge() -> None:
    """Where there is no room, a second call takes somebody else's."""
    life = scripted(hedge_s=0.31)
    life.on(Start(), 0.0)
    assert life.on(Failed(0, RateLimited("429")), 0.01) == [Open(1, 1), WakeAt(CEILING_S)]


def test_an_empty_purse_hedges_nothing() -> None:
    life = scripted(hedge_s=0.31)
    life.view.hedges.content = 0.0
    life.on(Start(), 0.0)
    assert life.on(Tick(), 0.31) == [WakeAt(CEILING_S)]
    assert life.view.hedges.content == pytest.approx(HEDGE_SHARE)


def test_a_hedge_is_paid_for_and_its_win_gives_nothing_back() -> None:
    life = scripted(hedge_s=0.31)
    life.on(Start(), 0.0)
    assert life.view.hedges.content == pytest.approx(HEDGE_START + HEDGE_SHARE)
    life.on(Tick(), 0.31)
    life.on(FirstContent(1), 0.42)
    assert life.view.hedges.content == pytest.approx(HEDGE_START + HEDGE_SHARE - 1.0)


def test_a_long_prompt_costs_the_purse_more() -> None:
    life = scripted(hedge_s=0.31, asked=ask(tokens_in=3_000))
    life.view.hedges.content = 1.5
    life.on(Start(), 0.0)
    life.on(Tick(), 0.31)
    assert life.called == ["a"]  # half a call, and half of nearly three mean prompts: 1.97


@pytest.mark.parametrize("changes", [{"hedge": False}, {"client_retry": True}, {"one_try": True}])
def test_some_requests_are_never_hedged(changes: dict[str, Any]) -> None:
    life = scripted(hedge_s=0.31, asked=ask(**changes))
    assert life.on(Start(), 0.0) == [Open(0, 0), WakeAt(CEILING_S)]


def test_without_a_second_candidate_there_is_no_hedge() -> None:
    life = scripted(hedge_s=0.31, on=view(deployment("a")))
    assert life.on(Start(), 0.0) == [Open(0, 0), WakeAt(CEILING_S)]


def test_the_hedge_goes_only_to_what_is_open_at_that_moment() -> None:
    life = scripted(hedge_s=0.31)
    life.on(Start(), 0.0)
    life.view.health.misconfigured(1, 0.2)
    assert life.on(Tick(), 0.31)[0] == Open(1, 2, hedge=True)


def test_nothing_is_hedged_into_what_is_closed() -> None:
    """Panic routing is for a first call, not for a second one."""
    life = scripted(hedge_s=0.31)
    life.on(Start(), 0.0)
    for d in (1, 2, 3):
        life.view.health.misconfigured(d, 0.2)
    assert life.on(Tick(), 0.31) == [WakeAt(CEILING_S)]


def test_a_hedge_that_finds_the_prompt_too_long_leaves_the_primary_alone() -> None:
    life = hedged()
    assert life.on(Failed(1, ContextTooLong("too long")), 0.4) == []
    assert life.on(FirstContent(0), 0.5) == [Commit(0)]


def test_a_hedge_has_a_patience_of_its_own() -> None:
    life = hedged(patience_s=2.0)
    assert life.wake_at == 2.0
    assert life.on(Tick(), 2.0) == [Cancel(0), WakeAt(2.31)]
    actions = life.on(Tick(), 2.31)
    assert actions[:2] == [Cancel(1), Open(2, 2)]


def test_primary_and_hedge_may_run_out_of_patience_in_one_tick() -> None:
    life = hedged(patience_s=2.0)
    actions = life.on(Tick(), 3.0)
    assert actions[:3] == [Cancel(0), Cancel(1), Open(2, 2)]
    assert life.view.slots.in_flight == [0, 0, 1, 0]

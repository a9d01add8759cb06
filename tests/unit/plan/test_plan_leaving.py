"""The caller leaves: whatever state the request is in, every call is dropped and every lease closed."""

from __future__ import annotations

import pytest

from routing.errors import RateLimited, ServerError
from routing.outcome import Verdict
from routing.plan import Cancel, ClientGone, Ended, Event, Failed, FirstContent, Progress, Start, Tick
from tests.unit.plan.life import DONE, ask, scripted

LIVES: dict[str, list[tuple[Event, float]]] = {
    "answered": [(Start(), 0.0), (FirstContent(0), 0.1), (Progress(0, 0.02), 0.2), (Ended(0, DONE), 0.3)],
    "hedge wins": [(Start(), 0.0), (Tick(), 0.31), (FirstContent(1), 0.4), (Ended(1, DONE), 1.0)],
    "hedge loses": [(Start(), 0.0), (Tick(), 0.31), (FirstContent(0), 0.4), (FirstContent(1), 0.4)],
    "fails over": [(Start(), 0.0), (Failed(0, ServerError("")), 0.1), (Failed(1, RateLimited("")), 0.2), (Tick(), 0.6)],
    "primary fails": [(Start(), 0.0), (Tick(), 0.31), (Failed(0, ServerError("")), 0.4), (FirstContent(1), 0.5)],
    "broken": [(Start(), 0.0), (Tick(), 0.31), (FirstContent(1), 0.4), (Failed(1, ServerError("")), 0.5)],
    "hangs": [(Start(), 0.0), (Tick(), 0.31), (Tick(), 5.0), (Tick(), 5.31), (Tick(), 10.0)],
}
STATES = [(name, seen) for name, events in LIVES.items() for seen in range(len(events) + 1)]


@pytest.mark.parametrize(("name", "seen"), STATES)
def test_leaving_closes_every_lease_in_every_state(name: str, seen: int) -> None:
    life = scripted(hedge_s=0.31, patience_s=5.0, asked=ask(deadline_s=10.0))
    now = 0.0
    for event, now in LIVES[name][:seen]:
        life.on(event, now)
    open_ = [a.number for a in life.plan.attempts if a.verdict is None]
    assert life.on(ClientGone(), now) == [Cancel(number) for number in open_]
    assert life.plan.over
    assert life.view.slots.in_flight == [0, 0, 0, 0]
    assert [life.plan.attempts[number].verdict for number in open_] == [Verdict.IGNORED] * len(open_)


@pytest.mark.parametrize("name", LIVES)
def test_whatever_happens_after_leaving_asks_for_nothing(name: str) -> None:
    life = scripted(hedge_s=0.31, patience_s=5.0, asked=ask(deadline_s=10.0))
    life.on(Start(), 0.0)
    life.on(Tick(), 0.31)
    life.on(ClientGone(), 0.32)
    for event, now in LIVES[name]:
        assert life.on(event, 1.0 + now) == []


def test_leaving_says_nothing_of_the_deployment_but_its_silence() -> None:
    life = scripted()
    life.on(Start(), 0.0)
    life.on(ClientGone(), 0.1)
    assert life.view.health.in_a_row[0] == 0
    belief = life.view.tracker.belief(0, 0.1)
    assert (belief.keep, belief.samples) == (1.0, 0.0)  # 0.1 s of silence is less than its level

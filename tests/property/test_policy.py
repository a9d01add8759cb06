"""The policy on anything that may have been learned: probabilities, monotone, and choices among the candidates."""

from __future__ import annotations

import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from routing.latency.prediction import below, ttft_at, within
from routing.policy.slo import EARLIEST_HEDGE_S, SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority
from tests.unit.fleets import deployment, prior, view

POLICY = SloPolicy()
NOW = 1_000.0
LEFT = st.one_of(st.floats(-5.0, 300.0), st.just(math.inf))
LEVELS = st.floats(-10.0, 10.0)
SPREADS = st.floats(0.15, 3.0)


@given(LEFT, LEVELS, st.floats(0.0, 5.0), SPREADS, st.floats(0.0, 100.0))
def test_a_higher_level_never_raises_the_probability(
    rest: float, at: float, more: float, spread: float, answer: float
) -> None:
    assert 0 <= within(rest, at + more, spread, answer) <= within(rest, at, spread, answer) <= 1


@given(LEFT, st.floats(0.0, 50.0), LEVELS, SPREADS, st.floats(0.0, 100.0))
def test_more_time_never_lowers_the_probability(
    rest: float, more: float, at: float, spread: float, answer: float
) -> None:
    assert within(rest, at, spread, answer) <= within(rest + more, at, spread, answer)


@given(LEFT, LEVELS, SPREADS, st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_a_longer_answer_never_raises_the_probability(
    rest: float, at: float, spread: float, answer: float, more: float
) -> None:
    assert within(rest, at, spread, answer + more) <= within(rest, at, spread, answer) + 1e-12


@given(st.floats(-4.0, 4.0), LEVELS, SPREADS)
def test_points_and_probabilities_are_each_others_inverse(z: float, at: float, spread: float) -> None:
    assert math.isclose(within(ttft_at(z, at, spread), at, spread, 0.0), below(z if z > 0 else z / 2), abs_tol=1e-9)


def happens(seen: View, rng: Random, d: int, now: float) -> None:
    """Anything that may be learned of deployment d."""
    tracker = seen.tracker
    match rng.randrange(6):
        case 0:
            tracker.first_content(d, now, 10 ** rng.uniform(-3, 2), 1_000)
        case 1:
            tracker.failed(d, now, rng.random() < 0.5)
        case 2:
            tracker.pace(d, now, 10 ** rng.uniform(-3, 0))
        case 3:
            tracker.sent(d, now, rng.uniform(0, 5))
        case 4:
            seen.quota.saw(d, now, rng.random())
        case _:
            seen.slots.lease(d)


@st.composite
def worlds(draw: st.DrawFn) -> View:
    """Two to six deployments with any history, load, quota and health."""
    size, rng = draw(st.integers(2, 6)), Random(draw(st.integers(0, 2**20)))
    made = view(
        *(
            deployment(
                f"d{i}",
                latency=prior(10 ** rng.uniform(0.5, 4.5), tail=rng.uniform(1.0, 4.0)),
                region=rng.choice(["eastus", "westus", "swedencentral"]),
                concurrency=rng.choice([1, 2, 30]),
                requests_per_minute=rng.choice([6, 600, 60_000]),
            )
            for i in range(size)
        )
    )
    for _ in range(draw(st.integers(0, 30))):
        happens(made, rng, rng.randrange(size), NOW - rng.expovariate(0.05))
    made.hedges.content = draw(st.floats(0.0, 4.0))
    return made


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    return Ask(
        demand=Demand(min_quality_tier=draw(st.integers(1, 3))),
        priority=draw(st.sampled_from(LatencyPriority)),
        streamed=draw(st.booleans()),
        tokens_in=draw(st.integers(0, 200_000)),
        expected_tokens=draw(st.floats(0.0, 16_000.0)),
        cheapest=draw(st.booleans()),
        client_retry=draw(st.booleans()),
        home=draw(st.sampled_from([None, "eastus", "westus", "swedencentral"])),
    )


@given(worlds(), asks(), st.one_of(st.none(), st.floats(-1.0, 60.0)), st.integers(0, 99), st.booleans(), st.data())
def test_every_decision_is_sound(
    seen: View, asked: Ask, left: float | None, seed: int, retry: bool, data: st.DataObject
) -> None:
    everyone = range(len(seen.fleet.deployments))
    candidates = data.draw(st.lists(st.sampled_from(list(everyone)), min_size=1, unique=True))
    choice = POLICY.choose(seen, asked, candidates, left, NOW, Random(seed), retry)
    assert choice.score.deployment in candidates
    assert choice.second != choice.score.deployment
    assert choice.second in candidates if len(candidates) > 1 else choice.second is None
    assert math.isfinite(choice.target_s)
    assert left is None or choice.target_s == left
    for score in POLICY.score(seen, asked, candidates, left, NOW):
        assert 0 <= score.probability <= 1
        assert all(math.isfinite(x) for x in (score.value, score.ttft, score.total, score.queue, score.used))
        assert 0 <= score.queue <= score.ttft <= score.total
    moment = POLICY.hedge_after(seen, asked, choice, choice.target_s, NOW)
    assert moment is None or EARLIEST_HEDGE_S <= moment < choice.target_s
    others = [d for d in everyone if d != choice.score.deployment]
    assert POLICY.hedge(seen, asked, choice.score.deployment, 0.5, others, choice.target_s, NOW) in (None, *others)
    patience = POLICY.patience(seen, asked, choice.score.deployment, choice.second, 30.0)
    assert 0 < patience <= 30.0


@given(worlds(), asks(), st.floats(0.05, 60.0), st.floats(0.01, 4.0))
def test_what_got_slower_is_valued_no_higher(seen: View, asked: Ask, left: float, slower: float) -> None:
    before = POLICY.score(seen, asked, (0,), left, NOW)[0]
    belief = seen.tracker.beliefs[0]
    seen.tracker.beliefs[0] = belief._replace(at=belief.at + slower, level=belief.level + slower)
    after = POLICY.score(seen, asked, (0,), left, NOW)[0]
    assert after.probability <= before.probability
    assert after.value <= before.value


@given(worlds(), asks(), st.floats(0.05, 60.0))
def test_a_decision_changes_nothing_but_the_callers_chance(seen: View, asked: Ask, left: float) -> None:
    """Policies read the view: beliefs may be renewed, and nothing else."""
    candidates = range(len(seen.fleet.deployments))
    before = (list(seen.slots.in_flight), seen.hedges.content, list(seen.quota.used), list(seen.health.closed_until))
    choice = POLICY.choose(seen, asked, candidates, left, NOW, Random(1), False)
    POLICY.hedge(seen, asked, choice.score.deployment, 0.1, candidates, left, NOW)
    after = (list(seen.slots.in_flight), seen.hedges.content, list(seen.quota.used), list(seen.health.closed_until))
    assert after == before
    assert POLICY.choose(seen, asked, candidates, left, NOW, Random(1), False) == choice

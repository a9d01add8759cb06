"""Which deployments a request may be sent to: residency always, health only while it leaves somebody."""

from __future__ import annotations

from random import Random

import pytest

from routing.errors import AllRateLimited, NoEligibleDeployment, Overloaded, ServerError
from routing.plan import Failed, Open, Start
from routing.plan.candidates import UNSURE, Candidates
from routing.policy.view import View
from routing.ports import Override
from routing.request import Demand
from tests.unit.fleets import deployment, model, view
from tests.unit.plan.life import abc, ask, scripted

FAILED = ServerError("500")
NAMED = Demand(models=("m",), fallbacks=("n",))


def two_models() -> View:
    """Deployments a and b of the named model, c and d of its stand-in."""
    return view(
        *(deployment(name, model=m) for name, m in (("a", "m"), ("b", "m"), ("c", "n"), ("d", "n"))),
        models=[model("m"), model("n")],
    )


def eject(made: View, *deployments: int, now: float = 0.0) -> None:
    for d in deployments:
        made.health.misconfigured(d, now)


def fill(made: View, *deployments: int) -> None:
    for d in deployments:
        while made.slots.lease(d):
            pass


def test_open_deployments_are_the_candidates() -> None:
    made = abc()
    eject(made, 1)
    fill(made, 2)
    assert Candidates(made, ask()).ready(1.0) == ([0, 3], False)


def test_a_closed_deployment_is_back_when_its_time_is_over() -> None:
    made = abc()
    eject(made, 1)
    assert Candidates(made, ask()).ready(made.health.closed_until[1])[0] == [0, 1, 2, 3]


def test_stand_ins_serve_only_while_the_named_are_out() -> None:
    made = two_models()
    candidates = Candidates(made, ask(demand=NAMED))
    assert candidates.ready(0.0) == ([0, 1], False)
    eject(made, 0)
    assert candidates.ready(0.0) == ([1], False)
    fill(made, 1)
    assert candidates.ready(0.0) == ([2, 3], False)
    assert candidates.ready(made.health.closed_until[0]) == ([0], False)


def test_when_the_named_have_failed_the_request_goes_to_a_stand_in() -> None:
    life = scripted(on=two_models(), asked=ask(demand=NAMED))
    life.on(Start(), 0.0)
    for number in range(2):
        life.on(Failed(number, FAILED), 0.1)
    assert life.called == ["a", "b", "c"]


def test_where_health_leaves_nobody_it_is_ignored() -> None:
    made = abc()
    eject(made, 0, 1, 2, 3)
    assert Candidates(made, ask()).ready(1.0) == ([0, 1, 2, 3], True)
    life = scripted(on=made)
    assert life.on(Start(), 1.0)[0] == Open(0, 0)
    assert life.plan.reason == "panic"


def order(made: View, d: int, state: str) -> None:
    made.obey(made.orders | {d: Override(made.fleet.deployments[d].id, "ops", 1_000.0, state)})


def test_a_drained_deployment_comes_before_the_ejected_and_after_everything_else() -> None:
    made = two_models()
    for d in (0, 3):
        order(made, d, "drain")
    candidates = Candidates(made, ask(demand=NAMED))
    assert candidates.ready(0.0) == ([1], False)
    eject(made, 1)
    assert candidates.ready(0.0) == ([2], False), "a stand-in"
    eject(made, 2)
    assert candidates.ready(0.0) == ([0], False), "of the drained, too, the named come first"
    eject(made, 0)
    assert candidates.ready(0.0) == ([3], False)
    eject(made, 3)
    assert candidates.ready(0.0) == ([0, 1, 2, 3], True)


def test_panic_routing_leaves_out_who_said_when_to_come_back() -> None:
    made = abc()
    eject(made, 0, 1)
    for d in (2, 3):
        made.health.rate_limited(d, 0.0, 5.0, Random(1))
    assert Candidates(made, ask()).ready(1.0) == ([0, 1], True)


def test_an_ejection_on_top_of_a_429_opens_it_to_nobody() -> None:
    """The ejection is the longer of the two; panic routing may ignore it, but not the provider's word."""
    made, rng = abc(), Random(1)
    eject(made, 1, 2, 3)
    made.health.rate_limited(0, 0.0, 2.0, rng)
    for _ in range(8):
        made.health.failed(0, 0.0, rng)
    assert made.health.why[0] == "ejected"
    candidates = Candidates(made, ask())
    assert 0 not in candidates.ready(1.0)[0]
    assert 0 in candidates.ready(4.0)[0]


@pytest.mark.parametrize("asked", [("eu",), ("swedencentral",), ("eu-north",)])
def test_residency_is_never_ignored(asked: tuple[str, ...]) -> None:
    """Not when everything that it allows is out, full or failing."""
    made = view(deployment("a"), deployment("s", region="swedencentral"), deployment("b", type="GlobalStandard"))
    demand = Demand(allowed_regions=asked)
    eject(made, 1)
    assert Candidates(made, ask(demand=demand)).ready(0.0) == ([1], True)
    life = scripted(on=made, asked=ask(demand=demand))
    life.on(Start(), 0.0)
    life.on(Failed(0, FAILED), 0.1)
    assert life.called == ["s"]
    fill(made, 1)
    full = scripted(on=made, asked=ask(demand=demand))
    full.on(Start(), 0.2)
    assert isinstance(full.error, Overloaded)


def test_what_was_tried_is_no_candidate() -> None:
    candidates = Candidates(abc(), ask())
    candidates.tried |= {0, 2}
    assert candidates.ready(0.0) == ([1, 3], False)
    assert candidates.usable() == [1, 3]


@pytest.mark.parametrize(("tokens", "fits"), [(8_000, True), (10_000, True), (10_001, False)])
def test_a_window_is_ruled_out_only_beyond_the_doubt_in_our_estimate(tokens: int, fits: bool) -> None:
    made = view(deployment("a"), models=[model(context_window=8_000)])
    assert UNSURE == 0.8
    assert bool(Candidates(made, ask(tokens_in=tokens)).usable()) is fits


def test_only_windows_larger_than_the_smallest_that_refused_remain() -> None:
    sizes = {"m": 8_000, "n": 8_001}
    made = view(
        *(deployment(name, model=name) for name in sizes), models=[model(k, context_window=v) for k, v in sizes.items()]
    )
    candidates = Candidates(made, ask())
    candidates.too_long_for(0)
    assert candidates.usable() == [1]


@pytest.mark.parametrize(("cap", "names"), [(0.01, "ab"), (0.0018, "ab"), (0.0017, "b"), (0.0002, "")])
def test_a_price_cap_counts_prompt_and_expected_answer(cap: float, names: str) -> None:
    """1,000 tokens in at $1 and 200 out at $4 a million are $0.0018."""
    made = view(
        deployment("a"), deployment("b", model="n"), models=[model("m"), model("n", price_in=0.5, price_out=0.5)]
    )
    candidates = Candidates(made, ask(max_cost_usd=cap))
    assert [made.fleet.deployments[d].id for d in candidates.usable()] == list(names)


@pytest.mark.parametrize(("answers", "dear"), [(1, True), (2, False)])
def test_a_price_cap_counts_every_answer_that_is_asked_for(answers: int, dear: bool) -> None:
    assert bool(Candidates(abc(), ask(max_cost_usd=0.002, answers=answers)).usable()) is dear


def test_every_deployment_that_is_out_has_its_reason() -> None:
    made = view(
        *(deployment(name) for name in "abcde"),
        deployment("f", model="tiny"),
        deployment("g", model="weak"),
        models=[model("m"), model("tiny", context_window=100), model("weak", quality_tier=1)],
    )
    eject(made, 0)
    made.health.rate_limited(1, 0.0, 10.0, Random(1))
    fill(made, 2)
    candidates = Candidates(made, ask(demand=Demand(min_quality_tier=2)))
    candidates.tried.add(3)
    told = candidates.exclusions(1.0)
    assert told[0] == "misconfigured for 29.0 s"
    assert told[1].startswith("rate_limited for ")
    assert {d: told[d] for d in (2, 3, 5, 6)} == {2: "at_capacity", 3: "tried", 5: "context_window", 6: "quality_tier"}
    assert 4 not in told


def test_stand_ins_are_said_to_be_such_while_the_named_are_there() -> None:
    made = two_models()
    order(made, 1, "disable")
    eject(made, 3)
    told = Candidates(made, ask(demand=NAMED)).exclusions(1.0)
    assert told[1] == "disable by ops until 1970-01-01 00:16 UTC"
    assert (told[2], told[3]) == ("stands_in", "misconfigured for 29.0 s")


@pytest.mark.parametrize("drained", [(), (0,), (0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("ejected", [(), (1,), (0, 1), (0, 1, 2, 3)])
def test_each_deployment_is_either_a_candidate_or_excluded(drained: tuple[int, ...], ejected: tuple[int, ...]) -> None:
    made = two_models()
    for d in drained:
        order(made, d, "drain")
    eject(made, *ejected)
    candidates = Candidates(made, ask(demand=NAMED))
    assert sorted((*candidates.ready(1.0)[0], *candidates.exclusions(1.0))) == [0, 1, 2, 3]


# ---------------------------------------------------------------------- nothing to choose
def test_filters_that_leave_nothing_are_told_to_the_caller() -> None:
    life = scripted(on=two_models(), asked=ask(demand=Demand(models=("m",), min_quality_tier=5)))
    life.on(Start(), 0.0)
    assert isinstance(life.error, NoEligibleDeployment)
    assert life.error.message.endswith("ruled out by quality_tier")
    assert life.error.param == "routing.min_quality_tier"


def test_a_price_cap_that_leaves_nothing_is_told_too() -> None:
    life = scripted(asked=ask(max_cost_usd=1e-9))
    life.on(Start(), 0.0)
    assert isinstance(life.error, NoEligibleDeployment)
    assert life.error.message.endswith("ruled out by price")
    assert life.error.param == "routing.max_cost_usd"


def test_a_parameter_that_no_model_takes_is_named() -> None:
    on = view(deployment("a"), models=[model(unsupported_parameters=["logprobs"])])
    life = scripted(on=on, asked=ask(demand=Demand(parameters=frozenset({"logprobs"}))))
    life.on(Start(), 0.0)
    assert isinstance(life.error, NoEligibleDeployment)
    assert life.error.param == "logprobs"


def test_where_several_fields_rule_deployments_out_none_alone_is_named() -> None:
    demand = Demand(models=("m",), min_quality_tier=5, allowed_regions=("eu",))
    on = view(deployment("a", type="Standard"), deployment("b", region="swedencentral", type="Standard"))
    life = scripted(on=on, asked=ask(demand=demand, max_cost_usd=1e-9))
    life.on(Start(), 0.0)
    assert isinstance(life.error, NoEligibleDeployment)
    assert life.error.param == "routing.min_quality_tier", "the first filter hides the others"
    life = scripted(on=on, asked=ask(demand=Demand(allowed_regions=("eu",)), max_cost_usd=1e-9))
    life.on(Start(), 0.0)
    assert isinstance(life.error, NoEligibleDeployment)
    assert life.error.param is None


def test_full_deployments_are_our_own_overload() -> None:
    life = scripted()
    fill(life.view, 0, 1, 2, 3)
    life._before = sum(life.view.slots.in_flight)
    life.on(Start(), 0.0)
    assert isinstance(life.error, Overloaded)
    assert life.error.retry_after_s == 1.0


def test_full_and_rate_limited_ones_are_an_overload() -> None:
    made = abc()
    fill(made, 0)
    for d in (1, 2, 3):
        made.health.rate_limited(d, 0.0, 9.0, Random(1))
    life = scripted(on=made)
    life.on(Start(), 1.0)
    assert isinstance(life.error, Overloaded)
    assert "at capacity or rate-limited" in life.error.message


def test_retry_after_is_when_the_first_of_the_rate_limited_opens() -> None:
    made = abc()
    for d in range(4):
        made.health.rate_limited(d, 0.0, 10.0 - d, Random(1))
    candidates = Candidates(made, ask())
    assert candidates.retry_after(1.0) == pytest.approx(made.health.closed_until[3] - 1.0)
    assert candidates.retry_after(made.health.closed_until[3]) > 0.0  # that one is open; the next one is not
    assert candidates.retry_after(1_000.0) == 1.0
    life = scripted(on=made)
    life.on(Start(), 1.0)
    assert isinstance(life.error, AllRateLimited)

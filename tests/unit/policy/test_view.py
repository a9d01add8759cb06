"""What a policy sees."""

from __future__ import annotations

import pytest

from routing.latency.tracker import LatencyTracker
from routing.policy import POLICIES
from routing.policy.view import View
from tests.unit.fleets import deployment, fleet, model, view
from tests.unit.plan.life import ask


def test_columns_are_in_the_fleets_order() -> None:
    seen = view(
        deployment("a", model="n", region="westus"),
        deployment("b"),
        models=[model("m"), model("n", quality_tier=5, context_window=9_000, price_in=2.0, price_out=8.0)],
    )
    assert (seen.tier, seen.region) == ([5, 3], ["westus", "eastus"])
    assert seen.context_window == [9_000, 128_000]
    assert (seen.price_in, seen.price_out) == ([2e-6, 1e-6], [8e-6, 4e-6])  # dollars a token


def test_a_view_takes_the_tracker_it_is_given() -> None:
    made = fleet(deployment("a"))
    tracker = LatencyTracker(made, "westus")
    assert View.of(made, tracker).tracker is tracker
    assert View.of(made).tracker.fleet is made


def test_half_of_a_hedges_cost_is_the_call_and_half_its_tokens() -> None:
    seen = view(deployment("a"))
    assert [seen.hedge_cost(n) for n in (0, 1_000, 3_000)] == [0.5, 1.0, 2.0]


def test_costs_are_measured_in_the_running_mean_prompt() -> None:
    seen = view(deployment("a"))
    seen.saw_prompt(2_000)
    assert seen.mean_prompt == pytest.approx(1_010.0)
    for _ in range(2_000):
        seen.saw_prompt(1)
    assert seen.hedge_cost(1) == pytest.approx(1.0, rel=1e-3)


def test_a_prompt_of_no_tokens_does_not_move_the_mean() -> None:
    seen = view(deployment("a"))
    seen.saw_prompt(0)
    assert seen.mean_prompt == 1_000.0


@pytest.mark.parametrize(("answers", "usd"), [(1, 0.0018), (3, 0.0034)])
def test_a_request_costs_its_prompt_once_and_each_expected_answer(answers: int, usd: float) -> None:
    """1,000 tokens in at $1 and 200 out at $4 a million."""
    assert view(deployment("a")).cost_usd(ask(answers=answers), 0) == pytest.approx(usd)


def test_every_registered_policy_is_found_under_its_name() -> None:
    assert {name: policy().name for name, policy in POLICIES.items()} == {name: name for name in POLICIES}
    assert "slo" in POLICIES

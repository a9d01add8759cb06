"""The router as a library: what it makes of a user's requests, one after the other."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

from routing import LatencyPriority, LatencyRouter, LatencyTracker
from routing.affinity import Errand
from routing.latency.last_mile import FEWEST
from routing.outcome import LatencyMeasurement
from routing.plan import ClientGone, Commit, FirstContent, Plan, Start
from routing.ports import Home, Override
from routing.request import Ask, ChatRequest, Conversation, Demand, Hints
from tests.unit.fleets import deployment, fleet, model


def test_a_user_moves_when_home_was_slower_twice_in_a_row() -> None:
    tracker = LatencyTracker(fleet(deployment("east"), deployment("west", region="westus")))
    router = LatencyRouter(tracker, rng=Random(1))
    regions = {d.id: d.region for d in tracker.fleet.deployments}

    def ask() -> tuple[str, str]:
        decision = router.route(priority=LatencyPriority.STREAMING, user_id="u")
        assert decision is not None
        return decision.region, decision.reason

    def becomes(slow: str) -> None:
        for name, region in regions.items():
            ttft = 5_000.0 if region == slow else 500.0
            for _ in range(50):
                measurement = LatencyMeasurement(2.0, 0.0, ttft, 1_000.0, ttft + 1_000.0, 50)
                tracker.record(name, measurement, router.clock.now())

    home, _ = ask()
    away = next(region for region in regions.values() if region != home)
    assert ask() == (home, "sticky")
    becomes(slow=home)
    assert ask() == (away, "left_home")
    assert router.affinity.home("u") == home, "one detour"
    assert ask() == (away, "left_home")
    assert router.affinity.home("u") == away
    assert ask() == (away, "sticky")


def answered(router: LatencyRouter, ask: Ask) -> str:
    """A request of the user `u` is answered at its first try. Where it was answered from."""
    request = router.with_home(
        ChatRequest("r", "openai", {}, ask, Hints(), lambda: Conversation("", ()), user_key="u"),
    )
    plan = Plan(request.ask, router.view, router.policy, router.rng, 0.0)
    plan.on(Start(), 0.0)
    assert Commit(0) in plan.on(FirstContent(0), 0.5)
    plan.on(ClientGone(), 0.6)
    router.learn(SimpleNamespace(plan=plan, request=request, usage=None, answer_tokens=None))  # type: ignore[arg-type]
    assert plan.committed is not None
    return router.view.region[plan.committed.deployment]


def two_regions() -> LatencyRouter:
    """Model m in two regions of the US; n in Sweden, too."""
    made = fleet(
        deployment("east"),
        deployment("west", region="westus"),
        deployment("north", model="n", region="swedencentral"),
        models=[model("m"), model("n")],
    )
    return LatencyRouter(LatencyTracker(made), rng=Random(4))


SWEDE = Ask(Demand(("m",)), LatencyPriority.STREAMING, target_s=9.0, tokens_in=1_000, home="swedencentral")


def test_a_user_whose_guessed_region_has_none_of_the_model_gets_a_home_all_the_same() -> None:
    router = two_regions()
    home = answered(router, SWEDE)
    assert router.affinity.home("u") == home
    assert {answered(router, SWEDE) for _ in range(30)} == {home}


def test_a_guessed_home_that_is_only_out_for_the_moment_is_kept() -> None:
    router, asked = two_regions(), replace(SWEDE, home="westus")
    router.view.health.misconfigured(1, 0.0)
    assert answered(router, asked) == "eastus"
    assert router.affinity.home("u") == "westus"
    assert answered(router, asked) == "eastus"
    assert router.affinity.home("u") == "eastus", "a second detour in a row"


def test_a_known_home_is_kept_by_one_request_for_a_model_that_is_not_there() -> None:
    router = two_regions()
    router.affinity.settle("u", "swedencentral")
    assert answered(router, SWEDE) != "swedencentral"
    assert router.affinity.home("u") == "swedencentral"


def test_who_only_asks_for_a_model_that_is_not_at_home_gets_another_home() -> None:
    router = two_regions()
    router.affinity.settle("u", "swedencentral")
    _, home = answered(router, SWEDE), answered(router, SWEDE)
    assert router.affinity.home("u") == home
    assert {answered(router, SWEDE) for _ in range(30)} == {home}


AMERICAN = replace(SWEDE, home="westus")


def test_a_user_whose_region_is_told_is_remembered_there() -> None:
    router = two_regions()
    assert {answered(router, AMERICAN) for _ in range(3)} == {"westus"}
    assert router.affinity.home("u") == "westus"
    assert router.affinity.errands(9) == [Errand("u", "westus", None)], "to be told, and not to be asked for"


def test_the_first_detour_of_a_user_whose_region_is_told_moves_no_home() -> None:
    router = two_regions()
    for _ in range(2):
        assert router.affinity.home("u") in (None, "westus")
        router._learn_home("u", AMERICAN, "eastus", "left_home")
    assert router.affinity.home("u") == "eastus"


@pytest.mark.parametrize("reason", ["hedge_won", "fallback", "panic", "fastest", "cheapest_meeting_slo"])
def test_an_answer_from_elsewhere_that_is_no_choice_against_home_leaves_it_where_it_was(reason: str) -> None:
    router = two_regions()
    for _ in range(5):
        router._learn_home("u", AMERICAN, "eastus", reason)
        assert router.affinity.home("u") == "westus"


def test_a_user_whose_home_becomes_known_while_the_first_request_runs_is_at_home_there() -> None:
    """The request was decided without it, so where it was answered is no detour."""
    router = two_regions()
    router.affinity.answered(Errand("u", None, None), Home("westus", 4, 0.0), router.clock.now())
    router._learn_home("u", replace(SWEDE, home=None), "eastus", "fastest")
    assert router.affinity.home("u", router.clock.now()) == "westus"
    assert router.affinity.errands(9) == []


def test_where_home_is_drained_the_second_request_finds_a_new_one() -> None:
    router = two_regions()
    router.affinity.settle("u", "westus")
    router.view.obey({1: Override("west", "ops", router.clock.now() + 60, "drain")})
    assert [answered(router, AMERICAN) for _ in range(5)] == ["eastus"] * 5
    assert router.affinity.home("u") == "eastus"


def test_who_is_at_home_in_a_region_that_the_fleet_has_no_more_finds_a_new_one_at_once() -> None:
    router = two_regions()
    router.affinity.settle("u", "mars")
    home = answered(router, AMERICAN)
    assert router.affinity.home("u") == home
    assert {answered(router, AMERICAN) for _ in range(30)} == {home}


@pytest.mark.parametrize(("caller", "target_s"), [("web", 0.45), ("another", 0.5)])
def test_a_callers_own_last_mile_is_taken_off_its_users_targets_and_off_nobody_elses(
    caller: str, target_s: float
) -> None:
    router = two_regions()
    for _ in range(FEWEST):
        router.last_mile.add("web", "westus", 0.05, router.clock.now())
    ask = Ask(Demand(), target_s=0.5, home="westus")
    asked = ChatRequest("r", "openai", {}, ask, Hints(), lambda: Conversation("", ()), caller=caller)
    assert router.with_home(asked).ask.target_s == pytest.approx(target_s)

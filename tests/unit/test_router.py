"""The router as a library: what it makes of a user's requests, one after the other."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace

from routing import LatencyPriority, LatencyRouter, LatencyTracker
from routing.outcome import LatencyMeasurement
from routing.plan import ClientGone, Commit, FirstContent, Plan, Start
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
    assert router.affinity.home("u") is None


def test_a_known_home_is_kept_by_a_request_for_a_model_that_is_not_there() -> None:
    router = two_regions()
    router.affinity.settle("u", "swedencentral")
    assert answered(router, SWEDE) != "swedencentral"
    assert router.affinity.home("u") == "swedencentral"

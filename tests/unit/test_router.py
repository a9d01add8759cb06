"""The router as a library: what it makes of a user's requests, one after the other."""

from __future__ import annotations

from random import Random

from routing import LatencyPriority, LatencyRouter, LatencyTracker
from routing.outcome import LatencyMeasurement
from tests.unit.fleets import deployment, fleet


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

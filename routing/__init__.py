"""Routes each LLM request to the deployment likeliest to meet its latency target.

As a library it needs no Azure and no server:

    fleet = load_fleet(Path("fleet.json"))
    router = LatencyRouter(LatencyTracker(fleet))
    decision = router.route(max_latency_ms=1500, priority=LatencyPriority.STREAMING, min_quality_tier=3)
"""

from routing.engine.decision import Decision
from routing.engine.router import LatencyRouter
from routing.fleet import Fleet, LatencyProfile
from routing.fleet import load as load_fleet
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from routing.request import LatencyPriority

__all__ = [
    "Decision",
    "Fleet",
    "LatencyMeasurement",
    "LatencyPriority",
    "LatencyProfile",
    "LatencyRouter",
    "LatencyTracker",
    "load_fleet",
]

"""What one decision costs: `python -m bench.routing.cost` prints microseconds and bytes a deployment."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from random import Random

from bench.routing.adapter import profile
from routing.engine.periods import FLUSH_S
from routing.fleet import Deployment, Fleet, Model, Region
from routing.latency.sketch import Sketch
from routing.latency.tracker import LatencyTracker
from routing.outcome import LatencyMeasurement
from routing.plan import ClientGone, Plan, Start
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask, Demand, LatencyPriority

SIZES, DECISIONS = (50, 500), 400
UNMERGED, SAMPLES = 2, 10  # flushes that no merge holds yet; samples of each deployment between two of them
TARGET_S = {LatencyPriority.STREAMING: 2.0, LatencyPriority.TOTAL: 8.0}  # what half of the deployments meet easily
PLACE = Region(id="eastus", geography="us", latitude=37.37, longitude=-79.82)


def fleet_of(size: int) -> Fleet:
    """`size` deployments of one model."""
    model = Model(
        id="m",
        vendor="other",
        quality_tier=1,
        price_in=1.0,
        price_out=1.0,
        context_window=100_000,
        default_max_tokens=1_000,
        max_output_tokens=10_000,
        latency=profile(-0.7, 0.5, -4.0),
    )
    deployments = tuple(
        Deployment(
            id=f"d{d}",
            provider="openai_compatible",
            resource="r",
            model="m",
            region=PLACE.id,
            type="Standard",
            concurrency=100,
            tokens_per_minute=10**7,
            requests_per_minute=6_000,
        )
        for d in range(size)
    )
    return Fleet(models=(model,), regions=(PLACE,), deployments=deployments)


def learned(fleet: Fleet) -> tuple[View, dict[int, Sketch]]:
    """A view that has seen every deployment often, with two flushes that no merge holds yet and news besides; and the
    instance's own totals, as it keeps them for the store."""
    view, rng = View.of(fleet, LatencyTracker(fleet, PLACE.id)), Random(1)
    own: dict[int, Sketch] = {}
    for span in range(UNMERGED + 1):
        for n in range(SAMPLES):
            now = FLUSH_S * (span + n / SAMPLES)
            for d in range(len(fleet.deployments)):
                ttft, answer = rng.lognormvariate(-0.7, 0.4), rng.lognormvariate(0.7, 0.5)
                view.tracker.sent(d, now, 0.1)
                view.tracker.first_content(d, now, ttft, 1_000)
                view.tracker.pace(d, now, 0.02)
                measured = LatencyMeasurement(2.0, 0.0, 1_000 * ttft, 1_000 * answer, 1_000 * (ttft + answer), 50)
                view.tracker.answered(d, now, measured)
        if span < UNMERGED:
            for d, news in view.tracker.flush(FLUSH_S * (span + 1)).items():
                own.setdefault(d, Sketch()).merge(news)
    return view, own


def decision_us(view: View, priority: LatencyPriority) -> float:
    """Median microseconds to choose among all deployments and to plan the hedge."""
    policy, rng, candidates = SloPolicy(), Random(1), range(len(view.tier))
    target = TARGET_S[priority]
    ask = Ask(Demand(), priority, target_s=target, tokens_in=1_000)
    took = []
    for _ in range(DECISIONS):
        begun = time.perf_counter()
        choice = policy.choose(view, ask, candidates, target, 3.0, rng, False)
        policy.hedge_after(view, ask, choice, target, 3.0)
        took.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(took)


def step_us(view: View, priority: LatencyPriority) -> float:
    """Median microseconds of a request's whole first step: filter, choice, hedge, lease, deadlines."""
    policy, rng, target = SloPolicy(), Random(1), TARGET_S[priority]
    took = []
    for _ in range(DECISIONS):
        begun = time.perf_counter()
        plan = Plan(Ask(Demand(), priority, target_s=target, tokens_in=1_000), view, policy, rng, 3.0)
        plan.on(Start(), 3.0)
        took.append(time.perf_counter() - begun)
        plan.on(ClientGone(), 3.0)
    return 1e6 * statistics.median(took)


def main() -> None:
    """Print all figures for both sizes."""
    for size in SIZES:
        fleet = fleet_of(size)
        tracemalloc.start()
        view, own = learned(fleet)
        kept = tracemalloc.get_traced_memory()[0] / len(own)
        tracemalloc.stop()
        print(f"{size} deployments, {kept:.0f} bytes each")
        for name, priority in (("first token", LatencyPriority.STREAMING), ("whole answer", LatencyPriority.TOTAL)):
            choice, step = decision_us(view, priority), step_us(view, priority)
            print(f"  {name:13} choice {choice:4.0f} us, first step {step:4.0f} us")


if __name__ == "__main__":
    main()

"""Worlds of equal deployments, in which only what a test names goes wrong."""

from __future__ import annotations

import numpy as np

from bench.routing.calls import Record
from bench.routing.deployments import STEP_S, Deployments
from bench.routing.scenario import Scenario
from bench.routing.simulation import Simulation
from bench.routing.traces import Floats
from bench.routing.world import STREAMING, UP, Capacity, World
from routing.policy import POLICIES

TTFT_S, SPREAD, PACE_S = 0.5, 0.3, 0.01
TARGET_S = 1.5
TOKENS_IN, TOKENS_OUT = 1_000.0, 50.0


def equal(
    deployments: int, rate: float, duration: float, instances: int = 1, load: float = 0.25, seed: int = 1
) -> World:
    """`rate` requests a second for `duration` seconds to deployments that are all alike."""
    rng = np.random.default_rng(seed)
    n, steps = int(rate * duration), int((duration + 120) / STEP_S) + 2
    capacity = np.full(deployments, rate / deployments / load)

    def grid(value: float) -> Floats:
        return np.full((steps, deployments), value)

    def same(value: float) -> Floats:
        return np.full(deployments, value)

    fleet = Deployments(
        name=[f"d{d}" for d in range(deployments)],
        provider=["p"] * deployments,
        tier=np.ones(deployments),
        price_in=same(1e-6),
        price_out=same(1e-6),
        place=["East US"] * deployments,
        router_places=["East US"],
        rtt=np.full((1, deployments), 0.002),
        log_ttft=grid(np.log(TTFT_S)),
        sigma_low=grid(SPREAD / 2),
        sigma_up=grid(SPREAD),
        sigma_tail=grid(SPREAD),
        log_tpot=grid(np.log(PACE_S)),
        prior_log_ttft=same(np.log(TTFT_S)),
        prior_log_tpot=same(np.log(PACE_S)),
        prior_sigma=same(SPREAD),
        tpot_sd=0.1,
        prompt_scale=same(20_000.0),
    )
    return World(
        scenario=Scenario("equal", duration=duration, warm=0.0, rate=rate, instances=instances),
        seed=seed,
        fleet=fleet,
        capacity=Capacity(
            per_s=capacity,
            nominal=capacity,
            service_s=same(1.0),
            dedicated=np.zeros(deployments, bool),
            slots=np.maximum(2, np.ceil(capacity)).astype(int),
            load_factor=same(0.3),
            tokens_per_s=same(np.inf),
        ),
        t=np.sort(rng.uniform(0, duration, n)),
        region=np.zeros(n, int),
        instance=rng.integers(0, instances, n),
        tokens_in=np.full(n, TOKENS_IN),
        tokens_out=np.full(n, TOKENS_OUT),
        hint=np.full(n, TOKENS_OUT),
        min_tier=np.ones(n, int),
        goal=np.full(n, STREAMING),
        eu_only=np.zeros(n, bool),
        deadline=np.full(n, TARGET_S),
        known_deadline=np.full(n, TARGET_S),
        u_break=np.ones(n),
        break_at=np.ones(n),
        z_ttft=rng.standard_normal((n, deployments), np.float32),
        z_tpot=0.1 * rng.standard_normal((n, deployments), np.float32),
        u_err=np.ones((n, deployments), np.float32),
        errors=grid(0.0),
        down=np.full((steps, deployments), UP, np.int8),
        break_share=same(0.0),
        hit=[],
        incident=None,
    )


def slow(world: World, d: int, start: float, end: float, factor: float) -> None:
    """Deployment d answers `factor` times as slowly from `start` to `end`."""
    span = slice(int(start / STEP_S), int(end / STEP_S))
    world.fleet.log_ttft[span, d] += np.log(factor)
    world.fleet.log_tpot[span, d] += np.log(factor)


def run(world: World, policy: str = "slo") -> Record:
    """The product's policy through a world."""
    return Simulation(world, lambda _: POLICIES[policy]()).run()


def sends(record: Record, d: int, start: float, end: float) -> float:
    """Share of the calls sent from `start` to `end` that went to deployment d."""
    inside = [to for at, to in record.sends if start <= at < end]
    return inside.count(d) / max(1, len(inside))

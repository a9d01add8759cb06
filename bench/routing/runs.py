"""Many runs: every policy through every scenario and seed, over all cores."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from bench.routing.ablations import ABLATED, without
from bench.routing.arrivals import ArrivalSource, MeasuredArrivals
from bench.routing.fleets import Measured, Source
from bench.routing.instances import count_histograms
from bench.routing.measures import Measures, measure
from bench.routing.oracles import Clairvoyant, StateOracle
from bench.routing.scenario import SCENARIOS, shortened
from bench.routing.shipped import Shipped
from bench.routing.simulation import Simulation
from bench.routing.world import World, build
from routing.engine import periods
from routing.policy import POLICIES
from routing.policy.seam import Policy
from routing.policy.slo import SloPolicy

type MakePolicy = Callable[[Simulation], Policy]
type Periods = tuple[float, float, float] | Literal["product"]  # seconds between flushes, merges and pulls
PRODUCTS: Final = "product"

READ_HISTOGRAMS = ("seed_tracked", "seed_load")  # policies that do
ORACLES: dict[str, MakePolicy] = {Clairvoyant.name: Clairvoyant, StateOracle.name: StateOracle}


@dataclass(frozen=True, slots=True)
class Run:
    """One policy through one world."""

    scenario: str
    seed: int
    policy: str
    measures: Measures


@dataclass(frozen=True, slots=True)
class Job:
    """One policy to be sent through one world."""

    scenario: str
    seed: int
    policy: str
    traces: Path | None = None
    share: float = 1.0  # of the scenario's time
    periods: Periods | None = None  # None: the scenario's


def maker(name: str) -> MakePolicy:
    """How to make the policy of this name for a simulation. KeyError: no such policy."""
    if name in ORACLES:
        return ORACLES[name]
    make = POLICIES[name]
    return lambda _: make()


def world_of(job: Job) -> World:
    """The world of a job, from traces or from the distributions that are shipped."""
    scenario = SCENARIOS[job.scenario]
    if job.share != 1.0:
        scenario = shortened(scenario, job.share)
    fleets: Source = Measured(job.traces) if job.traces else Shipped()
    requests: ArrivalSource = MeasuredArrivals(job.traces) if job.traces else Shipped()
    world = build(scenario, job.seed, fleets, requests)
    if job.periods is not None:
        flush, merge, pull = _products(world) if job.periods == PRODUCTS else job.periods
        world.scenario = replace(scenario, flush_s=flush, merge_s=merge, pull_s=pull)
    return world


def _products(world: World) -> tuple[float, float, float]:
    """What the product's own rules make of so many instances and deployments."""
    live, rows = world.routers, world.fleet.size
    return periods.flush_s(live, rows), periods.merge_s(live, rows), periods.pull_s(live, rows)


def run_job(job: Job) -> Run:
    """The policy of a job through its world; `slo-PART` is the product's without that part."""
    count_histograms(job.policy.startswith(READ_HISTOGRAMS))
    world, part = world_of(job), ABLATED.get(job.policy)
    try:
        with without(part) if part else nullcontext():
            measures = one(world, maker(SloPolicy.name if part else job.policy))
    finally:
        count_histograms(True)
    return Run(job.scenario, job.seed, job.policy, measures)


def one(world: World, make: MakePolicy) -> Measures:
    """One policy through a world."""
    return measure(world, Simulation(world, make).run())


def run_all(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Run]]:
    """Runs as they come, with a progress bar on stderr."""
    if not jobs:
        return
    context = multiprocessing.get_context("fork")
    with context.Pool(processes) as pool:
        for done, (job, run) in enumerate(pool.imap_unordered(_named, jobs), 1):
            _progress(done, len(jobs))
            yield job, run


def _named(job: Job) -> tuple[Job, Run]:
    return job, run_job(job)


def _progress(done: int, total: int) -> None:
    filled = 40 * done // total
    end = "\n" if done == total else ""
    print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {done}/{total} runs", end=end, file=sys.stderr, flush=True)

"""What would another policy, another limit or one more deployment have done?

`python -m bench.routing.replay LOG --fleet fleet.json --policies slo,litellm --limit ID=RPM --like ID`

The requests of the log arrive again as they did. How each deployment was at a moment is estimated from the samples in
the log: the median of its residuals and of its pace in every half minute, the spread over all of them, the share of its
errors in every minute. Where nothing was measured, the nearest half minute counts, and the fleet's prior where nothing
ever was. Whether a request would have been lucky elsewhere is not in the log: it is drawn from that spread, with the
same draw for every policy, so that they compare with each other and not with the log. Limits are those of the fleet
file.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.routing.arguments import all_known, limit, names
from bench.routing.deployments import STEP_S, Deployments
from bench.routing.measures import WINDOW_S, measure
from bench.routing.report import tables
from bench.routing.runs import ORACLES, Run, maker
from bench.routing.samplelog import LoggedRequest, read
from bench.routing.scenario import Scenario
from bench.routing.simulation import Simulation
from bench.routing.traces import Floats
from bench.routing.world import STREAMING, TAIL_S, TOTAL, UP, Capacity, World
from routing.errors import ConfigurationError
from routing.fleet import Deployment, Fleet, load
from routing.latency.prediction import prompt_log
from routing.load.lengths import Lengths
from routing.policy import POLICIES
from routing.request import Ask, LatencyPriority

LEVEL_S, ERRORS_S = 30.0, 60.0  # windows of estimates
LEAST_SIGMA = 0.15
PRIOR_SAMPLES = 5.0  # that the prior's spread is worth
TPOT_SD = 0.25
NO_TARGET_S = 1e6
LOGGED = "(the log itself)"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Changes to the fleet: requests a minute by deployment; deployments that get a twin."""

    limits: Mapping[str, int]
    twins: Sequence[str] = ()

    def of(self, fleet: Fleet) -> Fleet:
        """The changed fleet; twins are last. Raises ConfigurationError for an unknown deployment."""
        known = {d.id: d for d in fleet.deployments}
        all_known([*self.limits, *self.twins], known)
        changed = [self._limited(d) for d in fleet.deployments]
        twins = [self._limited(known[n]).model_copy(update={"id": f"{n}-twin{k}"}) for k, n in enumerate(self.twins)]
        return fleet.model_copy(update={"deployments": (*changed, *twins)})

    def _limited(self, d: Deployment) -> Deployment:
        limit = self.limits.get(d.id)
        if limit is None:
            return d
        scaled = max(1, round(d.tokens_per_minute * limit / d.requests_per_minute))
        return d.model_copy(update={"requests_per_minute": limit, "tokens_per_minute": scaled})


class LoggedAsks:
    """What each logged request asked."""

    def __init__(self, log: Sequence[LoggedRequest]) -> None:
        self._log = log

    def of(self, i: int, lengths: Lengths) -> Ask:
        """See AskSource. What was expected then is in the log."""
        r = self._log[i]
        return Ask(
            demand=r.demand,
            priority=r.priority,
            streamed=r.streamed,
            target_s=None if r.target_ms is None else r.target_ms / 1000,
            tokens_in=r.tokens_in,
            expected_tokens=r.expected_tokens,
            reserved_tokens=int(r.tokens_in + r.expected_tokens),
        )

    def hint(self, i: int) -> float:
        """See AskSource."""
        return self._log[i].expected_tokens


def replayed(log: Sequence[LoggedRequest], fleet: Fleet, policies: Sequence[str], seed: int = 1) -> list[Run]:
    """Each policy through the logged requests. Raises ConfigurationError where there is nothing to replay."""
    origins, runs = _origins(log, fleet), []
    for policy in policies:
        world = world_of(log, fleet, origins, seed)
        record = Simulation(world, maker(policy), fleet, LoggedAsks(log), origins).run()
        runs.append(Run("log", seed, policy, measure(world, record)))
    return runs


def _origins(log: Sequence[LoggedRequest], fleet: Fleet) -> list[str]:
    """The regions of the routers that wrote the log. Raises ConfigurationError where it cannot be of this fleet."""
    if not log or log[-1].at - log[0].at < WINDOW_S:
        raise ConfigurationError(f"the log holds no request, or less than {WINDOW_S:g} s of them: that tells nothing")
    origins = sorted({r.origin for r in log})
    for origin in origins:
        if origin not in fleet.region_by_name:
            raise ConfigurationError(f"the log's origin '{origin}' is no region of the fleet")
    tried = {attempt.deployment for r in log for attempt in r.attempts}
    if tried.isdisjoint(d.id for d in fleet.deployments):
        raise ConfigurationError(f"none of the log's deployments ({', '.join(sorted(tried)[:5])}) is in the fleet")
    return origins


def as_logged(log: Sequence[LoggedRequest]) -> Run:
    """What the log itself says was reached: the measure of how far the simulated figures can be trusted."""
    return Run("log", 1, LOGGED, {"hit": statistics.fmean(r.met for r in log)})


def world_of(log: Sequence[LoggedRequest], fleet: Fleet, origins: Sequence[str], seed: int) -> World:
    """The world that the log tells of."""
    start, duration = log[0].at, log[-1].at - log[0].at + 1.0
    steps = int((duration + TAIL_S) / STEP_S) + 2
    deployments = [_Estimate(log, fleet, d, steps) for d in fleet.deployments]
    size, n, rng = len(deployments), len(log), np.random.default_rng(seed)
    instances = {name: k for k, name in enumerate(sorted({r.instance for r in log}))}
    per_region = len(instances)
    region = np.array([origins.index(r.origin) for r in log])
    priors = [fleet.prior_of(d) for d in fleet.deployments]
    streaming = np.array([r.priority is LatencyPriority.STREAMING for r in log])
    target = np.array([NO_TARGET_S if r.target_ms is None else r.target_ms / 1000 for r in log])
    levels, sigma = np.stack([e.levels for e in deployments], 1), np.stack([e.sigma for e in deployments], 1)
    per_s = np.array([d.requests_per_minute / 60 for d in fleet.deployments])
    law = Deployments(
        name=[d.id for d in fleet.deployments],
        provider=[d.provider for d in fleet.deployments],
        tier=np.array([fleet.model_of(d).quality_tier for d in fleet.deployments]),
        price_in=np.array([fleet.model_of(d).price_in / 1e6 for d in fleet.deployments]),
        price_out=np.array([fleet.model_of(d).price_out / 1e6 for d in fleet.deployments]),
        place=[d.region for d in fleet.deployments],
        router_places=list(origins),
        rtt=np.array([[fleet.rtt_ms(o, d.region) / 1000 for d in fleet.deployments] for o in origins]),
        log_ttft=levels,
        sigma_low=0.5 * sigma,
        sigma_up=sigma,
        sigma_tail=sigma,
        log_tpot=np.stack([e.paces for e in deployments], 1),
        prior_log_ttft=np.log([p.ttft_ms / 1000 for p in priors]),
        prior_log_tpot=-np.log([p.tokens_per_second for p in priors]),
        prior_sigma=np.array([p.spread for p in priors]),
        tpot_sd=TPOT_SD,
        prompt_scale=np.full(size, 20_000.0),
    )
    return World(
        scenario=Scenario("log", duration=duration, warm=0.0, instances=per_region),
        seed=seed,
        fleet=law,
        capacity=Capacity(
            per_s=per_s,
            nominal=per_s,
            service_s=np.ones(size),
            dedicated=np.zeros(size, bool),
            slots=np.array([max(2, d.concurrency) for d in fleet.deployments]),
            load_factor=np.zeros(size),  # how load slowed them is in the levels already
            tokens_per_s=np.array([d.tokens_per_minute / 60 for d in fleet.deployments]),
        ),
        t=np.array([r.at - start for r in log]),
        region=region,
        instance=region * per_region + np.array([instances[r.instance] for r in log]),
        tokens_in=np.array([float(r.tokens_in) for r in log]),
        tokens_out=np.array([max(1.0, r.expected_tokens if r.tokens_out is None else r.tokens_out) for r in log]),
        hint=np.array([r.expected_tokens for r in log]),
        min_tier=np.array([r.demand.min_quality_tier for r in log]),
        goal=np.where(streaming, STREAMING, TOTAL),
        eu_only=np.zeros(n, bool),
        deadline=target,
        known_deadline=target,
        u_break=np.ones(n),
        break_at=np.ones(n),
        z_ttft=rng.standard_normal((n, size), np.float32),
        z_tpot=TPOT_SD * rng.standard_normal((n, size), np.float32),
        u_err=rng.random((n, size), np.float32),
        errors=np.stack([e.errors for e in deployments], 1),
        down=np.full((steps, size), UP, np.int8),
        break_share=np.zeros(size),
        hit=[],
        incident=None,
    )


class _Estimate:
    """How one deployment was over time: level of ln(TTFT), its spread, ln(pace) and share of errors, by grid step."""

    def __init__(self, log: Sequence[LoggedRequest], fleet: Fleet, deployment: Deployment, steps: int) -> None:
        prior, name = fleet.prior_of(deployment), deployment.id.partition("-twin")[0]
        calls = [(r.at - log[0].at, r, a) for r in log for a in r.attempts if a.deployment == name]
        grid = np.arange(0, steps * STEP_S, STEP_S, dtype=np.float64)
        first = [
            (t, math.log(max(5.0, a.ttft_ms - a.network_ms) / 1000) - prompt_log(r.tokens_in))
            for t, r, a in calls
            if a.ttft_ms is not None and r.streamed  # of an answer in one piece it is the time of the whole
        ]
        self.levels = _over_time(first, grid, math.log(prior.ttft_ms / 1000), LEVEL_S, "median")
        deviations = np.array([x - np.interp(t, grid, self.levels) for t, x in first])
        squares = float((deviations**2).sum()) * 1.45 + PRIOR_SAMPLES * prior.spread**2
        self.sigma = np.full(steps, max(LEAST_SIGMA, math.sqrt(squares / (len(first) + PRIOR_SAMPLES))))
        paces = [(t, math.log(max(0.1, a.ms_per_token) / 1000)) for t, _, a in calls if a.ms_per_token is not None]
        self.paces = _over_time(paces, grid, -math.log(prior.tokens_per_second), LEVEL_S, "median")
        failed = [(t, float(a.error not in (None, "rate_limited"))) for t, _, a in calls]
        self.errors = _over_time(failed, grid, 0.0, ERRORS_S, "mean")


def _over_time(samples: Sequence[tuple[float, float]], grid: Floats, prior: float, width: float, how: str) -> Floats:
    """The median or mean of each window, linear between the windows' middles; the prior without samples."""
    if not samples:
        return np.full(len(grid), prior)
    t, x = np.array(samples).T
    window = (t / width).astype(int)
    present = sorted(set(window.tolist()))
    estimate = np.median if how == "median" else np.mean
    values = [float(estimate(x[window == k])) for k in present]
    return np.interp(grid, [(k + 0.5) * width for k in present], values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 a wrong argument, log or fleet."""
    parser = argparse.ArgumentParser(prog="python -m bench.routing.replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--fleet", type=Path, default=Path("fleet.json"))
    parser.add_argument("--policies", default="slo", help="comma-separated, or all")
    parser.add_argument(
        "--limit", action="append", default=[], type=limit, metavar="ID=RPM", help="requests a minute; repeatable"
    )
    parser.add_argument("--like", action="append", default=[], metavar="ID", help="one more like this; repeatable")
    try:
        _compare(parser.parse_args(arguments))
    except ConfigurationError as e:
        print(e, file=sys.stderr)
        return 2
    return 0


def _compare(chosen: argparse.Namespace) -> None:
    """Everything is read and every name known before the first table. Raises ConfigurationError."""
    policies, fleet = names(chosen.policies, [*POLICIES, *ORACLES]), load(chosen.fleet)
    what_if = WhatIf(dict(chosen.limit), chosen.like)
    changed, log = what_if.of(fleet), read(chosen.log)
    runs = [*replayed(log, fleet, policies), as_logged(log)]
    print("As it was\n\n" + tables(runs, policies, ["log"], aside=[LOGGED]))
    if what_if.limits or what_if.twins:
        print("With the changes\n\n" + tables(replayed(log, changed, policies), policies, ["log"]))


if __name__ == "__main__":
    sys.exit(main())

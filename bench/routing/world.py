"""The world of one scenario and seed: every random number that it needs is drawn beforehand.

So all policies meet the same requests, with the same luck of each request on each deployment and the same background,
and differences between policies are paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.routing.arrivals import ArrivalSource, arrivals
from bench.routing.deployments import STEP_S, Deployments, wobble
from bench.routing.fleets import FLEETS, Source
from bench.routing.places import in_eu
from bench.routing.scenario import Scenario
from bench.routing.traces import Column, Floats

STREAMING, TOTAL, THROUGHPUT = range(3)  # what a request wants to be fast
TIER_DEMAND = {1: 0.35, 2: 0.30, 3: 0.20, 4: 0.15}
TIER_CAPACITY = {1: 0.22, 2: 0.28, 3: 0.25, 4: 0.25}
GOOD_QUANTILE = 0.35  # deadlines are anchored to a deployment that is better than most of those that may serve
MOST_TOKENS_IN, MOST_TOKENS_OUT = 100_000, 2_000
ERROR_SHARE, BROWNOUT_ERROR_SHARE = 0.003, 0.03
EU_SHARE = 0.08  # of requests, that must stay in the EU
LENGTH_ERROR = 0.30  # in logs, of what the router is told of an answer's length
PROVIDER_TAU_S = 60.0
TAIL_S = 120.0  # simulated after the last arrival
UP, REFUSES, HANGS = range(3)


@dataclass(slots=True)
class Capacity:
    """What D deployments take, and what the router was told of it."""

    per_s: Floats  # requests a second
    nominal: Floats  # the same as configured, 20 % off
    service_s: Floats  # typical seconds that a request is in service
    dedicated: Column  # bool: slots and a queue, instead of a token bucket
    slots: Column
    load_factor: Floats  # how strongly its own load slows it
    tokens_per_s: Floats  # inf where tokens are not counted


@dataclass(slots=True)
class World:
    """N requests and D deployments."""

    scenario: Scenario
    seed: int
    fleet: Deployments
    capacity: Capacity
    # of the N requests
    t: Floats  # arrival, s
    region: Column
    instance: Column
    tokens_in: Floats
    tokens_out: Floats
    hint: Floats  # expected tokens, as the router is told
    min_tier: Column
    goal: Column
    eu_only: Column
    deadline: Floats  # seconds to the first token or to the end, by goal
    known_deadline: Floats  # as the router is told: it does not know the true length of an answer
    u_break: Floats
    break_at: Floats  # share of the answer after which a stream that breaks is cut
    # luck of each request on each deployment
    z_ttft: Column
    z_tpot: Column
    u_err: Column
    # of each deployment at each grid step
    errors: Floats
    down: Column
    break_share: Floats  # (D) of streams, that are cut after their first token
    hit: list[int]  # deployments of the incident
    incident: tuple[float, float] | None

    @property
    def n(self) -> int:
        """Requests."""
        return len(self.t)

    @property
    def routers(self) -> int:
        """Router instances."""
        return len(self.fleet.router_places) * self.scenario.instances

    def eligible(self, tier: int, eu: bool) -> tuple[Column, bool]:
        """(mask of deployments that may serve, whether residency binds: only where two or more are left)."""
        good: Column = self.fleet.tier >= tier
        inside = good & np.array([in_eu(p) for p in self.fleet.place])
        return (inside, True) if eu and inside.sum() >= 2 else (good, False)


def build(scenario: Scenario, seed: int, fleets: Source, requests: ArrivalSource) -> World:
    """Draw the world of `scenario` with `seed`."""
    rng = np.random.default_rng([seed, 7919])
    steps = int((scenario.duration + TAIL_S) / STEP_S) + 2
    fleet = FLEETS[scenario.fleet](fleets, rng, steps, scenario.segment)
    routers = fleet.rtt.shape[0]
    weights = np.array(scenario.region_weights[:routers])
    x = arrivals(requests, scenario.arrivals, rng, scenario.duration, scenario.rate, list(weights / weights.sum()))
    n, region = len(x), x[:, 1].astype(int)
    tokens_in, tokens_out = np.minimum(x[:, 2], MOST_TOKENS_IN), np.minimum(x[:, 3], MOST_TOKENS_OUT)
    instance = region * scenario.instances + rng.integers(0, scenario.instances, n)
    goals = _goals(fleet, rng, tokens_out)
    z_ttft, z_tpot, u_err = _luck(fleet, rng, n, scenario.common)
    capacity = _capacity(fleet, rng, scenario, tokens_out)
    errors, down, hit, incident = _incidents(fleet, scenario, steps)
    if scenario.bad_prior > 0:
        fleet.prior_log_ttft = fleet.prior_log_ttft + rng.normal(0, scenario.bad_prior, fleet.size)
        fleet.prior_log_tpot = fleet.prior_log_tpot + rng.normal(0, scenario.bad_prior, fleet.size)
    extra = np.random.default_rng([seed, 104729])  # what only some scenarios draw does not move the others
    _slow_providers(fleet, extra, scenario, steps)
    if scenario.token_limits:
        mean_tokens = float(np.mean(tokens_in + goals[0]))
        capacity.tokens_per_s = capacity.per_s * mean_tokens
    return World(
        scenario, seed, fleet, capacity, x[:, 0], region, instance, tokens_in, tokens_out, *goals,
        u_break=extra.random(n), break_at=extra.random(n), z_ttft=z_ttft, z_tpot=z_tpot, u_err=u_err, errors=errors,
        down=down, break_share=_break_share(fleet, extra, scenario.breaks), hit=hit, incident=incident,
    )  # fmt: skip


def _medians(fleet: Deployments) -> tuple[Floats, Floats]:
    return np.exp(np.median(fleet.log_ttft, 0)), np.exp(np.median(fleet.log_tpot, 0))


def _goals(
    fleet: Deployments, rng: np.random.Generator, tokens_out: Floats
) -> tuple[Floats, Column, Column, Column, Floats, Floats]:
    """(hint, minimum tier, goal, EU only, deadline, known deadline) of each request.

    Deadlines are anchored to what the eligible fleet can do, as a product owner would set them.
    """
    n, tiers = len(tokens_out), _tiers(fleet)
    share = np.array([TIER_DEMAND[k] for k in tiers])
    min_tier = rng.choice(tiers, n, p=share / share.sum())
    goal = rng.choice([STREAMING, TOTAL, THROUGHPUT], n, p=[0.5, 0.3, 0.2])
    ttft, tpot = _medians(fleet)
    good_ttft = {k: np.quantile(ttft[fleet.tier >= k], GOOD_QUANTILE) for k in tiers}
    good_tpot = {k: np.quantile(tpot[fleet.tier >= k], GOOD_QUANTILE) for k in tiers}
    a = np.array([good_ttft[k] for k in min_tier]) + 0.05
    b = np.array([good_tpot[k] for k in min_tier])
    first = a * rng.choice([1.4, 2.2, 4.0], n, p=[0.35, 0.4, 0.25])
    hint = np.maximum(4, tokens_out * np.exp(rng.normal(0, LENGTH_ERROR, n)))
    whole = first + np.maximum(hint, 20) * b * 1.25
    deadline = np.where(
        goal == STREAMING, np.maximum(0.35, first), np.where(goal == TOTAL, whole, first + tokens_out * b * 1.15)
    )
    known = np.where(goal == THROUGHPUT, first + hint * b * 1.15, deadline)
    return hint, min_tier, goal, rng.random(n) < EU_SHARE, deadline, known


def _tiers(fleet: Deployments) -> list[int]:
    return sorted({int(k) for k in fleet.tier})


def _luck(fleet: Deployments, rng: np.random.Generator, n: int, common: float) -> tuple[Column, Column, Column]:
    """Luck of every request on every deployment: TTFT, time per token, error."""
    own = rng.standard_normal((n, fleet.size)).astype(np.float32)
    shared = rng.standard_normal((n, 1)).astype(np.float32)
    z_ttft = np.sqrt(common) * shared + np.sqrt(1 - common) * own
    z_tpot = rng.standard_normal((n, fleet.size)).astype(np.float32) * fleet.tpot_sd
    u_err = rng.random((n, fleet.size)).astype(np.float32)
    fleet.prompt_scale = np.exp(rng.normal(np.log(20000), 0.8, fleet.size))
    return z_ttft, z_tpot, u_err


def _capacity(fleet: Deployments, rng: np.random.Generator, scenario: Scenario, tokens_out: Floats) -> Capacity:
    """Requests a second, slots, and how strongly load slows each deployment."""
    share = np.exp(rng.normal(0, 0.5, fleet.size))
    for tier in _tiers(fleet):
        mine = fleet.tier == tier
        share[mine] *= TIER_CAPACITY[tier] / share[mine].sum()
    per_s = share / share.sum() * (len(tokens_out) / scenario.duration) / scenario.load
    ttft, tpot = _medians(fleet)
    service = ttft * np.exp(0.3 * np.median(fleet.sigma_up, 0) ** 2) + np.median(tokens_out) * 1.4 * tpot
    dedicated = rng.random(fleet.size) < scenario.dedicated
    return Capacity(
        per_s=per_s,
        service_s=service,
        dedicated=dedicated,
        slots=np.maximum(2, np.ceil(per_s * service)).astype(int),
        nominal=per_s * np.exp(rng.normal(0, 0.2, fleet.size)),
        load_factor=np.where(dedicated, 1.5, 0.3),
        tokens_per_s=np.full(fleet.size, np.inf),
    )


def _incidents(
    fleet: Deployments, scenario: Scenario, steps: int
) -> tuple[Floats, Column, list[int], tuple[float, float] | None]:
    """(error shares, who is down, the deployments hit, when).

    A brown-out hits the fastest deployment overall, of tiers 3 and up and of tier 4; an outage the largest region.
    """
    errors, down = np.full((steps, fleet.size), ERROR_SHARE), np.full((steps, fleet.size), UP, np.int8)
    hit: list[int] = []
    when: tuple[float, float] | None = None
    ttft, tpot = _medians(fleet)
    order = np.argsort(ttft + 100 * tpot)
    for incident in scenario.incidents:
        span = slice(int(incident.start / STEP_S), int(incident.end / STEP_S))
        if incident.kind == "brownout":
            hit = sorted({int(next(d for d in order if fleet.tier[d] >= k)) for k in (0, 3, 4)})
            fleet.log_ttft[span, hit] += np.log(incident.factor)
            fleet.log_tpot[span, hit] += np.log(incident.factor) * 0.5
            errors[span, hit] = BROWNOUT_ERROR_SHARE
        else:
            hit = _largest_region(fleet)
            for j, d in enumerate(hit):
                down[span, d] = REFUSES if j % 2 == 0 else HANGS
        when = incident.start, incident.end
    return errors, down, hit, when


def _largest_region(fleet: Deployments) -> list[int]:
    """The deployments of the region that holds most; among the probes of 2024, those in the EU."""
    if len(fleet.router_places) == 3:
        return [d for d in range(fleet.size) if in_eu(fleet.place[d])]
    largest = max(dict.fromkeys(fleet.place), key=fleet.place.count)
    return [d for d in range(fleet.size) if fleet.place[d] == largest]


def _slow_providers(fleet: Deployments, rng: np.random.Generator, scenario: Scenario, steps: int) -> None:
    """A slowness that all deployments of a provider share."""
    if scenario.provider_wobble <= 0:
        return
    providers = sorted(set(fleet.provider))
    walks = wobble(rng, steps, len(providers), PROVIDER_TAU_S, scenario.provider_wobble)
    column = [providers.index(p) for p in fleet.provider]
    fleet.log_ttft += walks[:, column]
    fleet.log_tpot += 0.5 * walks[:, column]


def _break_share(fleet: Deployments, rng: np.random.Generator, mean: float) -> Floats:
    """A quarter of the deployments cut four times the mean share of streams, the others none."""
    faulty = rng.permutation(fleet.size) < fleet.size / 4
    return np.where(faulty, 4 * mean, 0.0)

"""From the world to the product's own words: its fleet, and what each request asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.routing.deployments import Z90, Z99
from bench.routing.places import REGIONS
from bench.routing.traces import Floats
from bench.routing.world import STREAMING, THROUGHPUT, TOTAL, World
from routing.fleet import Deployment, Fleet, LatencyProfile, Model
from routing.load.lengths import LONG_ANSWER_TOKENS, Lengths
from routing.request import Ask, Demand, LatencyPriority

PRIORITY = {
    STREAMING: LatencyPriority.STREAMING,
    TOTAL: LatencyPriority.TOTAL,
    THROUGHPUT: LatencyPriority.THROUGHPUT,
}
UNCOUNTED = 10**9  # tokens a minute of a deployment that does not count them
QUEUE = 1.5  # a dedicated deployment takes half as many calls again as it has slots
BUCKET_CONCURRENCY = 200  # of a deployment that limits the rate alone: what a fleet file says by default
LEAST_SPREAD = 0.15
NAME = "auto"  # by which all callers ask for a model


@dataclass(slots=True)
class SimulatedAsk(Ask):
    """A request with its number, so that an oracle can look its luck up. No other policy reads it."""

    number: int = 0


def fleet_of(world: World) -> Fleet:
    """The fleet as a user would have written it down: static priors, limits as configured."""
    places = dict.fromkeys([*world.fleet.router_places, *world.fleet.place])
    return Fleet(
        models=tuple(_model(world, d) for d in range(world.fleet.size)),
        regions=tuple(REGIONS[p] for p in places),
        deployments=tuple(_deployment(world, d) for d in range(world.fleet.size)),
    )


def _model(world: World, d: int) -> Model:
    fleet = world.fleet
    return Model(
        id=f"m{d}",
        vendor="other",
        quality_tier=int(fleet.tier[d]),
        price_in=float(fleet.price_in[d]) * 1e6,
        price_out=float(fleet.price_out[d]) * 1e6,
        context_window=1_000_000,
        default_max_tokens=4096,
        max_output_tokens=16_384,
        latency=profile(float(fleet.prior_log_ttft[d]), float(fleet.prior_sigma[d]), float(fleet.prior_log_tpot[d])),
    )


def profile(log_ttft: float, sigma: float, log_tpot: float) -> LatencyProfile:
    """A static prior from logs of seconds."""
    ttft, sigma = 1000 * math.exp(log_ttft), max(LEAST_SPREAD, sigma)
    return LatencyProfile(
        ttft_ms=ttft,
        ttft_p90_ms=ttft * math.exp(Z90 * sigma),
        ttft_p99_ms=ttft * math.exp(Z99 * sigma),
        tokens_per_second=math.exp(-log_tpot),
        p95_total_ms=ttft * math.exp(1.645 * sigma) + 200_000 * math.exp(log_tpot),
    )


def _deployment(world: World, d: int) -> Deployment:
    capacity = world.capacity
    nominal, tokens = float(capacity.nominal[d]), float(capacity.tokens_per_s[d])
    slots = math.ceil(QUEUE * nominal * float(capacity.service_s[d]))
    return Deployment(
        id=f"d{d}",
        provider="openai_compatible",
        resource=f"r{d}",
        model=f"m{d}",
        region=REGIONS[world.fleet.place[d]].id,
        type="Standard",
        concurrency=max(2, slots) if capacity.dedicated[d] else BUCKET_CONCURRENCY,
        tokens_per_minute=UNCOUNTED if math.isinf(tokens) else max(1, round(60 * tokens)),
        requests_per_minute=max(1, round(60 * nominal)),
    )


def _seconds_a_token(world: World) -> Floats:
    """What one token more adds to the target of a request that wants a rate of tokens; 0 for others."""
    longer = world.tokens_out - world.hint
    return np.where(longer == 0, 0.0, (world.deadline - world.known_deadline) / np.where(longer == 0, 1.0, longer))


class AskSource(Protocol):
    """Tells what each request asks."""

    def of(self, i: int, lengths: Lengths) -> Ask:
        """The ask of request i, at an instance that has learned these lengths of answers."""
        ...

    def hint(self, i: int) -> float:
        """The length of its answer in tokens as the router is told."""
        ...


class Asks:
    """Makes the ask of each request as it arrives."""

    def __init__(self, world: World) -> None:
        kinds = {(t, e): world.eligible(t, e)[1] for t in {int(t) for t in world.fleet.tier} for e in (False, True)}
        self._demands = {
            key: Demand(min_quality_tier=key[0], allowed_regions=("eu",) if binds else ())
            for key, binds in kinds.items()
        }
        self._hints, self._unstreamed = world.scenario.hints, world.scenario.unstreamed
        self._deadlines = world.scenario.deadlines
        self._rows: list[tuple[int, bool, int, float, float, float]] = list(
            zip(
                world.min_tier.tolist(),
                world.eu_only.tolist(),
                world.goal.tolist(),
                world.known_deadline.tolist(),
                world.tokens_in.tolist(),
                world.hint.tolist(),
                strict=True,
            )
        )
        self._per_token = _seconds_a_token(world).tolist()

    def of(self, i: int, lengths: Lengths) -> SimulatedAsk:
        """The ask of request i."""
        tier, eu, goal, target, tokens_in, hint = self._rows[i]
        ask = SimulatedAsk(
            demand=self._demands[tier, eu],
            priority=PRIORITY[goal],
            streamed=goal == STREAMING or not self._unstreamed,
            target_s=target,
            deadline_s=target if self._deadlines and goal != STREAMING else None,
            tokens_in=int(tokens_in),
            expected_tokens=hint,
            reserved_tokens=int(tokens_in + hint),
            number=i,
        )
        if not self._hints:
            self._forget_hint(ask, hint, lengths)
        return ask

    def _forget_hint(self, ask: SimulatedAsk, hint: float, lengths: Lengths) -> None:
        """What the product makes of a request that tells no length. A rate of tokens is a target by the length."""
        expected = lengths.answer(NAME, None)
        if ask.priority is LatencyPriority.THROUGHPUT:
            expected = max(expected, LONG_ANSWER_TOKENS)
            assert ask.target_s is not None
            ask.target_s += (expected - hint) * self._per_token[ask.number]
        ask.expected_tokens, ask.length_spread = expected, lengths.spread(NAME, hinted=False)
        ask.reserved_tokens = int(ask.tokens_in + expected)

    def hint(self, i: int) -> float:
        """The answer's length in tokens as the router is told: what is reserved for it."""
        return self._rows[i][5]

"""Simulated deployments: how the latency of each one moves over time.

At grid step t the TTFT of deployment d, at a 1,000-token prompt and without network or load, is
exp(log_ttft[t, d] + x), where x is a normal of three pieces: sigma_low below the median, sigma_up from there to the
90 % point, sigma_tail above it. Time per output token is log-normal around exp(log_tpot[t, d]).

A level replays a series (measured or drawn): each value is one regime that lasts `segment` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.routing.traces import Floats

STEP_S = 2.0  # of the grid
CROSSFADE_S = 20.0  # at the end of each regime
Z90, Z99 = 1.2816, 2.3263
LUCK_SHARE = 0.85  # quantiles over half an hour mix regimes and luck: the luck of one moment is a little narrower


@dataclass(slots=True)
class Series:
    """One deployment's regimes, in order. Natural logs of seconds, TTFT without network."""

    name: str
    tier: int
    price_in: float  # dollars a token
    price_out: float
    log_ttft: Floats
    sigma_up: Floats  # of the upper half up to the 90 % point
    sigma_tail: Floats  # beyond
    log_tpot: Floats


@dataclass(slots=True)
class Deployments:
    """D deployments; (T, D) has one row a grid step, (R, D) one a router region."""

    name: list[str]
    provider: list[str]
    tier: Floats  # (D) quality, 4 = best
    price_in: Floats  # (D) dollars a token
    price_out: Floats
    place: list[str]  # (D) where each is hosted
    router_places: list[str]  # (R)
    rtt: Floats  # (R, D) s
    log_ttft: Floats  # (T, D)
    sigma_low: Floats  # (T, D)
    sigma_up: Floats  # (T, D)
    sigma_tail: Floats  # (T, D)
    log_tpot: Floats  # (T, D)
    prior_log_ttft: Floats  # (D) what the router was told beforehand, with its error
    prior_log_tpot: Floats
    prior_sigma: Floats
    tpot_sd: float  # of log time per token from request to request
    prompt_scale: Floats = field(default_factory=lambda: np.zeros(0))  # (D) prompt tokens that double TTFT

    @property
    def size(self) -> int:
        """How many."""
        return len(self.name)


def replay(values: Floats, steps: int, segment: float, phase: float) -> Floats:
    """Values one after the other, `segment` seconds each, each faded into the next at its end."""
    t = np.arange(steps) * STEP_S + phase
    k = (t // segment).astype(int) % len(values)
    w = np.clip((t % segment - (segment - CROSSFADE_S)) / CROSSFADE_S, 0, 1)
    faded: Floats = values[k] * (1 - w) + values[(k + 1) % len(values)] * w
    return faded


def replay_all(series: Sequence[Floats], steps: int, segment: float, phases: Floats) -> Floats:
    """`replay` of one series per deployment: (T, D)."""
    return np.stack([replay(v, steps, segment, p) for v, p in zip(series, phases, strict=True)], 1)


def wobble(rng: np.random.Generator, steps: int, n: int, tau: float, sd: float) -> Floats:
    """n first-order autoregressive walks with time constant `tau` (s) and stationary deviation `sd`: (T, n)."""
    a = np.exp(-STEP_S / tau)
    shocks = rng.standard_normal((steps, n)) * sd * np.sqrt(1 - a * a)
    x = np.empty((steps, n))
    x[0] = rng.standard_normal(n) * sd
    for i in range(1, steps):
        x[i] = a * x[i - 1] + shocks[i]
    return x


def noisy(rng: np.random.Generator, x: Sequence[float] | Floats, sd: float) -> Floats:
    """x with a normal error: what a static prior knows."""
    told: Floats = np.array(x) + rng.normal(0, sd, len(x))
    return told

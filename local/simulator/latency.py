"""How long a simulated call takes. Every formula is here; no clock, no I/O: `now` and `rng` are arguments.

At the deployment, for a call with `tokens` of prompt that finds `load` = running calls / the fleet's concurrency:

    ttft  = quantile(z) · prompt · (1 + load²/2) · exp(drift) · spell · fault           z ~ N(0, 1) per call
    quantile(z) = p50 · exp(s·z/2)                       z < 0
                = p50 · exp(s·z)                         0 ≤ z < z90
                = p50 · exp(s·z90 + t·(z - z90))         above        s = max(0.15, ln(p90/p50)/z90)
                                                                      t = ln(p99/p90)/(z99 - z90)
    prompt = (1 + tokens/20000) / 1.05
    token  = exp(y) · (1 + load^1.5) / tokens_per_second                                y ~ N(0, 0.15) per answer
    drift  : per region, Ornstein-Uhlenbeck (a continuous AR(1)), deviation 0.1, time constant 60 s
    spell  : every 180 to 360 s one region gets 4 to 8 times the TTFT for 20 to 40 s; else 1

Sources. p50, p90, p99 and tokens_per_second are the fleet's priors: medians over days of 30-minute production
quantiles, for a prompt of 1,000 tokens. The three pieces fit them, since measured TTFT has a heavier tail than a
log-normal and a lower half about half as wide. Prompt and load terms are the router's own model of a deployment at load
factor 1, so that what the router believes can be held against what the simulator does. Drift and spells are an
invention at a demonstration's pace: production drifts more slowly and breaks more rarely.

The network is the fleet's round trip from the origin region to the deployment's: one half delays the request, the
other every byte of the response, so a stream is shifted and keeps its shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from routing.fleet import LatencyProfile

Z90, Z99 = 1.2816, 2.3263  # 90 % and 99 % points of the standard normal distribution
LOWER_HALF = 0.5  # width of the half below the median, relative to the upper
PROMPT_TOKENS_DOUBLING, PRIOR_PROMPT_TOKENS = 20_000, 1_000
PACE_SIGMA = 0.15
DRIFT_SIGMA, DRIFT_TAU_S = 0.1, 60.0
SPELL_EVERY_S, SPELL_LASTS_S, SPELL_FACTOR = (180.0, 360.0), (20.0, 40.0), (4.0, 8.0)
# Headers, Azure's prompt-filter chunk and Anthropic's message_start leave before there is content. How long before is
# not published; at 80 % of the TTFT a router that takes them for the first token is visibly wrong.
HEADERS_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Service:
    """What one call gets at the deployment: seconds to its first token and between its tokens, without network."""

    ttft_s: float
    token_s: float


def ttft_ms(prior: LatencyProfile, z: float) -> float:
    """TTFT of a call with luck `z` (standard normal) at the prior's own prompt length, unloaded, ms."""
    if z < 0:
        x = LOWER_HALF * prior.spread * z
    elif z < Z90:
        x = prior.spread * z
    else:
        tail = math.log(prior.ttft_p99_ms / prior.ttft_p90_ms) / (Z99 - Z90)
        x = prior.spread * Z90 + tail * (z - Z90)
    return prior.ttft_ms * math.exp(x)


def prompt_factor(tokens: int) -> float:
    """How much longer a prompt of `tokens` takes than the prior's 1,000."""
    return (1 + tokens / PROMPT_TOKENS_DOUBLING) / (1 + PRIOR_PROMPT_TOKENS / PROMPT_TOKENS_DOUBLING)


def serve(prior: LatencyProfile, prompt_tokens: int, load: float, slowdown: float, rng: Random) -> Service:
    """Draw one call's service. `load` counts the call itself; `slowdown` (weather, fault) stretches TTFT only."""
    ttft = ttft_ms(prior, rng.gauss(0, 1)) * prompt_factor(prompt_tokens) * (1 + 0.5 * load**2) * slowdown
    pace = math.exp(rng.gauss(0, PACE_SIGMA)) * (1 + load**1.5) / prior.tokens_per_second
    return Service(ttft / 1000, pace)


class Drift:
    """One region's slow wobble, in logs. Exact at any spacing of calls, so idle time needs no ticks."""

    def __init__(self, now: float, rng: Random) -> None:
        self._x, self._at = rng.gauss(0, DRIFT_SIGMA), now

    def log_factor(self, now: float, rng: Random) -> float:
        """Its value at `now` (seconds, must not fall)."""
        if now > self._at:
            keep = math.exp((self._at - now) / DRIFT_TAU_S)
            self._x = keep * self._x + rng.gauss(0, DRIFT_SIGMA * math.sqrt(1 - keep * keep))
            self._at = now
        return self._x


class Spells:
    """Slow spells: now and then one region is several times slower for half a minute."""

    def __init__(self, regions: Sequence[str], now: float, rng: Random) -> None:
        self._regions, self._next_at = regions, now + rng.uniform(*SPELL_EVERY_S)
        self._region, self._until, self._factor = "", now, 1.0

    def factor(self, region: str, now: float, rng: Random) -> float:
        """By how much `region` is slower at `now`. Spells never overlap: the next comes after the last has ended."""
        while now >= self._next_at:
            self._region, self._factor = rng.choice(self._regions), rng.uniform(*SPELL_FACTOR)
            self._until = self._next_at + rng.uniform(*SPELL_LASTS_S)
            self._next_at += rng.uniform(*SPELL_EVERY_S)
        return self._factor if region == self._region and now < self._until else 1.0


class Weather:
    """Drift and spells of all regions; calm weather has neither."""

    def __init__(self, regions: Sequence[str], now: float, rng: Random, *, calm: bool) -> None:
        self._drifts = {} if calm else {region: Drift(now, rng) for region in regions}
        self._spells = None if calm else Spells(regions, now, rng)

    def slowdown(self, region: str, now: float, rng: Random) -> float:
        """Factor on TTFT in `region` at `now`; 1 when calm."""
        if self._spells is None:
            return 1.0
        drift = self._drifts[region].log_factor(now, rng)
        return math.exp(drift) * self._spells.factor(region, now, rng)

"""From what is known of a deployment to a probability: natural logs, seconds.

F(r) = P(ttft - network <= r) = Phi(z), z = (ln r - at) / spread, doubled where negative: the lower half of the
distribution is half as wide as the upper. `at` holds the level, the prompt and the shift from median to mean.
"""

from __future__ import annotations

import math
from math import erf, log  # by name: called for every candidate of every request
from typing import NamedTuple

SHIFT = 0.2  # the level is a mean of residuals; the median lies this many spreads below it
PRIOR_SAMPLES = 2.0  # that the prior of a level is worth
PROMPT_SCALE, PROMPT_BASE = 20_000.0, 1_000.0  # TTFT grows with 1 + tokens / 20,000; priors hold at 1,000 tokens
_PROMPT_AT_BASE = 1 + PROMPT_BASE / PROMPT_SCALE
_ROOT_THREE = math.sqrt(3)
# A median moves while it is learned, by about half of a spread: with this variance, in spreads, the 90 % interval below
# holds the true median in 88 to 94 % of cases in simulation (`python -m bench.routing.intervals`), known well or little
DRIFT = 0.25
P90, P95, P99 = 1.2816, 1.6449, 2.3263  # points of the standard normal distribution
_ROOT_HALF = math.sqrt(0.5)
_FAR = 6.0  # deviations, beyond which the asymptote is right within 0.2 %

type LengthPoints = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


class Belief(NamedTuple):
    """What follows from a deployment's sums and prior; renewed when something about it arrives."""

    at: float  # ln of the median TTFT without network at a 1,000-token prompt
    spread: float  # of the upper half, in logs
    pace: float  # seconds per output token
    keep: float  # 1 - share of failures
    doubt: float  # 1 without samples, falling to 0
    sent: float  # share of the nominal rate that all instances send
    level: float
    samples: float

    @property
    def median_s(self) -> float:
        """Median TTFT without network at a 1,000-token prompt, seconds."""
        return math.exp(self.at)

    @property
    def median_interval(self) -> float:
        """Half of the 90 % interval of ln(median): the error of a mean of so many samples, and the drift meanwhile."""
        return P95 * self.spread * math.sqrt(1 / (self.samples + PRIOR_SAMPLES) + DRIFT)


def prompt_log(tokens_in: float) -> float:
    """ln of the factor that a prompt puts on TTFT: 0 at 1,000 tokens."""
    return math.log((1 + tokens_in / PROMPT_SCALE) / _PROMPT_AT_BASE)


def below(z: float) -> float:
    """P(standardised residual <= z)."""
    return 0.5 + 0.5 * math.erf(z * _ROOT_HALF if z > 0 else 2 * z * _ROOT_HALF)


def mean_above(z: float) -> float:
    """E[x | x > z] of a standard normal x: the inverse Mills ratio, and far out its asymptote."""
    if z > _FAR:
        return z + 1 / z
    return math.exp(-z * z / 2) / math.sqrt(math.pi / 2) / math.erfc(z * _ROOT_HALF)


def length_points(spread: float) -> LengthPoints:
    """How long an answer may be, as factors of what is expected with their weights: three Gauss-Hermite points of a
    log-normal of this spread."""
    far = math.exp(_ROOT_THREE * spread)
    return (1 / far, 1 / 6), (1.0, 2 / 3), (far, 1 / 6)


LENGTH_POINTS = length_points(0.38)  # where a caller has told the length: a third off, and the pace a quarter


def within(rest: float, at: float, spread: float, answer: float, lengths: LengthPoints = LENGTH_POINTS) -> float:
    """P(first token, and then `answer` seconds of generation, times one of `lengths`, within `rest` seconds)."""
    scale = _ROOT_HALF / spread
    if not answer:
        if rest <= 0:
            return 0.0
        z = (log(rest) - at) * scale
        return 0.5 + 0.5 * erf(z if z > 0 else 2 * z)
    p = 0.0
    for factor, weight in lengths:
        left = rest - answer * factor
        if left <= 0:
            break  # the other points are for longer answers still
        z = (log(left) - at) * scale
        p += weight * (0.5 + 0.5 * erf(z if z > 0 else 2 * z))
    return p


def ttft_at(z: float, at: float, spread: float) -> float:
    """The TTFT without network, in seconds, at the standardised point z (0 = median, 1.28 = p90, 2.33 = p99)."""
    return math.exp(at + (z if z > 0 else z / 2) * spread)

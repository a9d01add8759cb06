"""Views whose deployments have been measured, so that little is unknown about them."""

from __future__ import annotations

import math
from random import Random

from routing.policy.view import View
from tests.unit.fleets import deployment, prior, view

NOW = 100.0
NET_S = 0.002  # within the router's region


def measured(*ttft_ms: float, samples: int = 200, **changes: object) -> View:
    """Deployments a, b ... that have been measured to be as their priors say."""
    seen = view(*(deployment(chr(97 + i), latency=prior(ms), **changes) for i, ms in enumerate(ttft_ms)))
    know(seen, samples)
    return seen


def know(seen: View, samples: int = 200) -> None:
    rng = Random(5)
    for d in range(len(seen.fleet.deployments)):
        base, net = math.exp(seen.tracker.log_base[d]), seen.tracker.net_s[d]
        for _ in range(samples):
            seen.tracker.first_content(d, NOW, net + base * math.exp(rng.gauss(0.0, 0.3)), 1_000)

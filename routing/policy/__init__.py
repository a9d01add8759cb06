"""Which deployment: the product's policy, and rules of others beside it, for comparison on one's own fleet.

Each rule also comes as `rule+p95`, with hedges at a tracked 95 % point, and as `rule+hedges`, with the product's.
"""

from collections.abc import Callable
from functools import partial

from routing.policy.baseline import Baseline
from routing.policy.c3 import C3
from routing.policy.hedged import HedgedAtP95, WithPlannedHedges
from routing.policy.least_busy import LeastBusy
from routing.policy.litellm import LowestLatency, LowestLatencyBuffered
from routing.policy.peak_ewma import PeakEwma, PeakEwmaOfTwo
from routing.policy.prequal import Prequal
from routing.policy.round_robin import RoundRobin
from routing.policy.seam import Policy
from routing.policy.seed import SeedLoad, SeedStatic, SeedTracked
from routing.policy.slo import SloPolicy
from routing.policy.weighted_random import PriceInverseSquare, WeightedRandom

BASELINES: tuple[type[Baseline], ...] = (
    LowestLatency,
    LowestLatencyBuffered,
    C3,
    PeakEwma,
    PeakEwmaOfTwo,
    Prequal,
    LeastBusy,
    RoundRobin,
    WeightedRandom,
    PriceInverseSquare,
    SeedStatic,
    SeedTracked,
    SeedLoad,
)


def _policies() -> dict[str, Callable[[], Policy]]:
    policies: dict[str, Callable[[], Policy]] = {SloPolicy.name: SloPolicy}
    for rule in BASELINES:
        policies[rule.name] = rule
        policies[f"{rule.name}+p95"] = partial(_hedged, HedgedAtP95, rule)
        policies[f"{rule.name}+hedges"] = partial(_hedged, WithPlannedHedges, rule)
    return policies


def _hedged(how: Callable[[Baseline], Policy], rule: type[Baseline]) -> Policy:
    return how(rule())


POLICIES = _policies()

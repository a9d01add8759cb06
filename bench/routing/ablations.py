"""What each part of the engine is worth: the product's policy with exactly one part switched off.

The product has no flags for this. A part is switched off by putting something else in its place, a constant or a
function, in this process and around one run; a policy named `slo-PART` is `slo` in such a run. A prior that is worth
infinitely many samples is one that nothing is learned beside. `slo-dice` lacks nothing: it tells how much of a
difference is chance, because every change of a choice moves all that follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import NamedTuple
from unittest.mock import patch

from bench.routing import instances
from bench.routing.instances import SharedStore
from routing.errors import RateLimited
from routing.health import ejection
from routing.health.ejection import Ejections
from routing.latency import tracker
from routing.latency.tracker import LatencyTracker
from routing.load.quota import Quota
from routing.plan import Plan
from routing.policy import slo, view
from routing.policy.seam import Choice
from routing.policy.slo import Row, SloPolicy
from routing.policy.view import View
from routing.request import Ask

DRAW, PLANNED_HEDGE = SloPolicy._draw, Plan._planned_hedge
AS_GOOD_AS_INFINITE = 1e12  # samples, where infinity would be divided by itself


class Part(NamedTuple):
    """A part of the engine, and what is put in its place: (owner, attribute, the other value)."""

    without_it: str
    changes: Sequence[tuple[object, str, object]]


# ---------------------------------------------------------------------- what stands in a part's place
def _nothing(*_: object) -> None:
    """Learn, count, plan or write nothing."""


def _argmax(_view: View, rows: Sequence[Row], _best: float, _rng: Random, _softness: float) -> int:
    return slo._likeliest(rows)[3]


class _Same:
    """Randomness that draws the same one again, so that there are no two to choose from."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def choices(self, rows: Sequence[Row], weights: Sequence[float], k: int) -> list[Row]:
        """k times the first of k draws."""
        return [self._rng.choices(rows, weights, k=k)[0]] * k


def _one(seen: View, rows: Sequence[Row], best: float, rng: Random, softness: float) -> int:
    return DRAW(seen, rows, best, _Same(rng), softness)  # type: ignore[arg-type]


def _flat_price(seen: View, ask: Ask) -> float:
    return slo.HEDGE_PRICE * seen.hedge_cost(ask.tokens_in)


def _tokens_alone(seen: View, tokens_in: int) -> float:
    return tokens_in / seen.mean_prompt


def _unrefused(plan: Plan, choice: Choice, now: float) -> float | None:
    """The hedge's moment as if no 429 had been seen."""
    attempts = plan.attempts
    plan.attempts = [a for a in attempts if not isinstance(a.error, RateLimited)]
    try:
        return PLANNED_HEDGE(plan, choice, now)
    finally:
        plan.attempts = attempts


def _other_dice(seed: int) -> Random:
    return Random(seed + 10**12)


def _anywhere(_plan: Plan, candidates: Sequence[int]) -> Sequence[int]:
    return candidates


# ---------------------------------------------------------------------- the parts
PARTS = {
    # what is believed
    "learnt_pace": Part("pace stays at its prior", [(LatencyTracker, "_learn_pace", _nothing)]),
    "learnt_spread": Part("spread stays at its prior", [(tracker, "PRIOR_SPREAD", AS_GOOD_AS_INFINITE)]),
    "failing": Part("no share of failures in the probability", [(tracker, "PRIOR_FAILING", math.inf)]),
    "silence": Part(
        "a silent call that is dropped tells nothing",
        [(LatencyTracker, told, _nothing) for told in ("silent", "silent_whole")],
    ),
    "prompt_factor": Part(
        "prompts of any length wait alike", [(m, "prompt_log", lambda _tokens: 0.0) for m in (slo, tracker)]
    ),
    "renewal": Part("beliefs age only at news and pulls", [(tracker, "RENEW_S", math.inf)]),
    "cached_beliefs": Part("beliefs are renewed at every request", [(tracker, "RENEW_S", 0.0)]),
    "sharing": Part("every instance alone", [(SharedStore, "flush", _nothing)]),
    # the choice
    "spreading": Part("the best instead of a draw", [(SloPolicy, "_draw", staticmethod(_argmax))]),
    "second_of_two": Part("one draw instead of two", [(SloPolicy, "_draw", staticmethod(_one))]),
    "headroom": Part("weights without the share of quota used", [(slo, "HEADROOM_FLOOR", 1.0)]),
    "crowding": Part("value without the share of quota used", [(slo, "CROWDED", 0.0)]),
    "quota_headers": Part("headers are not read", [(Quota, "saw", _nothing)]),
    "send_rate": Part("what instances send does not count as use", [(LatencyTracker, "sent", _nothing)]),
    "exploration": Part("no noise on the level", [(slo, "EXPLORE", 0.0)]),
    "hopeless": Part("a target out of reach is chosen by all the same", [(slo, "HOPELESS", 0.0)]),
    # hedges
    "hedges": Part("no second calls", [(SloPolicy, "hedge_after", _nothing)]),
    "hedge_price": Part("the same whatever the purse holds", [(SloPolicy, "_price", staticmethod(_flat_price))]),
    "hedge_call_cost": Part("a hedge costs tokens alone, no call", [(View, "hedge_cost", _tokens_alone)]),
    "no_hedge_after_429": Part("a hedge may follow a 429", [(Plan, "_planned_hedge", _unrefused)]),
    # after a failure
    "ejection": Part("failures eject nobody", [(Ejections, "failed", _nothing)]),
    "ejection_bound": Part("the whole fleet may be ejected", [(ejection, "MOST_EJECTED", 1.0)]),
    "failover_purse": Part(
        "no bound on failovers but three tries", [(view, f"FAILOVER_{name}", math.inf) for name in ("CAP", "START")]
    ),
    "retry_softness": Part("a retry is drawn like a first try", [(slo, "RETRY_SOFTNESS", slo.SOFTNESS)]),
    "other_region": Part("a retry may go to the region that failed", [(Plan, "_elsewhere", _anywhere)]),
    # for comparison
    "dice": Part("everything, with other random numbers", [(instances, "Random", _other_dice)]),
}
ABLATED = {f"{SloPolicy.name}-{part}": part for part in PARTS}  # by the policy's name


@contextmanager
def without(part: str) -> Iterator[None]:
    """Whatever runs inside, in this process, runs without this part. KeyError: no such part."""
    with ExitStack() as undone:
        for owner, attribute, instead in PARTS[part].changes:
            undone.enter_context(patch.object(owner, attribute, instead))
        yield

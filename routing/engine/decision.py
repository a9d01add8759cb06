"""A decision and its explanation, for people: what was chosen, what else could have been, and why the rest is out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random

from routing.latency.prediction import P95, P99, prompt_log, ttft_at
from routing.plan import endings
from routing.plan.candidates import Candidates
from routing.policy.seam import Policy, Score
from routing.policy.view import View
from routing.request import Ask


@dataclass(frozen=True, slots=True)
class Candidate:
    """One deployment as it was judged. Times in ms; the network is part of all of them."""

    deployment: str
    probability: float
    predicted_ttft_ms: float  # median
    predicted_ttft_interval_ms: tuple[float, float]  # the median lies between these with 90 %
    predicted_ttft_p95_ms: float
    predicted_ttft_p99_ms: float
    predicted_total_ms: float  # median
    queue_ms: float
    network_ms: float
    quota_used: float
    in_flight: int
    failing: float  # share of recent calls that failed
    samples: float  # decayed count that the estimate rests on; 0 = the static prior alone
    age_s: float | None  # of the newest sample


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request would go now."""

    deployment: str
    model: str
    region: str
    reason: str
    probability: float
    predicted_ttft_ms: float
    predicted_total_ms: float
    target_ms: float | None  # the caller's, or None
    candidates: list[Candidate] = field(default_factory=list)  # likeliest first
    excluded: dict[str, str] = field(default_factory=dict)  # deployment -> why not

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def decide(ask: Ask, view: View, policy: Policy, rng: Random, now: float) -> Decision:
    """Choose as a request would, and explain. Raises what the request would be refused with."""
    candidates = Candidates(view, ask)
    ready, panic = candidates.ready(now)
    if not ready:
        raise endings.nothing_to_choose(view, candidates, now)
    scores = policy.score(view, ask, ready, ask.target_s, now)
    if ask.require and ask.target_s is not None:
        best, least = max(score.probability for score in scores), ask.percentile / 100
        ready = [score.deployment for score in scores if score.probability >= least]
        if not ready:
            raise endings.unattainable(best, ask.percentile)
    choice = policy.choose(view, ask, ready, ask.target_s, now, rng, ask.client_retry)
    names = [d.id for d in view.fleet.deployments]
    chosen = view.fleet.deployments[choice.score.deployment]
    return Decision(
        deployment=chosen.id,
        model=chosen.model,
        region=chosen.region,
        reason="panic" if panic else choice.reason,
        probability=round(choice.score.probability, 4),
        predicted_ttft_ms=round(1000 * choice.score.ttft, 1),
        predicted_total_ms=round(1000 * choice.score.total, 1),
        target_ms=None if ask.target_s is None else 1000 * ask.target_s,
        candidates=[_candidate(view, ask, s, now) for s in sorted(scores, key=lambda s: -s.value)],
        excluded={names[d]: why for d, why in candidates.exclusions(now).items()},
    )


def _candidate(view: View, ask: Ask, score: Score, now: float) -> Candidate:
    d, tracker = score.deployment, view.tracker
    belief, seen = tracker.beliefs[d], tracker.known[d].newest_at
    at, error = belief.at + prompt_log(ask.tokens_in), belief.median_interval

    def ttft_ms(z: float, median: float) -> float:
        return round(1000 * (tracker.net_s[d] + score.queue + ttft_at(z, median, belief.spread)), 1)

    return Candidate(
        deployment=view.fleet.deployments[d].id,
        probability=round(score.probability, 4),
        predicted_ttft_ms=round(1000 * score.ttft, 1),
        predicted_ttft_interval_ms=(ttft_ms(0.0, at - error), ttft_ms(0.0, at + error)),
        predicted_ttft_p95_ms=ttft_ms(P95, at),
        predicted_ttft_p99_ms=ttft_ms(P99, at),
        predicted_total_ms=round(1000 * score.total, 1),
        queue_ms=round(1000 * score.queue, 1),
        network_ms=round(1000 * tracker.net_s[d], 1),
        quota_used=round(score.used, 4),
        in_flight=view.slots.in_flight[d],
        failing=round(1 - belief.keep, 4),
        samples=round(belief.samples, 2),
        age_s=None if seen is None else round(now - seen, 1),
    )

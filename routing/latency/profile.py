"""Latency profiles: what was measured of each deployment, for people and for other instances."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from routing.latency.histogram import DecayedHistogram
from routing.latency.tracker import LatencyTracker


@dataclass(frozen=True, slots=True)
class Profile:
    """One deployment as one region sees it. None = not measured yet; then the static prior is what counts."""

    deployment: str
    model: str
    region: str
    source: str  # measured from this region, or prior: the static one, or what other regions know of the model
    samples: float  # decayed count, from this region
    model_samples: float  # decayed count behind the model's part, from all regions; of the last minute or two
    age_s: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    ttft_p99_ms: float | None
    total_p50_ms: float | None
    total_p95_ms: float | None
    total_p99_ms: float | None
    network_ms: float
    model_ttft_ms: float  # believed median of the model's own part, for a prompt of 1,000 tokens
    tokens_per_second: float  # believed
    failing: float

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def profiles(tracker: LatencyTracker, now: float) -> list[Profile]:
    """All deployments at `now` (s), in the fleet's order."""
    return [_profile(tracker, d, now) for d in range(len(tracker.fleet.deployments))]


def _profile(tracker: LatencyTracker, d: int, now: float) -> Profile:
    deployment, belief, seen = tracker.fleet.deployments[d], tracker.belief(d, now), tracker.known[d].newest_at
    ttft, total = tracker.known[d].ttft_ms, tracker.known[d].total_ms
    return Profile(
        deployment=deployment.id,
        model=deployment.model,
        region=deployment.region,
        source="prior" if seen is None else "measured",
        samples=round(total.count(now), 2),
        model_samples=round(belief.samples, 2),
        age_s=None if seen is None else round(max(0.0, now - seen), 1),
        ttft_p50_ms=_quantile(ttft, 0.5),
        ttft_p95_ms=_quantile(ttft, 0.95),
        ttft_p99_ms=_quantile(ttft, 0.99),
        total_p50_ms=_quantile(total, 0.5),
        total_p95_ms=_quantile(total, 0.95),
        total_p99_ms=_quantile(total, 0.99),
        network_ms=round(1000 * tracker.net_s[d], 2),
        model_ttft_ms=round(1000 * belief.median_s, 1),
        tokens_per_second=round(1 / belief.pace, 1),
        failing=round(1 - belief.keep, 4),
    )


def _quantile(histogram: DecayedHistogram, q: float) -> float | None:
    value = histogram.quantile(q)
    return None if value is None else round(value, 1)

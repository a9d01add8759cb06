"""What a provider's response headers tell of its load. All of them are optional, none is trusted to be a number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from routing.outcome import Signals

PROCESSING = ("openai-processing-ms", "x-envoy-upstream-service-time")  # ms from the gateway to the model's first byte
# (remaining, limit) of a quota, as OpenAI and Azure name them and as Anthropic does
QUOTAS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-limit-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-limit"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-limit"),
)
UTILISATION = "azure-openai-deployment-utilization"  # of provisioned throughput, per cent


def of(headers: Mapping[str, str], connect_s: float | None) -> Signals:
    """The signals in `headers`; `connect_s` is the round trip seen while connecting, in seconds."""
    return Signals(
        processing_ms=next((ms for name in PROCESSING if (ms := _number(headers.get(name))) is not None), None),
        utilisation=_utilisation(headers),
        connect_ms=None if connect_s is None else 1000 * connect_s,
    )


def _utilisation(headers: Mapping[str, str]) -> float | None:
    """Share of the quota in use, of the scarcest one that is told."""
    told = _number(headers.get(UTILISATION, "").rstrip("%"))
    shares = [] if told is None else [told / 100]
    for remaining_name, limit_name in QUOTAS:
        remaining = headers.get(remaining_name)
        if remaining is None:
            continue
        left, limit = _number(remaining), _number(headers.get(limit_name))
        if left is not None and limit:
            shares.append(1 - left / limit)
    return max(0.0, min(1.0, max(shares))) if shares else None


def _number(text: str | None) -> float | None:
    """A finite number that is not negative, or None."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None

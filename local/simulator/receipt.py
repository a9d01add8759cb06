"""What response headers tell: facts of one call, and when to come back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Allowance:
    """A limit per minute, what is left of it, and when it is whole again."""

    limit: int
    remaining: int
    whole_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """Facts of one call, for either dialect's headers. `processing_ms` is queue and model, without network."""

    request_id: str
    region: str
    processing_ms: int
    requests: Allowance
    tokens: Allowance


def retry_headers(retry_after_s: float | None) -> dict[str, str]:
    """Both headers that say when to come back; whole seconds are rounded up."""
    if retry_after_s is None:
        return {}
    return {"retry-after-ms": str(math.ceil(retry_after_s * 1000)), "retry-after": str(math.ceil(retry_after_s))}

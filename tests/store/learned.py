"""Totals for tests."""

from __future__ import annotations

import time
from typing import Any

from routing.latency.sums import ANSWERS, COLUMNS
from routing.ports import Learned

NOW = float(int(time.time()))


def learned(at: float = NOW, samples: float = 1.0, **changes: Any) -> Learned:
    """A total of so many answers at `at`."""
    sums = [0.0] * COLUMNS
    sums[ANSWERS] = samples
    fields: dict[str, Any] = {"ttft_ms": {52: samples}, "total_ms": {70: samples}, "newest_at": at} | changes
    return Learned(at, fields.pop("sums", sums), **fields)

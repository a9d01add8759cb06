"""A log of this router's own samples, for `bench.routing.replay`. Off unless ROUTER_SAMPLE_LOG names a file.

One JSON object a line, as `bench/routing/samplelog.py` reads it; nothing of prompt, answer, caller or user is in it.
Lines are gathered and written by a thread once a second: no request waits for a disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from routing.engine.exchange import Exchange
from routing.outcome import Outcome
from routing.plan import Attempt

VERSION = 2
WRITTEN_EVERY_S = 1.0
MOST_LINES = 10_000  # held while the disk is away; the oldest are dropped
LOG = logging.getLogger("routing.sample_log")


class SampleLog:
    """Appends to one file."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path, self._origin, self._instance = path, origin, uuid4().hex[:8]
        self._lines: deque[bytes] = deque(maxlen=MOST_LINES)
        self._writing = False

    def saw(self, exchange: Exchange, outcome: Outcome) -> None:
        """Note a request that is over."""
        self._lines.append(orjson.dumps(self._sample(exchange, outcome)) + b"\n")
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().call_later(WRITTEN_EVERY_S, self._write)

    def _write(self) -> None:
        text = b"".join(self._lines)
        self._lines.clear()
        self._writing = False
        asyncio.get_running_loop().run_in_executor(None, _append, self._path, text)

    def _sample(self, exchange: Exchange, outcome: Outcome) -> dict[str, Any]:
        ask, usage = exchange.request.ask, outcome.usage
        demand = ask.demand
        return {
            "v": VERSION,
            "at": exchange.received_at,
            "origin": self._origin,
            "instance": self._instance,
            "priority": ask.priority.value,
            "target_ms": None if ask.target_s is None else 1000 * ask.target_s,
            "met": outcome.error is None and outcome.slo in ("met", "none"),
            "streamed": ask.streamed,
            "models": demand.models,
            "fallbacks": demand.fallbacks,
            "tier": demand.min_quality_tier,
            "regions": demand.allowed_regions,
            "dialect": demand.dialect,
            "needs": sorted(demand.needs),
            "parameters": sorted(demand.parameters),
            "output_tokens": demand.output_tokens,
            "pinned": demand.pinned,
            "tokens_in": ask.tokens_in,
            "expected_tokens": ask.expected_tokens,
            "tokens_out": None if usage is None else usage.completion_tokens,
            "attempts": [_attempt(exchange, outcome, attempt) for attempt in exchange.plan.attempts],
        }


def _attempt(exchange: Exchange, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
    measured = outcome.measurement if attempt.first_at is not None else None
    pace = None
    if measured is not None and measured.generation_ms > 0 and measured.tokens_generated > 1:
        pace = measured.generation_ms / (measured.tokens_generated - 1)
    return {
        "deployment": exchange.view.fleet.deployments[attempt.deployment].id,
        "network_ms": 1000 * exchange.view.tracker.net_s[attempt.deployment],
        "ttft_ms": None if attempt.first_at is None else 1000 * (attempt.first_at - attempt.sent_at),
        "ms_per_token": pace,
        "error": attempt.error.code if attempt.error else None,
    }


def _append(path: Path, text: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(text)
    except OSError as e:
        LOG.warning("the sample log cannot be written: %s", e.strerror)

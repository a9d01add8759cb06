"""What frontends report of their own waiting: the last mile, which the router cannot see.

A report names a request that this instance answered for the same caller, once; it is compared with what the router saw
of that request. Nothing else in it is believed.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from routing.errors import RequestError, TooManyRequests
from routing.latency.last_mile import LastMile

REMEMBERED = 10_000  # answered requests that may still be reported
LONGEST_MS = 600_000.0
LONGEST_ID = 128
PER_S, BURST = 20.0, 100.0  # reports of one caller
FIELDS = frozenset({"request_id", "ttft_ms", "total_ms"})


class Answered(NamedTuple):
    """A request as the router saw it."""

    caller: str
    user_region: str | None
    ttft_ms: float  # from its arrival


class Measurements:
    """Answered requests that may be reported, and what reports taught."""

    def __init__(self, last_mile: LastMile, now: Callable[[], float]) -> None:
        self.last_mile, self._now = last_mile, now
        self.counts: Counter[str] = Counter()  # reports, by what became of them
        self._answered: OrderedDict[str, Answered] = OrderedDict()
        self._left: dict[str, tuple[float, float]] = {}  # caller -> (reports it may still make, at)

    def answered(self, request_id: str, answered: Answered) -> None:
        """A request was answered; the oldest is forgotten."""
        self._answered[request_id] = answered
        if len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)

    def report(self, caller: str, raw: bytes) -> dict[str, Any]:
        """Take a report. Raises RequestError naming the field, TooManyRequests."""
        self._pay(caller)
        request_id, ttft_ms = _parsed(raw)
        found = self._answered.get(request_id)
        if found is None or found.caller != caller:
            return self._verdict("unknown_request", "no request of yours with this id was answered here, or not lately")
        del self._answered[request_id]
        if found.user_region is None:
            return self._verdict("no_region", "the request did not say where its user is")
        if not self.last_mile.add(found.user_region, (ttft_ms - found.ttft_ms) / 1000):
            return self._verdict("implausible", "less than the router itself took, or too long for a network")
        return self._verdict("recorded", None)

    def _verdict(self, outcome: str, why: str | None) -> dict[str, Any]:
        self.counts[outcome] += 1
        return {"object": "router.measurement", "recorded": why is None, "reason": why}

    def _pay(self, caller: str) -> None:
        """A bucket for each caller; callers are few, and named in the settings."""
        now = self._now()
        left, at = self._left.get(caller, (BURST, now))
        left = min(BURST, left + PER_S * max(0.0, now - at))
        if left < 1:
            self.counts["rate_limited"] += 1
            raise TooManyRequests("too many measurements at once", (1 - left) / PER_S)
        self._left[caller] = left - 1, now


def _parsed(raw: bytes) -> tuple[str, float]:
    """(request id, ttft in ms)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise RequestError(f"the body is not JSON: {e.msg}") from e
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    for name in body:
        if name not in FIELDS:
            raise RequestError(f"`{name[:40]}` is not known here; there are {', '.join(sorted(FIELDS))}", name[:40])
    request_id = body.get("request_id")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= LONGEST_ID:
        raise RequestError("`request_id` must be the x-request-id of an answer", "request_id")
    ttft_ms = _milliseconds(body, "ttft_ms")
    if "total_ms" in body and _milliseconds(body, "total_ms") < ttft_ms:
        raise RequestError("`total_ms` must not be less than `ttft_ms`", "total_ms")
    return request_id, ttft_ms


def _milliseconds(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RequestError(f"`{name}` must be a number", name)
    if not 0 < value <= LONGEST_MS:
        raise RequestError(f"`{name}` must be above 0 and at most {LONGEST_MS:g}", name)
    return float(value)

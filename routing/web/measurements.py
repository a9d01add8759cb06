"""What frontends report of their own waiting: the last mile, which the router cannot see.

A report hands back the receipt of an answer, which came with the answer's headers, once; it is compared with what the
router saw of that answer. Any instance of the region that answered can take it.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Any

import orjson

from routing.errors import RequestError, TooManyRequests
from routing.latency.last_mile import LastMile
from routing.web.auth import Keys
from routing.web.receipt import Receipt, sign, verify

LONGEST_MS = 600_000.0
LIVES_S = 900.0  # a receipt: issued with the first content, reported when the longest answer is over
PER_S, BURST = 20.0, 100.0  # reports of one caller
REMEMBERED = int(PER_S * LIVES_S + BURST)  # receipts taken: all that one caller can report while they are good
FIELDS = frozenset({"receipt", "ttft_ms", "total_ms"})


class Measurements:
    """Issues receipts, takes reports, and counts what became of them."""

    def __init__(
        self,
        keys: Keys,
        secret: bytes,
        origin: str,
        regions: Collection[str],
        last_mile: LastMile,
        now: Callable[[], float],
    ) -> None:
        """`secret` is what all instances of this app know, and no caller; `regions` are the fleet's."""
        self.last_mile = last_mile
        self.counts: Counter[str] = Counter()  # reports, by what became of them
        self._keys, self._shared, self._origin, self._regions, self._now = keys, secret, origin, regions, now
        self._taken: OrderedDict[str, None] = OrderedDict()  # receipts, oldest first
        self._left: dict[str, tuple[float, float]] = {}  # caller -> (reports it may still make, at)

    def receipt(self, caller: str, request_id: str, user_region: str, ttft_ms: float) -> bytes:
        """A receipt of an answer that is about to be sent, for its caller alone."""
        issued = Receipt(request_id, self._origin, user_region, round(ttft_ms, 1), round(self._now()))
        return sign(issued, self._secret(caller))

    def report(self, caller: str, raw: bytes) -> dict[str, Any]:
        """Take a report. Raises RequestError naming the field, TooManyRequests."""
        self._pay(caller)
        text, ttft_ms = _parsed(raw)
        receipt = verify(text, self._secret(caller))
        if receipt is None:
            self.counts["invalid_receipt"] += 1
            raise RequestError("`receipt` must be the x-router-receipt of an answer to you, as it came", "receipt")
        outcome, why = self._judged(caller, text, receipt, ttft_ms)
        self.counts[outcome] += 1
        recorded = why is None
        return {"object": "router.measurement", "request_id": receipt.request_id, "recorded": recorded, "reason": why}

    def _judged(self, caller: str, text: str, receipt: Receipt, ttft_ms: float) -> tuple[str, str | None]:
        """(what becomes of the report, why it is not recorded)."""
        if receipt.origin != self._origin:
            return "other_region", f"{receipt.origin} answered this request, and this is {self._origin}"
        if receipt.user_region not in self._regions:
            return "unknown_region", f"there is no region '{receipt.user_region}' in the fleet"
        if self._now() - receipt.issued_at > LIVES_S:
            return "expired", f"a receipt is good for {LIVES_S / 60:g} minutes"
        if text in self._taken:
            return "repeated", "this receipt was reported before"
        self._taken[text] = None
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        if not self.last_mile.add(caller, receipt.user_region, (ttft_ms - receipt.ttft_ms) / 1000, self._now()):
            return "implausible", "less than the router itself took, or too long for a network"
        return "recorded", None

    def _secret(self, caller: str) -> bytes:
        """A receipt is its caller's alone, and the caller cannot make one."""
        return self._shared + self._keys.secret(caller)

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
    """(receipt, ttft in ms)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise RequestError(f"the body is not JSON: {e.msg}") from e
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    for name in body:
        if name not in FIELDS:
            raise RequestError(f"`{name[:40]}` is not known here; there are {', '.join(sorted(FIELDS))}", name[:40])
    receipt = body.get("receipt")
    if not isinstance(receipt, str):
        raise RequestError("`receipt` must be the x-router-receipt of an answer", "receipt")
    ttft_ms = _milliseconds(body, "ttft_ms")
    if "total_ms" in body and _milliseconds(body, "total_ms") < ttft_ms:
        raise RequestError("`total_ms` must not be less than `ttft_ms`", "total_ms")
    return receipt, ttft_ms


def _milliseconds(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RequestError(f"`{name}` must be a number", name)
    if not 0 < value <= LONGEST_MS:
        raise RequestError(f"`{name}` must be above 0 and at most {LONGEST_MS:g}", name)
    return float(value)

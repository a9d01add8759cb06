"""What the simulation keeps: of an upstream call while it runs, and of every request for the measures."""

from __future__ import annotations

import math

FLYING, QUEUED, SERVING, DONE, DEAD = range(5)


class Call:
    """One upstream call."""

    __slots__ = (
        "d",
        "end_at",
        "first_at",
        "number",
        "queued_at",
        "request",
        "sent_at",
        "started_at",
        "state",
        "tpot",
        "ttft",
    )

    def __init__(self, request: int, number: int, d: int, now: float) -> None:
        self.request, self.number, self.d, self.sent_at = request, number, d, now
        self.state = FLYING
        self.started_at = self.queued_at = self.ttft = self.tpot = self.first_at = self.end_at = 0.0


class Record:
    """What is kept of the requests, for the measures. Times are absolute; nan = never."""

    def __init__(self, n: int) -> None:
        self.first_at, self.end_at = [math.nan] * n, [math.nan] * n
        self.winner, self.first_choice, self.predicted = [-1] * n, [-1] * n, [math.nan] * n
        # of the first choice alone: when its first token and end came, or would have come had no hedge won
        self.alone_first_at, self.alone_end_at = [math.nan] * n, [math.nan] * n
        self.met_429 = bytearray(n)
        self.waited = bytearray(n)  # more than a quarter of a second in a deployment's queue
        self.errors: dict[str, int] = {}
        self.sends: list[tuple[float, int]] = []
        self.hedges = self.hedge_wins = 0
        self.wasted_tokens = self.wasted_usd = 0.0

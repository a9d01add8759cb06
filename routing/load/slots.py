"""Leases: how many calls are in flight on each deployment, and how many may be.

A lease is taken before a call is opened and given back when its stream has ended, with a verdict, exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence

CAPACITY_LIMIT = 0.95  # of the slots: the rest is room for what other instances have sent since we last knew


class Slots:
    """In-flight calls per deployment index."""

    __slots__ = ("in_flight", "limits")

    def __init__(self, concurrency: Sequence[int]) -> None:
        self.limits = [max(1, int(CAPACITY_LIMIT * c)) for c in concurrency]
        self.in_flight = [0] * len(self.limits)

    def full(self, d: int) -> bool:
        """Whether 95 % of the slots are taken."""
        return self.in_flight[d] >= self.limits[d]

    def lease(self, d: int) -> Lease | None:
        """Take a slot; None when the deployment is full."""
        if self.full(d):
            return None
        self.in_flight[d] += 1
        return Lease(self, d)


class Lease:
    """One slot, held until `close`. Closing twice gives back one."""

    __slots__ = ("_deployment", "_slots")

    def __init__(self, slots: Slots, deployment: int) -> None:
        self._slots: Slots | None = slots
        self._deployment = deployment

    def close(self) -> None:
        """Give the slot back."""
        if self._slots is not None:
            self._slots.in_flight[self._deployment] -= 1
            self._slots = None


def queue_s(in_flight: int, slots: int, holding_s: float) -> float:
    """Expected wait in seconds for one of `slots` that calls hold for `holding_s` each, `in_flight` being taken.

    Sakasegawa's approximation of the M/M/c queue (1977): rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho)) service times.
    Below half of the slots it is under a thousandth of a service time for any c >= 30 and taken as none.
    """
    if 2 * in_flight < slots:
        return 0.0
    load = min(0.99, in_flight / slots)
    return float(holding_s * load ** ((2 * (slots + 1)) ** 0.5 - 1) / (slots * (1 - load)))

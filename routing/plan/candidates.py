"""Which deployments a request may be sent to at this moment, and why not to the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from routing.policy.view import View
from routing.ports import Override
from routing.request import Ask

UNSURE = 0.8  # our token estimate may be a quarter too high: a context window is only ruled out beyond that


class Candidates:
    """The candidates of one request. `tried` is the plan's to change as attempts are made."""

    def __init__(self, view: View, ask: Ask) -> None:
        self._view, self._ask = view, ask
        self.eligible = view.eligibility.of(ask.demand)
        self.tried: set[int] = set()
        self._smallest_window = 0  # a model that refused the prompt had this window: only larger ones may try

    def too_long_for(self, d: int) -> None:
        """The model of deployment d has refused the prompt for its length."""
        self._smallest_window = max(self._smallest_window, self._view.context_window[d])

    def ready(self, now: float) -> tuple[Sequence[int], bool]:
        """Deployments that may be sent to now, and whether health had to be ignored to find any (panic routing)."""
        health, slots, orders = self._view.health, self._view.slots, self._view.orders
        closed, in_flight, limits = health.closed_until, slots.in_flight, slots.limits
        drained: list[int] = []
        for group in (self.eligible.first, self.eligible.standby):
            usable = group if self._all_usable() else [d for d in group if not self._unusable(d)]
            open_ = [d for d in usable if closed[d] <= now and in_flight[d] < limits[d]]
            if orders:
                drained = drained or [d for d in open_ if self._drained(d)]
                open_ = [d for d in open_ if not self._drained(d)]
            if open_:
                return open_, False
        if drained:
            return drained, False
        # an ejected deployment may have recovered; one that said when to come back has not
        return [d for d in self.usable() if not slots.full(d) and health.refused_until[d] <= now], True

    def _all_usable(self) -> bool:
        """Whether there is no reason to look at each: the usual case, and worth a fifth of a first step's time."""
        ask, view = self._ask, self._view
        special = self.tried or view.orders or self._smallest_window or ask.max_cost_usd is not None
        return not special and UNSURE * ask.tokens_in <= view.least_window

    def usable(self) -> list[int]:
        """Deployments that could serve this request in some state of theirs."""
        return [d for d in self._all() if not self._unusable(d)]

    def retry_after(self, now: float) -> float:
        """Seconds until the first closed deployment that can serve this request opens; 1 where none is closed."""
        able = [d for d in self._all() if self._unusable(d) in ("", "tried")]
        waits = [self._view.health.closed_until[d] - now for d in able]
        return min((wait for wait in waits if wait > 0), default=1.0)

    def exclusions(self, now: float) -> dict[int, str]:
        """The reason for each deployment that is no candidate now."""
        ready, _ = self.ready(now)
        return self.eligible.excluded | {d: self._reason(d, now) for d in self._all() if d not in ready}

    def _reason(self, d: int, now: float) -> str:
        """Why an eligible deployment is no candidate: what is wrong with it, or that others come first."""
        health, reason = self._view.health, self._unusable(d)
        if reason:
            return _ordered(self._view.orders[d]) if reason == "disable" else reason
        if health.closed_until[d] > now:
            return f"{health.why[d]} for {health.closed_until[d] - now:.1f} s"
        if self._view.slots.full(d):
            return "at_capacity"
        return _ordered(self._view.orders[d]) if self._drained(d) else "stands_in"

    def _drained(self, d: int) -> bool:
        """An operator wants it empty: it is only taken where nothing else is left but what is ejected."""
        order = self._view.orders.get(d)
        return order is not None and order.state == "drain"

    def _all(self) -> Collection[int]:
        return (*self.eligible.first, *self.eligible.standby)

    def _unusable(self, d: int) -> str:
        """Why this request cannot go to an eligible deployment, whatever its state; empty if it can."""
        ask, view = self._ask, self._view
        if d in self.tried:
            return "tried"
        order = view.orders.get(d)
        if order is not None and order.state == "disable":
            return "disable"
        window = view.context_window[d]
        if window <= self._smallest_window or UNSURE * ask.tokens_in > window:
            return "context_window"
        if ask.max_cost_usd is not None and view.cost_usd(ask, d) > ask.max_cost_usd:
            return "price"
        return ""


def _ordered(order: Override) -> str:
    until = datetime.fromtimestamp(order.expires_at, UTC)
    return f"{order.state} by {order.author} until {until:%Y-%m-%d %H:%M} UTC"

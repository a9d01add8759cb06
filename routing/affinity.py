"""Where a user is at home: the region that answered last, whose prompt caches know the conversation.

Homes are kept in memory, where a request looks. What a shared store should be told or asked is collected as errands,
which the background runs: a request never waits for it, so the first one of a user who comes from another region may
be answered elsewhere, and the next one goes home.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

CAPACITY = 50_000  # users remembered by one instance; the least recently seen is forgotten
MOST_ERRANDS = 2_000  # not yet run; the oldest is dropped, and comes again when its user does
CONFIRM_S = 600.0  # another region may have moved the user meanwhile: an older word of the store is asked for again


class Errand(NamedTuple):
    """Something to tell or ask the store about a user."""

    user: str
    region: str | None  # the home to store; None: only ask
    leaves: int | None  # version of the stored home that the user has left; None: store only where there is none


class _Known(NamedTuple):
    region: str
    version: int  # 0: the store does not know of it yet
    confirmed_at: float


class Affinity:
    """Home region by user key. A key is a hash, never a name."""

    __slots__ = ("_errands", "_homes", "dropped")

    def __init__(self) -> None:
        self._homes: OrderedDict[str, _Known] = OrderedDict()
        self._errands: OrderedDict[str, Errand] = OrderedDict()
        self.dropped = 0  # errands that were never run

    def home(self, user_key: str | None, now: float = 0.0) -> str | None:
        """The user's home region, if one is known here. Where it is not, or was not confirmed for long, it is asked."""
        if user_key is None:
            return None
        known = self._homes.get(user_key)
        if known is None:
            self._run_later(Errand(user_key, None, None))
            return None
        self._homes.move_to_end(user_key)
        if known.version and now - known.confirmed_at > CONFIRM_S:
            self._run_later(Errand(user_key, None, None))
        return known.region

    def settle(self, user_key: str | None, region: str) -> None:
        """The user was answered from `region`."""
        if user_key is None:
            return
        known = self._homes.get(user_key)
        if known is not None and known.region == region:
            self._homes.move_to_end(user_key)
            return
        before = known or _Known(region, 0, 0.0)
        self._remember(user_key, _Known(region, before.version, before.confirmed_at))
        self._run_later(Errand(user_key, region, before.version if known else None))

    def confirmed(self, user_key: str, region: str, version: int, now: float) -> None:
        """The store's word, at `now` (s). A home only ever moves forward: an older version changes nothing."""
        known = self._homes.get(user_key)
        if known is None or version >= known.version:
            self._remember(user_key, _Known(region, version, now))

    def errands(self, most: int) -> list[Errand]:
        """The oldest errands, to be run now."""
        return [self._errands.popitem(last=False)[1] for _ in range(min(most, len(self._errands)))]

    def put_off(self, errands: list[Errand]) -> None:
        """They could not be run. What has come up about the same user meanwhile is newer."""
        for errand in errands:
            if errand.user not in self._errands:
                self._run_later(errand)

    @property
    def waiting(self) -> int:
        """Errands not yet run."""
        return len(self._errands)

    def _remember(self, user_key: str, known: _Known) -> None:
        self._homes[user_key] = known
        self._homes.move_to_end(user_key)
        if len(self._homes) > CAPACITY:
            self._homes.popitem(last=False)

    def _run_later(self, errand: Errand) -> None:
        """One errand a user: telling the store is also asking it."""
        waiting = self._errands.get(errand.user)
        if waiting is not None and errand.region is None:
            return
        self._errands[errand.user] = errand
        if len(self._errands) > MOST_ERRANDS:
            self._errands.popitem(last=False)
            self.dropped += 1

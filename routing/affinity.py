"""Where a user is at home: the region that answered last, whose prompt caches know the conversation.

Homes are kept in memory, where a request looks. What a shared store should be told or asked is collected as errands,
which the background runs: a request never waits for it, so the first one of a user who comes from another region may
be answered elsewhere, and the next one goes home.

An errand may get lost: dropped where there are too many, beaten by others thrice. So it is the home itself that
remembers whether the store was told of it, and each request of its user sends the errand again until it was.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from routing.ports import Home

CAPACITY = 50_000  # users remembered by one instance; the least recently seen is forgotten
MOST_ERRANDS = 2_000  # not yet run; the oldest is dropped, and comes again when its user does
# In a row, that move the home. One may be a moment's crowd, and the prompt cache is at home: in simulation homes move
# two to five times less often than at the first, and the hit rate is no lower
DETOURS = 2
CONFIRM_S = 600.0  # another region may have moved the user meanwhile: an older word of the store is asked for again
NONE_S = 3.0  # ... and one that it has no home: who has just been met elsewhere is told of within a second or two


class Errand(NamedTuple):
    """Something to tell or ask the store about a user."""

    user: str
    region: str | None  # the home to store; None: only ask
    leaves: int | None  # version of the stored home that the user has left; None: store only where there is none


class _Known(NamedTuple):
    region: str | None  # None: the store said that it has none, and no request was answered since
    version: int  # of the newest stored home that we heard of; 0: of none
    confirmed_at: float
    told: bool  # whether the store is known to have `region`
    detours: int = 0  # requests in a row that were better answered elsewhere

    def errand(self, user: str) -> Errand:
        """What the store should be told."""
        return Errand(user, self.region, self.version or None)


class Affinity:
    """Home region by user key. A key is a hash, never a name."""

    __slots__ = ("_errands", "_homes", "dropped")

    def __init__(self) -> None:
        self._homes: OrderedDict[str, _Known] = OrderedDict()
        self._errands: OrderedDict[str, Errand] = OrderedDict()
        self.dropped = 0  # errands that had no room; their users bring them again

    def home(self, user_key: str | None, now: float = 0.0) -> str | None:
        """The user's home region, if one is known here. Where it is not, or was not confirmed for long, it is asked."""
        if user_key is None:
            return None
        known = self._homes.get(user_key)
        if known is None:
            self._run_later(Errand(user_key, None, None))
            return None
        self._homes.move_to_end(user_key)
        if not known.told:
            self._run_later(known.errand(user_key))
        elif now - known.confirmed_at > (CONFIRM_S if known.region else NONE_S):
            self._run_later(Errand(user_key, None, None))
        return known.region

    def settle(self, user_key: str | None, region: str) -> None:
        """The user is at home in `region` from now on."""
        if user_key is None:
            return
        known = self._homes.get(user_key) or _Known(None, 0, 0.0, told=False)
        if known.region == region:
            self._remember(user_key, known._replace(detours=0))
        else:
            self._must_tell(user_key, known._replace(region=region, told=False, detours=0))

    def meet(self, user_key: str | None, region: str) -> None:
        """A request of the user was answered: `region` is their home where none is known."""
        known = self._homes.get(user_key) if user_key is not None else None
        if known is None or known.region is None:
            self.settle(user_key, region)

    def left(self, user_key: str | None, home: str, region: str, at_once: bool = False) -> None:
        """A request of the user was better answered from `region`: the last of DETOURS in a row moves the home, or
        this one, `at_once`.

        `home` is where they were at home when the request was decided. Those that were decided before the user moved
        say nothing of the home that they have now; the same holds for `stayed`.
        """
        known = self._at_home(user_key, home)
        if user_key is None or known is None:
            return
        if known.detours + 1 < DETOURS and not at_once:
            self._remember(user_key, known._replace(detours=known.detours + 1))
        else:
            self.settle(user_key, region)

    def stayed(self, user_key: str | None, home: str) -> None:
        """A request of the user, who was at home in `home`, was answered there, as it should be."""
        known = self._at_home(user_key, home)
        if user_key is not None and known is not None and known.detours:
            self._remember(user_key, known._replace(detours=0))

    def answered(self, errand: Errand, home: Home | None, now: float) -> None:
        """The store's answer to an errand, at `now` (s); None: it has no home, or others were faster thrice.

        An answer may be older than what the user has done since: while the errand ran, the user may have left.
        """
        user, known = errand.user, self._homes.get(errand.user)
        if home is None:
            if errand.region is None:
                self._has_none(user, known, now)
        elif known is None or known.told or home.region == known.region:
            self._remember(user, _Known(home.region, home.version, now, told=True))
        elif home.region == errand.region:  # it was told, and the user has moved on since: now it is that home's turn
            self._must_tell(user, known._replace(version=home.version))
        elif home.version > known.version:  # another region has moved the user: of two, the first one's word holds
            self._remember(user, _Known(home.region, home.version, now, told=True))

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

    def _has_none(self, user: str, known: _Known | None, now: float) -> None:
        """The store has no home of the user. Where we know one it has forgotten it: somebody has dropped the table."""
        if known is None or known.region is None:
            self._remember(user, _Known(None, 0, now, told=True))
        else:
            self._must_tell(user, known._replace(version=0, told=False))

    def _at_home(self, user_key: str | None, home: str) -> _Known | None:
        """What is known of the user, if they are at home there."""
        known = self._homes.get(user_key) if user_key is not None else None
        return known if known is not None and known.region == home else None

    def _must_tell(self, user_key: str, known: _Known) -> None:
        self._remember(user_key, known)
        self._run_later(known.errand(user_key))

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

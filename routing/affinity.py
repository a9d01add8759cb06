"""Where a user is at home: the region that answered last, whose prompt caches know the conversation."""

from __future__ import annotations

from collections import OrderedDict

CAPACITY = 50_000  # users remembered by one instance; the least recently seen is forgotten


class Affinity:
    """Home region by user key. A key is a hash, never a name."""

    __slots__ = ("_homes",)

    def __init__(self) -> None:
        self._homes: OrderedDict[str, str] = OrderedDict()

    def home(self, user_key: str | None) -> str | None:
        """The user's home region, if one is known."""
        if user_key is None or user_key not in self._homes:
            return None
        self._homes.move_to_end(user_key)
        return self._homes[user_key]

    def settle(self, user_key: str | None, region: str) -> None:
        """The user was answered from `region`."""
        if user_key is None:
            return
        self._homes[user_key] = region
        self._homes.move_to_end(user_key)
        if len(self._homes) > CAPACITY:
            self._homes.popitem(last=False)

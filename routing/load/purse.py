"""A purse bounds extra calls: each ordinary request pays a share in, each extra call takes its cost out."""

from __future__ import annotations


class Purse:
    """Holds at most `cap`, starts with `start`, gains `share` of each payment's cost."""

    __slots__ = ("cap", "content", "share")

    def __init__(self, share: float, cap: float, start: float) -> None:
        self.share, self.cap, self.content = share, cap, start

    def pay_in(self, cost: float = 1.0) -> None:
        """An ordinary call of this cost was made."""
        self.content = min(self.cap, self.content + self.share * cost)

    def holds(self, cost: float = 1.0) -> bool:
        """Whether an extra call of this cost can be afforded."""
        return self.content >= cost

    def take(self, cost: float = 1.0) -> bool:
        """Pay for an extra call; False, and nothing taken, where the purse does not hold it."""
        if self.content < cost:
            return False
        self.content -= cost
        return True

    def refund(self, cost: float = 1.0) -> None:
        """The extra call yielded content: it was no waste."""
        self.content = min(self.cap, self.content + cost)

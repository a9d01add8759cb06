"""The default store: the memory of one process. It keeps the seam that a shared store keeps."""

from __future__ import annotations

from collections.abc import Mapping

from routing.ports import Mergeable


class MemoryStore[S: Mergeable]:
    """Additions are appended, merged into profiles by a timer, and pulled: three stages, as in a shared store."""

    def __init__(self) -> None:
        self._appended: list[Mapping[int, S]] = []
        self._profiles: dict[int, S] = {}
        self._merged_at = 0.0

    async def append(self, additions: Mapping[int, S]) -> None:
        """Add what an instance learned since its last flush, by deployment."""
        self._appended.append(additions)

    async def merge(self, now: float) -> None:
        """Put everything appended so far into the profiles. Merging twice adds nothing twice."""
        appended, self._appended = self._appended, []
        for additions in appended:
            for deployment, sketch in additions.items():
                if deployment in self._profiles:
                    self._profiles[deployment].merge(sketch)
                else:
                    self._profiles[deployment] = sketch
        self._merged_at = now

    async def profiles(self) -> tuple[float, Mapping[int, S]]:
        """(moment of the last merge, profiles by deployment)."""
        return self._merged_at, self._profiles

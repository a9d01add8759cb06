"""What one instance has learned and not all others know yet: kept apart, so that it is shared, and counted once."""

from __future__ import annotations

from collections.abc import Iterable, Set

from routing.latency.sketch import Sketch

# Flushes of all deployments that are kept apart until a merge holds them, or as many sketches in more flushes: where
# instances are many, they write little at once and pull rarely
MOST_UNMERGED = 16


class News:
    """Of one instance. Deployments are indices into a fleet of `size`."""

    def __init__(self, size: int) -> None:
        self._most = MOST_UNMERGED * size
        self._fresh: dict[int, Sketch] = {}
        self._flushed: list[tuple[float, dict[int, Sketch]]] = []  # and not yet in what was pulled

    @property
    def fresh(self) -> Set[int]:
        """Deployments of which something was learned since their last flush."""
        return self._fresh.keys()

    @property
    def unmerged(self) -> int:
        """Sketches that were flushed and that no merge is known to hold."""
        return sum(len(flushed) for _, flushed in self._flushed)

    def about(self, d: int, now: float) -> Sketch:
        """Where what is learned of d now is added."""
        sketch = self._fresh.get(d)
        if sketch is None:
            sketch = self._fresh[d] = Sketch(now)
        return sketch

    def of(self, d: int) -> list[Sketch]:
        """All that no merge holds."""
        flushed = [sketches[d] for _, sketches in self._flushed if d in sketches]
        return [*flushed, self._fresh[d]] if d in self._fresh else flushed

    def flush(self, now: float, of: Iterable[int] | None = None) -> dict[int, Sketch]:
        """What is fresh, of these deployments or of all. It is kept until `merged` says that a merge holds it."""
        wanted = tuple(self._fresh) if of is None else of
        flushed = {d: self._fresh.pop(d) for d in wanted if d in self._fresh}
        if flushed:
            self._flushed.append((now, dict(flushed)))
        while self.unmerged > self._most:
            self._fold_oldest()
        return flushed

    def merged(self, until: float) -> None:
        """A merge holds what was flushed until then."""
        self._flushed = [(at, sketches) for at, sketches in self._flushed if at > until]

    def _fold_oldest(self) -> None:
        """Nothing was merged for long: the two oldest flushes become one, which is merged when the later one is.

        A profile that holds just the earlier one would have its samples counted twice until the next merge. It would
        have to be a merge from before all that is kept apart, and not pulled since.
        """
        (_, oldest), (at, folded) = self._flushed[:2]
        for d, sketch in oldest.items():
            both = Sketch(at)
            both.merge(sketch)
            if d in folded:
                both.merge(folded[d])
            folded[d] = both
        self._flushed[:2] = [(at, folded)]

"""The seams: what the engine needs of a provider and of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from routing.errors import RouterError
from routing.fleet import Deployment
from routing.outcome import Signals, Usage
from routing.request import ChatRequest


@dataclass(slots=True)
class Piece:
    """What one read of an answer brought: whole events only.

    `raw` is for a caller of the answer's own dialect, `texts` for any other: ("text" or "reasoning", words) in order.
    """

    raw: bytes = b""
    content: int = 0  # content-bearing events: text, reasoning or tool deltas
    reasoning: bool = False  # whether some of them were reasoning
    texts: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None  # stop, length, tool_calls, content_filter
    usage: Usage | None = None
    usage_raw: bytes = b""  # the event that holds only the usage; not in `raw`
    last: bool = False  # the answer is known to end here: the next read returns None without waiting

    def join(self, later: Piece) -> None:
        """Add the piece that came after this one."""
        self.raw += later.raw
        self.content += later.content
        self.reasoning = self.reasoning or later.reasoning
        self.texts += later.texts
        self.finish = later.finish or self.finish
        self.usage = later.usage or self.usage
        self.usage_raw = later.usage_raw or self.usage_raw
        self.last = later.last


class Answer(Protocol):
    """An answer whose headers have come. Always closed by whoever opened it, once or more."""

    dialect: str
    signals: Signals

    async def read(self) -> Piece | None:
        """The next piece, None after a proper end. Raises AttemptError: cut, malformed, an error event, aborted."""
        ...

    def abort(self, error: RouterError) -> None:
        """Close the connection at once; a read under way, or the next one, raises `error`."""
        ...

    async def close(self) -> None:
        """Give the connection back if the answer ended properly, else close it."""
        ...


@dataclass(slots=True)
class Way:
    """How far a call has come, told while it is under way."""

    connecting: bool = False  # a connection is being made: nothing was sent yet, and its provider is not to blame


class Provider(Protocol):
    """One endpoint of a vendor."""

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        """Send the request. Returns once a success status has come; raises AttemptError otherwise."""
        ...

    async def warm(self) -> None:
        """Do beforehand what the first request would wait for: imports, credentials."""
        ...

    async def close(self) -> None:
        """Close connections and credentials."""
        ...


# ---------------------------------------------------------------------- what instances share
@dataclass(slots=True)
class Learned:
    """All that was learned of one deployment, as numbers. Everything in it is true at `at` (s) and fades from there."""

    at: float
    sums: list[float]  # decayed sums of the model's part, free of the network
    ttft_ms: dict[int, float] = field(default_factory=dict)  # histogram bucket -> decayed count
    total_ms: dict[int, float] = field(default_factory=dict)
    newest_at: float | None = None  # of the newest sample
    round_trip_s: float | None = None  # the network's part, as measured from the origin region


class Flushed(NamedTuple):
    """One instance's own total for one deployment, as it was last written. A later one of the same replaces it."""

    instance: str
    deployment: str
    version: int  # ms since the epoch on the writer's clock; rises with each flush of an instance
    learned: Learned


class Profiles(NamedTuple):
    """What all instances of one origin region learned together."""

    origin: str
    merged_at: float
    holds: Mapping[str, int]  # instance -> version of its newest flush that is in it
    learned: Mapping[str, Learned]  # by deployment id
    live: int = 0  # instances that wrote lately


class Head(NamedTuple):
    """What a region's profiles are, without them: little to read, and it tells whether the rest has changed."""

    origin: str
    revision: float  # moment of the merge by the store's clock: the same as long as nobody merges
    merged_at: float  # ... by ours
    holds: Mapping[str, int]
    live: int


class Home(NamedTuple):
    """A user's home region as it is stored. `version` rises by one with each move."""

    region: str
    version: int
    since: float


class Override(NamedTuple):
    """What an operator has ordered for a deployment, until `expires_at` (s)."""

    deployment: str
    author: str
    expires_at: float
    state: str = ""  # drain: only where nothing else is left; disable: never; empty: as usual
    weight: float = 1.0  # of its share when load is spread
    limit: int | None = None  # calls in flight from one instance
    reason: str = ""


class Store(Protocol):
    """What instances and regions share. Any call may raise StoreUnavailable, and none belongs on a request's path.

    Rows that cannot be read are skipped and counted in `rejected`, by table and reason. Times are on the caller's
    clock: a store that has one of its own translates.
    """

    rejected: Counter[str]
    shared: bool  # whether other processes see what is written

    async def flush(self, origin: str, instance: str, version: int, totals: Mapping[str, Learned], now: float) -> None:
        """Write an instance's own totals, by deployment. Writing the same version again changes nothing."""
        ...

    async def flushed(self, origin: str, now: float) -> list[Flushed]:
        """The newest total of each instance of a region for each deployment, of the last half hour to an hour."""
        ...

    async def head(self, origin: str) -> str | None:
        """A token for the profiles of a region as they are now; None before the first."""
        ...

    async def publish(self, profiles: Profiles, replaces: str | None) -> bool:
        """Replace a region's profiles; False where they are not those of the token any more, or cannot be stored."""
        ...

    async def heads(self) -> list[Head]:
        """The heads of all origin regions' profiles."""
        ...

    async def learned(self, head: Head, whole: bool, now: float) -> dict[str, Learned] | None:
        """The profiles of a region, by deployment; only sums, unless `whole`. None: they are newer than the head."""
        ...

    async def home(self, user: str, wanted: str | None, leaves: int | None, now: float) -> Home | None:
        """A user's home after `wanted` was taken into account; None where there is none.

        Without `leaves` a region is only wanted where none is stored. With it, the user has left the home of that
        version: it is replaced, unless somebody else replaced it before.
        """
        ...

    async def overrides(self, now: float) -> list[Override]:
        """The orders that hold now."""
        ...

    async def order(self, override: Override, now: float) -> None:
        """Set an override, in the place of the deployment's last one."""
        ...

    async def lift(self, deployment: str) -> bool:
        """Remove a deployment's override. False where there was none."""
        ...

    async def lease(self, name: str, owner: str, now: float, for_s: float) -> bool:
        """Whether `owner` has the lease `name` now, for `for_s` seconds: nobody else has it meanwhile."""
        ...

    async def purge(self, now: float) -> list[str]:
        """Drop what is past its retention; returns the names of dropped tables."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...

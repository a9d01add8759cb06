"""The seams: what the engine needs of a provider, and what it makes of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

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
    texts: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None  # stop, length, tool_calls, content_filter
    usage: Usage | None = None
    usage_raw: bytes = b""  # the event that holds only the usage; not in `raw`
    last: bool = False  # the answer is known to end here: the next read returns None without waiting

    def join(self, later: Piece) -> None:
        """Add the piece that came after this one."""
        self.raw += later.raw
        self.content += later.content
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


class Provider(Protocol):
    """One endpoint of a vendor."""

    async def open(self, deployment: Deployment, request: ChatRequest) -> Answer:
        """Send the request. Returns once a success status has come; raises AttemptError otherwise."""
        ...

    async def warm(self) -> None:
        """Do beforehand what the first request would wait for: imports, credentials."""
        ...

    async def close(self) -> None:
        """Close connections and credentials."""
        ...


class Mergeable(Protocol):
    """Something learned that can be added to another of its kind, in any order."""

    def merge(self, other: Self) -> None:
        """Add what another holds."""
        ...

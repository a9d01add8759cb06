"""What the transport needs of a wire format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from routing.errors import AttemptError
from routing.ports import Piece

MOST_TOKENS = 1_000_000_000  # more is no count of tokens


def count(value: Any) -> int:
    """A count of tokens as a provider tells it. Raises ValueError for what is none."""
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise ValueError("not a count of tokens")
    return value


class StreamDecoder(Protocol):
    """Turns the bytes of one stream into pieces."""

    done: bool
    failure: AttemptError | None

    @property
    def complete(self) -> bool:
        """Whether the answer ended as it should."""
        ...

    def feed(self, chunk: bytes) -> Piece:
        """What `chunk` completes. A fault is kept in `failure`, so that what came before it is not lost."""
        ...


class Wire(NamedTuple):
    """A wire format: its dialect, a decoder for each stream, and a function for whole answers."""

    dialect: str
    stream: Callable[[], StreamDecoder]
    whole: Callable[[bytes], Piece]

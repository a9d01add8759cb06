"""Time stamps inside the tokens, and what they tell once an answer has been read.

The upstream writes into each token when it wrote it, and into the first one also when it had read the request; the
clock (CLOCK_MONOTONIC, nanoseconds) is the same in all processes of a machine. So every answer carries its own
reference: nothing is subtracted from averages afterwards.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

TOKENS = 32  # of an answer: a short chat turn, and what the figures of other gateways were taken with
FIRST_TOKEN = b"~00:"  # how its text begins
_STAMP = re.compile(rb"~(\d\d):(\d+):(\d*);")  # nothing in it is escaped in JSON, and `~` stands nowhere else
_NUMBER = re.compile(rb"~(\d\d):")
_ALL = [b"%02d" % i for i in range(TOKENS)]
_END = b"data: [DONE]"


class BadAnswer(Exception):
    """An answer that is not the one the upstream gave."""


class Timing(NamedTuple):
    """When an answer's tokens came, in nanoseconds."""

    upstream_wait: int  # from the request's arrival at the upstream to its first token
    first_read: int  # the moment at which the client had the first token
    lags: list[int]  # from a token's writing to its reading, in order


def stamp(index: int, written: int, asked: int | None = None) -> bytes:
    """The text of token `index`: when it was written and, in the first, when the request had been read."""
    return b"~%02d:%d:%s;" % (index, written, b"" if asked is None else b"%d" % asked)


def check(body: bytes, *, stream: bool) -> None:
    """Raise BadAnswer unless all tokens are there once, in order and, in a stream, followed by the end mark."""
    found = _NUMBER.findall(body)
    if found != _ALL:
        raise BadAnswer(f"{len(found)} tokens, not {TOKENS} in order; it ends with {body[-200:]!r}")
    if stream and not body.rstrip().endswith(_END):
        raise BadAnswer(f"no end mark; it ends with {body[-200:]!r}")


def timing(pieces: Sequence[tuple[int, bytes]]) -> Timing:
    """The timing of a checked stream, from its pieces as (time read, bytes): a token counts once it is whole."""
    ends = list(accumulate(len(data) for _, data in pieces))
    reads, writes, asked = [], [], 0
    for match in _STAMP.finditer(b"".join(data for _, data in pieces)):
        reads.append(pieces[bisect_left(ends, match.end())][0])
        writes.append(int(match[2]))
        asked = asked or int(match[3])
    return Timing(writes[0] - asked, reads[0], [read - written for read, written in zip(reads, writes, strict=True)])

"""Event streams for property tests: any fields, any line ends, any cuts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

LINE_ENDS = [b"\n", b"\r", b"\r\n"]
TEXT = st.lists(st.sampled_from([b"a", b" ", b":", b"\0", b"\t", b"{", "é".encode(), "\u2028".encode()])).map(b"".join)
FIELDS = st.sampled_from([b"data", b"data", b"data", b"event", b"id", b"retry", b"", b"other", b"dat", b"data2"])
LINES = st.one_of(
    st.tuples(FIELDS, st.sampled_from([b":", b": ", b":  "]), TEXT).map(b"".join),
    st.sampled_from([b"data", b"data:", b":", b"id: \0", b"event"]),
)
EVENTS = st.lists(LINES, max_size=4)


@st.composite
def streams(draw: st.DrawFn, events: st.SearchStrategy[list[bytes]] = EVENTS) -> bytes:
    """A stream whose line ends are of one kind, or of all kinds mixed."""
    ends = draw(st.sampled_from([[end] for end in LINE_ENDS] + [LINE_ENDS]))
    parts: list[bytes] = []
    for lines in draw(st.lists(events, max_size=5)):
        for line in [*lines, b""]:
            # CR and then an empty line ended by LF would be read as one CRLF: not what was meant, but a stream as well
            parts += [line, draw(st.sampled_from(ends))]
    return b"".join(parts) + draw(st.sampled_from([b"", b"data: unfinished", b"data: x\n"]))


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, none of them empty."""
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in pairwise(bounds)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)


def by_the_standard(stream: bytes) -> list[bytes]:
    """The data of each event, read off the whole stream as WHATWG HTML, 9.2.6 says it; events without data left out."""
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    events: list[bytes] = []
    data: list[bytes] = []
    for line in lines:
        name, _, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events

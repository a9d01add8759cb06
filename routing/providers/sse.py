"""A bounded, incremental decoder of server-sent events (WHATWG HTML, section 9.2.6).

Neither SDK bounds a line or an event; a provider that goes wild must not take the router's memory with it.
"""

from __future__ import annotations

from routing.errors import ProtocolError

LONGEST_LINE = 256 * 1024
LONGEST_EVENT = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SseDecoder:
    """Bytes in, whole events out, however the bytes are cut."""

    __slots__ = ("_after_cr", "_began", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._began = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, as blocks of lines. Raises ProtocolError over the bounds."""
        if b"\r" in chunk or self._after_cr:
            chunk = self._line_ends(chunk)
        buffer = self._rest + chunk if self._rest else chunk
        if not self._began and buffer:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._began = True
            buffer = buffer.removeprefix(_BOM)
        blocks = buffer.split(b"\n\n")
        self._rest = rest = blocks.pop()
        if len(rest) > LONGEST_LINE and (len(rest) > LONGEST_EVENT or len(rest) - rest.rfind(b"\n") > LONGEST_LINE):
            raise ProtocolError("a line or an event of the stream is longer than allowed")
        return blocks

    def _line_ends(self, chunk: bytes) -> bytes:
        """CRLF and CR become LF. A CR at the end counts at once, and the LF that may follow it is skipped."""
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def data_of(block: bytes) -> bytes | None:
    """The data of an event, its lines joined by LF; None for an event without data, such as a comment."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    fields = (line for line in block.split(b"\n") if line.startswith(b"data:") or line == b"data")
    lines = [line[5:].removeprefix(b" ") for line in fields]
    return b"\n".join(lines) if lines else None

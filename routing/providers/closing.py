"""Waking the reader of a response whose connection has closed without a word to it.

aiohttp 3.14 leaves a read waiting for ever where a provider, or a proxy before it, sends what is no HTTP within an
answer, such as the head of a 502 between two chunks: its parser gives up, the connection closes, and nobody is told.
"""

from __future__ import annotations

import asyncio

import aiohttp


class Closing:
    """Watches one response's connection until `end`."""

    __slots__ = ("_closed", "_response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._closed: asyncio.Future[None] | None = None
        connection = response.connection  # None: the whole answer is here, and the connection serves the next
        if connection is not None and connection.protocol is not None:
            self._closed = connection.protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_taken)  # the connection may have served others
            self._closed.add_done_callback(_taken)
            self._closed.add_done_callback(self._tell)

    def end(self) -> None:
        """Stop watching."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._tell)

    def _tell(self, _closed: asyncio.Future[None]) -> None:
        """Runs after aiohttp has told the reader whatever it tells."""
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection closed within the answer"))


def _taken(closed: asyncio.Future[None]) -> None:
    """The error that a connection closed with is nobody else's concern."""
    if not closed.cancelled():
        closed.exception()

"""One attempt in flight: opens the provider and reads up to the first content."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from routing.errors import AttemptError, ConnectionLost, ProtocolError, RouterError
from routing.fleet import Deployment
from routing.ports import Answer, Piece, Provider, Way
from routing.request import ChatRequest


class Call:
    """A task of its own until content comes; from then on its answer is read by whoever owns the request."""

    def __init__(self, number: int, deployment: Deployment, sent_at: float) -> None:
        self.number, self.deployment, self.sent_at = number, deployment, sent_at
        self.answer: Answer | None = None
        self.headers_at = sent_at
        self.first: Piece | None = None  # what was read up to the first content, until the owner takes it
        self._task: asyncio.Task[None] | None = None
        self._aborted = self._dropped = False

    def start(
        self,
        provider: Provider,
        request: ChatRequest,
        way: Way,
        now: Callable[[], float],
        ended: Callable[[Call, BaseException | None], None],
    ) -> None:
        """Begin. `ended` is called once, at the first content or with the failure, unless the call is cancelled."""

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                ended(self, task.exception())
            elif not self._dropped:  # from inside, as a library may do whose own time is up
                ended(self, ConnectionLost("the call was cut short"))

        self._task = asyncio.get_running_loop().create_task(self._run(provider, request, way, now))
        self._task.add_done_callback(done)

    async def _run(self, provider: Provider, request: ChatRequest, way: Way, now: Callable[[], float]) -> None:
        self.answer = answer = await provider.open(self.deployment, request, way)
        self.headers_at = now()
        while True:
            piece = await answer.read()
            if piece is None:
                raise ProtocolError("the answer ended before it began")
            if self.first is None:
                self.first = piece
            else:
                self.first.join(piece)
            if piece.content or piece.finish:
                return

    def abort(self, error: RouterError) -> None:
        """Close the connection; the owner's read raises `error`, now or next. The first reason stays."""
        if self.answer is not None and not self._aborted:
            self._aborted = True
            self.answer.abort(error)

    def cancel(self) -> None:
        """Drop the call at once: the upstream sees its connection close."""
        self._dropped = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self.abort(AttemptError("the call was cancelled"))

    async def close(self) -> None:
        """Give the connection back if the answer has ended, else close it."""
        if self.answer is not None:
            await self.answer.close()

"""One answer on its way to the client, each byte at its time."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from local.simulator import clock
from local.simulator.answer import Answer
from local.simulator.connection import close
from local.simulator.dialects import Dialect, Reply
from local.simulator.endpoint import Endpoint
from local.simulator.receipt import Allowance, Receipt
from local.simulator.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer, its bytes, and when they are due. With `cut_at`, the connection breaks after so many tokens."""

    request: web.Request
    dialect: Dialect
    endpoint: Endpoint
    request_id: str
    allowances: tuple[Allowance, Allowance]  # requests, tokens
    timeline: Timeline
    answer: Answer
    reply: Reply
    cut_at: int | None

    async def whole(self) -> web.StreamResponse:
        """All of it in one body, when its last token is due; cut in the middle."""
        await clock.until(self.timeline.token(max(0, self.answer.tokens - 1)))
        response, body = self._response("application/json"), self.reply.whole()
        response.content_length = len(body)
        await response.prepare(self.request)
        if self.cut_at is not None:
            await response.write(body[: len(body) // 2])
            return close(self.request, reset=True)
        await response.write_eof(body)
        self.endpoint.served()
        return response

    async def stream(self) -> web.StreamResponse:
        """Token by token; headers leave before the first."""
        await clock.until(self.timeline.headers)
        response = self._response("text/event-stream")
        await response.prepare(self.request)
        await response.write(self.reply.opening())
        await clock.until(self.timeline.token(0))
        first = clock.now()
        await self._pieces(response)
        if self.cut_at is not None:
            return close(self.request, reset=True)
        generation_s = clock.now() - first
        await response.write_eof(self.reply.closing())
        self.endpoint.served_stream(first - self.timeline.arrived, self.answer.tokens, generation_s)
        return response

    async def _pieces(self, response: web.StreamResponse) -> None:
        """One event a token, at its time. Should the loop be late, all that is due leaves in one write."""
        pieces, sent = self.answer.pieces[: self.cut_at], 0
        while sent < len(pieces):
            await clock.until(self.timeline.token(sent))
            due = max(sent + 1, self.timeline.due(clock.now()))
            await response.write(b"".join(map(self.reply.piece, pieces[sent:due])))
            sent = due

    def _response(self, content_type: str) -> web.StreamResponse:
        processing_ms = round(self.timeline.processing_s(clock.now()) * 1000)
        receipt = Receipt(self.request_id, self.endpoint.deployment.region, processing_ms, *self.allowances)
        response = web.StreamResponse(headers=self.dialect.headers(receipt))
        response.content_type = content_type
        return response

"""A chat request, from its bytes to the last token of its answer.

It is an ASGI response: the function returns it at once, and the work is done where the connection is, so that the
status can wait for the first content and a caller who leaves is noticed at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from routing.dialects import openai_chat
from routing.dialects.openai_answer import KEEP_ALIVE, OpenAIAnswer, error_body
from routing.engine.exchange import Exchange
from routing.errors import OUR_FAULT, CallerLeft, CallerStalled, RouterError
from routing.request import ChatRequest
from routing.web import asking, heading
from routing.web.coordinator import forget
from routing.web.edge import Edge
from routing.web.wire import CHAT_BYTES, Header, dumps, json_headers, send_whole

KEEP_ALIVE_S = 15.0  # Front Door ends a response that is silent for 30 s
STALLED_S = 30.0  # a caller who reads nothing for so long holds a lease for nothing
LOOK_S = 5.0  # between two looks at both
LOG = logging.getLogger("routing.chat")


class ChatResponse(Response):
    """Answers one chat request."""

    def __init__(self, edge: Edge, request: Request) -> None:
        self.background = None
        self.status_code = 200
        self._edge, self._request = edge, request
        self._routed: Exchange | None = None
        self._sent: int | None = None  # the status, once its head is on the way
        self._writing = self._streaming = self._stalled = False
        self._wrote_at = math.inf  # when the newest write began
        self._keeping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Nothing escapes but the server's own cancellation."""
        forget(self._request.headers)
        self._to_caller = send
        self._watch_caller()
        try:
            await self._respond(receive)
        except asyncio.CancelledError:
            if not self._stalled:
                raise  # the server is stopping. A stalled answer just ends here, and the server closes its connection
        finally:
            self._looking.cancel()

    async def _respond(self, receive: Receive) -> None:
        """Read, route, relay. Every fault becomes an answer."""
        size = 0
        try:
            caller = self._edge.admit(self._request.headers)
            raw = await self._edge.bodies.read(receive, self._request.headers, CHAT_BYTES)
            size, received_at = len(raw), self._edge.router.clock.now()  # the time of the upload is the caller's
            request = self._parse(raw, self._request.headers, caller)
            del raw
            self._routed = self._edge.router.exchange(request, received_at)
            await self._exchange(self._routed, receive)
        except Exception as raised:
            await self._refuse(_told(raised))
        finally:
            self._edge.bodies.release(size)

    def _parse(self, raw: bytes, headers: Mapping[str, str], caller: str) -> ChatRequest:
        parsed = openai_chat.parse(raw)
        named = self._request.path_params.get("model")
        if named and not parsed.model:
            parsed = parsed.named(named)
        router, country = self._edge.router, self._edge.country(headers)
        of, lengths, origin = router.fleet, router.lengths, router.tracker.origin
        return asking.request(parsed, headers, of, lengths, caller, openai_chat.DIALECT, origin, country)

    async def _exchange(self, exchange: Exchange, receive: Receive) -> None:
        watcher = self._loop.create_task(_watch(receive, exchange))
        try:
            await exchange.start()
            await (self._stream(exchange) if exchange.request.stream else self._whole(exchange))
        except RouterError as error:
            exchange.error = exchange.error or error
            await self._refuse(error, heading.of(exchange, self._edge.router.clock.now())[2:])
        except BaseException:  # a fault of our own, or cancelled: the record must not say that all went well
            stalled = CallerStalled("the caller has stopped reading")
            exchange.error = exchange.error or (stalled if self._stalled else RouterError(OUR_FAULT))
            raise
        finally:
            watcher.cancel()
            await exchange.close()
            self._edge.finished(exchange, self._sent or (exchange.error or RouterError(OUR_FAULT)).status)

    # ------------------------------------------------------------------ answers
    async def _stream(self, exchange: Exchange) -> None:
        answer = self._answer(exchange)
        piece = await exchange.read()
        headers = [*heading.STREAM_HEADERS, *self._edge.headers(exchange)]
        self._sent = 200
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._streaming = True
        to_caller, loop_time = self._to_caller, self._loop.time
        try:
            while piece is not None and not piece.last:
                body = answer.piece(piece)
                if body:  # as `_send` does it, without a coroutine for each token
                    self._writing, self._wrote_at = True, loop_time()
                    await to_caller({"type": "http.response.body", "body": body, "more_body": True})
                    self._writing = False
                piece = await exchange.read()
            rest = b""
            if piece is not None:  # the end is known with the last words: both go in one write
                rest = answer.piece(piece)
                await exchange.read()
            await self._send({"type": "http.response.body", "body": rest + answer.end(self._explanation(exchange))})
        except CallerLeft:
            raise
        except Exception as raised:
            await self._break(exchange, answer, _told(raised))
        finally:
            self._streaming = False
            if self._keeping is not None:
                self._keeping.cancel()

    async def _break(self, exchange: Exchange, answer: OpenAIAnswer, error: RouterError) -> None:
        """A stream that cannot go on says so: never a clean end."""
        exchange.error = exchange.error or error
        await self._send({"type": "http.response.body", "body": answer.failure(error, self._router(exchange))})

    async def _whole(self, exchange: Exchange) -> None:
        piece = await exchange.read()
        assert piece is not None
        await exchange.read()
        headers = [*json_headers(), *self._edge.headers(exchange)]
        body = self._answer(exchange).whole(piece, self._explanation(exchange))
        self._sent = 200
        await send_whole(self._send, 200, headers, body)

    async def _refuse(self, error: RouterError, headers: Sequence[Header] = ()) -> None:
        """Answer with the error's status, in the caller's dialect, unless an answer has begun or nobody is there."""
        routed = self._routed
        if routed is None:
            self._edge.metrics.refused(error)
        if self._sent is not None or isinstance(error, CallerLeft):
            return
        self._sent = error.status
        request_id = asking.request_id(self._request.headers) if routed is None else routed.request.id
        router = {"request_id": request_id, "attempts": []} if routed is None else self._router(routed)
        all_headers = [*json_headers(), *heading.identity(request_id), *headers, *heading.of_error(error)]
        await send_whole(self._send, error.status, all_headers, dumps(error_body(error, router)))

    # ------------------------------------------------------------------ parts
    def _answer(self, exchange: Exchange) -> OpenAIAnswer:
        request = exchange.request
        return OpenAIAnswer(
            request.id, exchange.deployment.model, int(exchange.received_at), request.include_usage, exchange.dialect
        )

    @staticmethod
    def _router(exchange: Exchange) -> dict[str, Any]:
        attempts = [
            {"deployment": a.deployment, "error": a.error, "ms": round(a.ended_ms - a.sent_ms, 1)}
            for a in exchange.plan.records()
        ]
        return {"request_id": exchange.request.id, "attempts": attempts}

    def _explanation(self, exchange: Exchange) -> dict[str, Any] | None:
        return self._edge.explanation(exchange) if exchange.request.hints.explain else None

    # ------------------------------------------------------------------ the caller's end
    async def _send(self, message: Message) -> None:
        """Every write but keep-alives."""
        self._writing, self._wrote_at = True, self._loop.time()
        try:
            await self._to_caller(message)
        finally:
            self._writing = False

    async def _keep_alive(self) -> None:
        with contextlib.suppress(OSError):
            await self._to_caller({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

    def _watch_caller(self) -> None:
        """Looks every few seconds, not at every write: has the caller stopped reading, or the model stopped talking?"""
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def look() -> None:
            quiet = self._loop.time() - self._wrote_at
            pending = self._writing or (self._keeping is not None and not self._keeping.done())
            if pending and quiet >= STALLED_S:
                self._stalled = True
                task.cancel()
                return
            if self._streaming and not pending and quiet >= KEEP_ALIVE_S - LOOK_S:
                self._wrote_at = self._loop.time()
                self._keeping = self._loop.create_task(self._keep_alive())
            self._looking = self._loop.call_later(LOOK_S, look)

        self._looking = self._loop.call_later(LOOK_S, look)


def _told(raised: Exception) -> RouterError:
    """What the caller is told: a fault of our own is logged, and not described."""
    if isinstance(raised, RouterError):
        return raised
    LOG.error(OUR_FAULT, exc_info=raised)
    return RouterError(OUR_FAULT)


async def _watch(receive: Receive, exchange: Exchange) -> None:
    """Waits for the caller to leave."""
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.client_gone()

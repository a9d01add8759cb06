"""A chat request, from its bytes to the last token of its answer.

It is an ASGI response: the function returns it at once, and the work is done where the connection is, so that the
status can wait for the first content and a caller who leaves is noticed at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routing.dialects import openai_chat
from routing.dialects.openai_answer import KEEP_ALIVE, OpenAIAnswer, error_body
from routing.engine.exchange import CallerLeft, Exchange
from routing.errors import OUR_FAULT, RouterError
from routing.request import ChatRequest
from routing.web import asking, heading
from routing.web.coordinator import forget
from routing.web.edge import Edge
from routing.web.wire import CHAT_BYTES, dumps, json_headers, send_whole

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
        self._began = False
        self._last_send = math.inf  # when the send that is under way began
        self._last_event = math.inf
        self._stalled = False
        self._keeping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, route, relay. Nothing escapes: every fault becomes an answer."""
        router, headers = self._edge.router, self._request.headers
        forget(headers)
        received_at = router.clock.now()
        self._send = send
        request_id = ""
        size = 0
        try:
            caller = self._edge.admit(headers)
            raw = await self._edge.bodies.read(receive, headers, CHAT_BYTES)
            size = len(raw)
            request = self._parse(raw, headers, caller)
            request_id = request.id
            del raw
            await self._exchange(router.exchange(request, received_at), receive)
        except RouterError as error:
            await self._refuse(error, request_id, [])
        except asyncio.CancelledError:
            if not self._stalled:
                raise  # the server is stopping. A stalled answer just ends here, and the server closes its connection
        except Exception:
            LOG.exception(OUR_FAULT)
            await self._refuse(RouterError(OUR_FAULT), request_id, [])
        finally:
            self._edge.bodies.release(size)

    def _parse(self, raw: bytes, headers: Mapping[str, str], caller: str) -> ChatRequest:
        parsed = openai_chat.parse(raw)
        named = self._request.path_params.get("model")
        if named and not parsed.model:
            parsed = parsed.named(named)
        router, country = self._edge.router, self._edge.country(headers)
        return asking.request(parsed, headers, router.fleet, router.lengths, caller, openai_chat.DIALECT, country)

    async def _exchange(self, exchange: Exchange, receive: Receive) -> None:
        watcher = asyncio.get_running_loop().create_task(_watch(receive, exchange))
        status = 500
        try:
            await exchange.start()
            status = 200
            if exchange.request.stream:
                await self._stream(exchange)
            else:
                await self._whole(exchange)
        except RouterError as error:
            exchange.error = exchange.error or error
            status = status if self._began else error.status
            await self._fail(exchange, error)
        finally:
            watcher.cancel()
            await exchange.close()
            self._edge.finished(exchange, status)

    # ------------------------------------------------------------------ answers
    async def _stream(self, exchange: Exchange) -> None:
        answer, send = self._answer(exchange), self._send
        loop_time = asyncio.get_running_loop().time
        piece = await exchange.read()
        headers = [*heading.STREAM_HEADERS, *self._edge.headers(exchange)]
        self._began = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._watch_silence()
        try:
            while piece is not None and not piece.last:
                body = answer.piece(piece)
                if body:
                    self._last_event = self._last_send = loop_time()
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    self._last_send = math.inf
                piece = await exchange.read()
            rest = b""
            if piece is not None:  # the end is known with the last words: both go in one write
                rest = answer.piece(piece)
                await exchange.read()
            await send({"type": "http.response.body", "body": rest + answer.end(self._explanation(exchange))})
        except CallerLeft:
            raise
        except RouterError as error:
            await self._break(exchange, answer, error)
        except Exception:
            LOG.exception(OUR_FAULT)
            await self._break(exchange, answer, RouterError(OUR_FAULT))
        finally:
            self._silence.cancel()
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
        self._began = True
        await send_whole(self._send, 200, headers, body)

    async def _fail(self, exchange: Exchange, error: RouterError) -> None:
        if self._began or isinstance(error, CallerLeft):
            return
        headers = heading.of(exchange, self._edge.router.clock.now())
        await self._refuse(error, exchange.request.id, headers[2:], self._router(exchange))

    async def _refuse(
        self, error: RouterError, request_id: str, headers: list[Any], router: Mapping[str, Any] | None = None
    ) -> None:
        """Answer with the error's status, in the caller's dialect."""
        if self._began:
            return
        request_id = request_id or asking.request_id(self._request.headers)
        body = error_body(error, router or {"request_id": request_id, "attempts": []})
        all_headers = [*json_headers(), *heading.identity(request_id), *headers, *heading.of_error(error)]
        self._began = True
        await send_whole(self._send, error.status, all_headers, dumps(body))

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

    def _watch_silence(self) -> None:
        """Looks every few seconds, not at every event: has the caller stopped reading, or the model stopped talking?"""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def look() -> None:
            now = loop.time()
            if now - self._last_send >= STALLED_S:
                self._stalled = True
                task.cancel()
                return
            if self._last_send == math.inf and now - self._last_event >= KEEP_ALIVE_S - LOOK_S:
                self._last_event = now
                self._keeping = loop.create_task(self._keep_alive())
            self._silence = loop.call_later(LOOK_S, look)

        self._last_event = loop.time()
        self._silence = loop.call_later(LOOK_S, look)

    async def _keep_alive(self) -> None:
        with contextlib.suppress(OSError):
            await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})


async def _watch(receive: Receive, exchange: Exchange) -> None:
    """Waits for the caller to leave."""
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.client_gone()

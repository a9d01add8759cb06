"""The small routes: what the router knows and would do. None of them calls a provider."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routing.dialects import openai_chat
from routing.dialects.openai_answer import error_body
from routing.errors import OUR_FAULT, RequestError, RouterError, UnknownModel
from routing.fleet import ANY_MODEL, Model
from routing.latency.profile import Profile, profiles
from routing.web import asking, heading
from routing.web.coordinator import forget
from routing.web.edge import Edge
from routing.web.wire import CHAT_BYTES, dumps, json_headers, send_whole, text_headers

LOG = logging.getLogger("routing.pages")
DRY_RUN = [{"role": "user", "content": "x" * 4000}]  # hints alone are judged for a prompt of 1,000 tokens


class Page(Response):
    """An answer made when the connection is there: keys are checked, and every fault becomes an error object.

    What `make` returns is sent as JSON, and a text as plain text.
    """

    def __init__(
        self, edge: Edge, request: Request, make: Callable[[Edge, Request, bytes], Any], limit: int = CHAT_BYTES
    ) -> None:
        self.background = None
        self.status_code = 200
        self._edge, self._request, self._make, self._limit = edge, request, make, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Nothing escapes."""
        headers = self._request.headers
        forget(headers)
        extra = heading.identity(asking.request_id(headers))
        size, kind = 0, json_headers()
        try:
            self._edge.admit(headers)
            raw = await self._edge.bodies.read(receive, headers, self._limit) if scope["method"] == "POST" else b""
            size = len(raw)
            made = self._make(self._edge, self._request, raw)
            status, body = 200, dumps(made) if not isinstance(made, str) else made.encode()
            kind = json_headers() if not isinstance(made, str) else text_headers()
        except RouterError as error:
            status, extra, body = error.status, [*extra, *heading.of_error(error)], _error(error, extra)
        except Exception:
            LOG.exception(OUR_FAULT)
            failure = RouterError(OUR_FAULT)
            status, body = failure.status, _error(failure, extra)
        finally:
            self._edge.bodies.release(size)
        await send_whole(send, status, [*kind, *extra], body)


def route(edge: Edge, request: Request, raw: bytes) -> Any:
    """Dry run: the body of a chat request, or hints alone; the decision and its explanation."""
    router = edge.router
    body = _hints_as_request(raw)
    parsed, caller = openai_chat.parse(body), edge.admit(request.headers)
    country = edge.country(request.headers)
    of, lengths, origin = router.fleet, router.lengths, router.tracker.origin
    asked = asking.request(parsed, request.headers, of, lengths, caller, openai_chat.DIALECT, origin, country)
    decision = router.decide(router.with_home(asked).ask).as_dict()
    return {"object": "router.decision", **decision, "overrides": [order._asdict() for order in edge.sync.orders]}


def models(edge: Edge, request: Request, raw: bytes) -> Any:
    """Models and aliases, as OpenAI lists them, each with its live latency."""
    fleet, known = edge.router.fleet, _by_model(edge)
    rows = [_model(m, known.get(m.id, [])) for m in fleet.models]
    rows += [
        {"id": a.name, "object": "model", "created": 0, "owned_by": "router", "routing": {"models": list(a.models)}}
        for a in fleet.aliases
    ]
    rows.append({"id": ANY_MODEL, "object": "model", "created": 0, "owned_by": "router", "routing": {"models": []}})
    return {"object": "list", "data": rows}


def model(edge: Edge, request: Request, raw: bytes) -> Any:
    """One of them. Raises UnknownModel."""
    wanted = request.path_params.get("id", "")
    for row in models(edge, request, raw)["data"]:
        if row["id"] == wanted:
            return row
    raise UnknownModel(f"'{wanted[:64]}' is no model of the fleet and no alias", "id")


def latency_profiles(edge: Edge, request: Request, raw: bytes) -> Any:
    """Latency profiles by deployment, as this region sees them."""
    router = edge.router
    now = router.clock.now()
    age = edge.sync.age(now)
    return {
        "object": "list",
        "origin_region": edge.sync.origin,
        "profile_age_s": None if age is None else round(age, 1),
        "instances": edge.sync.live,
        "last_mile_ms": router.last_mile.known(edge.admit(request.headers), now),
        "data": [p.as_dict() for p in profiles(router.tracker, now)],
    }


def measurements(edge: Edge, request: Request, raw: bytes) -> Any:
    """A frontend's own waiting for an answer, of which it has a receipt."""
    return edge.measurements.report(edge.admit(request.headers), raw)


def metrics(edge: Edge, request: Request, raw: bytes) -> str:
    """Metrics of this instance."""
    return edge.metrics.text(edge.sync, edge.measurements.counts)


class Sign(Response):
    """A sign of life: small, for anybody, and asked for more often than anything else."""

    def __init__(self, request: Request, status: int, media_type: str, content: bytes) -> None:
        super().__init__(content, status, media_type=media_type)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and leave nothing in the worker's memory."""
        forget(self._request.headers)
        await super().__call__(scope, receive, send)


def healthz(request: Request) -> Response:
    """Alive: touches no store and no provider."""
    return Sign(request, 200, "text/plain", b"ok\n")


def readyz(edge: Edge, request: Request) -> Response:
    """Ready while one deployment can be routed to. Degraded, and why, where something should be mended."""
    routable = sum(provider is not None for provider in edge.router.providers)
    warnings, age = edge.troubles(), edge.sync.age(edge.router.clock.now())
    status = "no_deployment" if not routable else "degraded" if warnings else "ready"
    body = {
        "status": status,
        "region": edge.sync.origin,
        "deployments": routable,
        "store": "shared" if edge.store.shared else "memory",
        "profile_age_s": None if age is None else round(age, 1),
        "warnings": warnings,
    }
    return Sign(request, 200 if routable else 503, "application/json", dumps(body))


def _hints_as_request(raw: bytes) -> bytes:
    """A body of hints alone becomes a request with a stand-in prompt."""
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as e:
        raise RequestError(f"the body is not JSON: {e.msg}") from e
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    if "messages" in body:
        return raw
    return orjson.dumps({"model": ANY_MODEL, "stream": True, **body, "messages": DRY_RUN})


def _by_model(edge: Edge) -> Mapping[str, list[Profile]]:
    grouped: dict[str, list[Profile]] = {}
    for profile in profiles(edge.router.tracker, edge.router.clock.now()):
        grouped.setdefault(profile.model, []).append(profile)
    return grouped


def _model(entry: Model, known: list[Profile]) -> dict[str, Any]:
    measured = [p for p in known if p.ttft_p50_ms is not None]
    best = min(measured, key=lambda p: p.ttft_p50_ms or 0.0, default=None)
    return {
        "id": entry.id,
        "object": "model",
        "created": 0,
        "owned_by": entry.vendor,
        "routing": {
            "quality_tier": entry.quality_tier,
            "context_window": entry.context_window,
            "retires": entry.retires.isoformat() if entry.retires else None,
            "deployments": [p.deployment for p in known],
            "ttft_p50_ms": best and best.ttft_p50_ms,
            "ttft_p95_ms": best and best.ttft_p95_ms,
            "tokens_per_second": best and best.tokens_per_second,
        },
    }


def _error(error: RouterError, identity: list[tuple[bytes, bytes]]) -> bytes:
    return dumps(error_body(error, {"request_id": identity[0][1].decode("latin-1"), "attempts": []}))

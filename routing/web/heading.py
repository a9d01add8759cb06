"""Response headers: what was decided, before the first byte. Never an endpoint, a resource or a key."""

from __future__ import annotations

import math

from routing.engine.exchange import Exchange
from routing.errors import CapacityError, RouterError
from routing.web.wire import Header

STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
RECEIPT = b"x-router-receipt"  # a frontend hands it back with its own waiting
LONGEST_WAIT_S = 55  # anthropic's SDK ignores a Retry-After of a minute and more


def identity(request_id: str) -> list[Header]:
    """The request's id, under the names that both SDKs look for."""
    value = request_id.encode("latin-1")
    return [(b"x-request-id", value), (b"request-id", value)]


def of(exchange: Exchange, now: float) -> list[Header]:
    """What is known of a request at this moment, which may be before any deployment was chosen."""
    plan, view = exchange.plan, exchange.view
    headers = [
        *identity(exchange.request.id),
        _header("attempts", len(plan.attempts)),
        _header("hedged", "true" if any(a.hedge for a in plan.attempts) else "false"),
        _header("slo", exchange.slo()),
    ]
    shown = plan.committed or next(iter(plan.attempts), None)
    if shown is not None:
        headers.append(_header("predicted-ttft-ms", round(1000 * shown.score.ttft)))
    attempt = plan.committed
    if attempt is None:
        return headers
    deployment = view.fleet.deployments[attempt.deployment]
    overhead = 1000 * (plan.attempts[0].sent_at - exchange.received_at + now - exchange.first_at)
    ttft = 1000 * (exchange.first_at - exchange.received_at)
    upstream = 1000 * (exchange.first_at - attempt.sent_at)
    seen = view.tracker.known[attempt.deployment].newest_at
    headers += [
        _header("deployment", deployment.id),
        _header("model", deployment.model),
        _header("region", deployment.region),
        _header("reason", plan.reason),
        _header("ttft-ms", round(ttft)),
        _header("overhead-ms", f"{overhead:.2f}"),
        (b"server-timing", f"router;dur={overhead:.2f}, upstream;dur={upstream:.1f}, ttft;dur={ttft:.1f}".encode()),
    ]
    if seen is not None:
        headers.append(_header("profile-age-s", round(max(0.0, now - seen))))
    return headers


def of_error(error: RouterError) -> list[Header]:
    """How a client should go on after this error; both SDKs obey `x-should-retry`."""
    headers: list[Header] = [] if error.retriable else [(b"x-should-retry", b"false")]
    if isinstance(error, CapacityError):
        wait = min(LONGEST_WAIT_S, max(0.001, error.retry_after_s))
        headers.append((b"retry-after", str(math.ceil(wait)).encode()))
        headers.append((b"retry-after-ms", str(math.ceil(1000 * wait)).encode()))
    return headers


def _header(name: str, value: object) -> Header:
    return f"x-router-{name}".encode(), str(value).encode("latin-1", "replace")

"""What changes in a request's and a response's headers on the way through the host's proxy (YARP)."""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

INVOCATION_ID = "x-ms-invocation-id"
# Of one connection, not of the message: YARP's list and RFC 9110 §7.6.1.
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "close", "alt-svc"),
        *("proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "proxy-features"),
        *("proxy-instruction", "security-scheme", "alpn"),
    }
)
# Set afresh for each request; what a client sends under these names must not reach the app. The proxy answers Expect.
OURS = frozenset(
    {INVOCATION_ID, "host", "expect", "forwarded"}
    | {f"x-forwarded-{name}" for name in ("for", "proto", "host", "prefix")}
)


def to_worker(received: CIMultiDictProxy[str], remote: str, invocation_id: str) -> CIMultiDict[str]:
    """A client's headers as the extension's server gets them; the HTTP client adds `Host`."""
    headers = CIMultiDict(_end_to_end(received, OURS))
    headers[INVOCATION_ID] = invocation_id
    headers["X-Forwarded-For"] = remote
    headers["X-Forwarded-Proto"] = "http"
    headers["X-Forwarded-Host"] = received.get("Host", "")
    return headers


def to_client(received: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The extension's server's headers as the client gets them."""
    return CIMultiDict(_end_to_end(received, frozenset()))


def _end_to_end(headers: CIMultiDictProxy[str], dropped: frozenset[str]) -> Iterable[tuple[str, str]]:
    named = {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}
    return ((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | dropped | named)

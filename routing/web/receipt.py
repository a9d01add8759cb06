"""What an answer carries so that any instance of its region can take a report of it: no store, nothing remembered.

A receipt is signed with what all instances know of its caller and of each other: it is worth nothing to another caller,
and neither a caller nor the browser that hands it back can make one. How long it was waited for is their word all the
same; it counts for that caller's users alone (routing.latency.last_mile).
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import orjson

FORMAT = b"x-router-receipt/1 "  # signed, not sent: a receipt of another format is simply none of ours
SIGNATURE_BYTES = 16  # of SHA-256's 32; RFC 2104 (5) wants half of them at least


class Receipt(NamedTuple):
    """An answer as the router saw it."""

    request_id: str
    origin: str  # the region whose app answered
    user_region: str
    ttft_ms: float  # from the request's arrival to its first content
    issued_at: float  # seconds since the epoch


def sign(receipt: Receipt, secret: bytes) -> bytes:
    """The receipt as a header's value: JSON in base64url, a dot, and its signature."""
    payload = urlsafe_b64encode(orjson.dumps([*receipt]))
    return payload + b"." + _signature(payload, secret)


def verify(text: str, secret: bytes) -> Receipt | None:
    """The receipt that was signed with `secret`; None for any other text."""
    payload, _, signature = text.encode().partition(b".")
    if not hmac.compare_digest(_signature(payload, secret), signature):
        return None
    return Receipt(*orjson.loads(urlsafe_b64decode(payload)))


def _signature(payload: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, FORMAT + payload, "sha256")[:SIGNATURE_BYTES].hex().encode()

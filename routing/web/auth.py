"""Callers' keys: only their SHA-256 is known here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from routing.errors import AuthenticationError, PermissionDenied

LONGEST_KEY = 512  # a longer one is none of ours, and need not be hashed
FRONT_DOOR = "x-azure-fdid"


class Keys:
    """The callers that may ask. Without any, nobody may."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = [(digest.encode(), name) for digest, name in keys.items()]
        self._secrets: dict[str, bytes] = {}
        for digest, name in self._keys:
            self._secrets[name] = self._secrets.get(name, b"") + digest

    def caller(self, headers: Mapping[str, str]) -> str:
        """The name of the caller whose key `headers` carry. Raises AuthenticationError.

        Every known hash is compared, each in constant time, so time tells nothing about any of them.
        """
        key = _presented(headers)
        if not key or len(key) > LONGEST_KEY:
            raise AuthenticationError("send your key as `Authorization: Bearer`, `api-key` or `x-api-key`")
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        caller = None
        for known, name in self._keys:
            if hmac.compare_digest(known, digest):
                caller = name
        if caller is None:
            raise AuthenticationError("this key is not known here")
        return caller

    def secret(self, caller: str) -> bytes:
        """What every instance can sign with for a caller: the hashes of its keys, as the settings give them to all.

        A signature tells nothing of a key of 256 random bits, as `make key` makes them.
        """
        return self._secrets[caller]


def came_through(headers: Mapping[str, str], front_door_id: str) -> None:
    """Raises PermissionDenied for a request that did not come through our own Front Door, where one is set."""
    if front_door_id and not hmac.compare_digest(headers.get(FRONT_DOOR, "").encode(), front_door_id.encode()):
        raise PermissionDenied("this address is reached through its Front Door only")


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("api-key") or headers.get("x-api-key") or ""

"""Bicep's operators and functions, as far as the templates use them, with fixed answers where Azure's would vary."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import reduce
from hashlib import sha256
from typing import Any

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
DAY_OF_DEPLOYMENT = "2026-11-24"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567"


def _unique(*args: str) -> str:
    return "".join(CHARACTERS[b % 32] for b in sha256("|".join(args).encode()).digest()[:13])


def _union(*args: Any) -> Any:
    if isinstance(args[0], dict):
        return reduce(lambda a, b: {**a, **b}, args)
    return list(dict.fromkeys(x for a in args for x in a))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,  # Bicep's division is of whole numbers
}

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concat": lambda *args: [x for a in args for x in a],
    "contains": lambda where, what: what in where,
    "empty": lambda x: not x,
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
    "filter": lambda items, keep: [i for i in items if keep(i)],
    "first": lambda items: items[0] if items else None,
    "guid": lambda *args: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(args))),
    "indexOf": lambda items, item: items.index(item) if item in items else -1,
    "length": len,
    "map": lambda items, f: [f(i) for i in items],
    "replace": lambda text, old, new: text.replace(old, new),
    "split": lambda text, at: text.split(at),
    "string": lambda x: x if isinstance(x, str) else json.dumps(x, separators=(",", ":")),
    "subscription": lambda: {"subscriptionId": SUBSCRIPTION},
    "subscriptionResourceId": lambda type_, name: f"/subscriptions/{SUBSCRIPTION}/providers/{type_}/{name}",
    "take": lambda x, n: x[:n],
    "toObject": lambda items, key, value: {key(i): value(i) for i in items},
    "union": _union,
    "uniqueString": _unique,
    "utcNow": lambda _format: DAY_OF_DEPLOYMENT,
}

"""`make key NAME=frontend`: a new key for a caller, shown once, and the entry with its hash for ROUTER_KEYS."""

from __future__ import annotations

import hashlib
import re
import secrets
import sys


def new_key() -> str:
    """A key with 256 bits of randomness."""
    return "sk-router-" + secrets.token_urlsafe(32)


def entry(name: str, key: str) -> str:
    """The entry of ROUTER_KEYS for this key: its hash, never the key."""
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def main(arguments: list[str]) -> int:
    """Print a new key and its entry."""
    name = arguments[0] if arguments else ""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        print("usage: make key NAME=frontend   (letters, digits, dot, dash, underscore)", file=sys.stderr)
        return 2
    key = new_key()
    print(f"key (shown once; give it to the caller): {key}")
    print(f"entry (add it to ROUTER_KEYS, entries are separated by commas): {entry(name, key)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

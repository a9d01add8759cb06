"""Table Storage with a meter: calls, and bytes of bodies and headers that go over the wire, by what they are for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from azure.core.exceptions import ResponseNotReadError

from local.azurite import ACCOUNT, connection
from routing.engine.clock import Clock
from routing.store import keys
from routing.store.table_storage import TableStorage

_TABLE = re.compile(rf"/{ACCOUNT}/([A-Za-z]+)")


class Meter(TableStorage):
    """Counts what its calls send and receive: `made` and `moved` are calls and bytes by verb and table."""

    def __init__(self, clock: Clock, port: int) -> None:
        super().__init__(clock.now, connection(port))
        self.made: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def reset(self) -> None:
        """Begin at nothing."""
        self.made.clear()
        self.moved.clear()

    def of(self, what: Iterable[str]) -> tuple[int, int]:
        """(calls, bytes) for these."""
        return sum(self.made[each] for each in what), sum(self.moved[each] for each in what)

    def _answered(self, response: Any) -> None:
        """Of each call. The clock of a bench is not the emulator's, and the difference is not to be made up for."""
        super()._answered(response)
        self.skew_s = 0.0
        request, answer = response.http_request, response.http_response
        what = _what(request)
        self.made[what] += 1
        self.moved[what] += _size(request.headers) + len(request.url) + len(request.body or b"") + _size(answer.headers)
        with suppress(ResponseNotReadError):  # to a transaction: a few bytes a row, and read later
            self.moved[what] += len(answer.content)


def _what(request: Any) -> str:
    """What a call is for: a transaction names its table in its body, and heads are asked for by their key."""
    verb = "read" if request.method == "GET" else "write"
    text = request.body.decode() if "$batch" in request.url else request.url
    table = _TABLE.search(text)
    assert table, text
    return f"{verb} {'heads' if verb == 'read' and keys.HEAD in text else table[1]}"


def _size(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())

"""Table Storage with a meter: bytes of bodies and headers that go over the wire, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from azure.core.exceptions import ResponseNotReadError

from local.azurite import connection
from routing.engine.clock import Clock
from routing.store.table_storage import TableStorage


class Meter(TableStorage):
    """Counts what its calls send and receive."""

    def __init__(self, port: int) -> None:
        super().__init__(Clock().now, connection(port))
        self.bytes = 0

    def _answered(self, response: Any) -> None:
        super()._answered(response)
        request, answer = response.http_request, response.http_response
        self.bytes += _size(request.headers) + len(request.url) + len(request.body or b"") + _size(answer.headers)
        with suppress(ResponseNotReadError):  # to a transaction: a few bytes a row, and read later
            self.bytes += len(answer.content)


def _size(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())

"""The two halves of an HTTP call: a request at the extension's server and an invocation, paired by their id.

The host forwards the bytes and asks by gRPC for the invocation; the worker runs the function once it has both. Here the
request's arrival at the extension's server asks for the invocation. To the function that is the same, and neither half
can wait for ever for one that never comes because its caller left in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure_functions_runtime import http_v2
from starlette.requests import Request
from starlette.responses import Response

from local.host.routes import Match
from local.host.worker import Worker, http_value

type Resolve = Callable[[str, Request], Match | None]


def pair(worker: Worker, resolve: Resolve) -> None:
    """From now on call the function that `resolve` names for each request that reaches the extension's server.

    `resolve` gets the invocation id and the request; where it knows no function the answer is 404.
    """
    http_coordinator: Any = http_v2.http_coordinator  # one in a process; it has no types
    set_http_request = http_coordinator.set_http_request

    def arrived(invocation_id: str, request: Request) -> None:
        set_http_request(invocation_id, request)
        match = resolve(invocation_id, request)
        if match is None:
            http_coordinator.set_http_response(invocation_id, Response(status_code=404))
        else:
            worker.begin(match.function, http_value(match.parameters), invocation_id)

    http_coordinator.set_http_request = arrived

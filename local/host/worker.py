"""The Python worker of Azure Functions, run in this process, called as the host calls it by gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import azure_functions_runtime

from local.host import protos
from local.host.app import AppFault, Function
from local.host.protos import Message, ParameterBinding, RpcHttp, StatusResult, TypedData

# The extension's server starts in the background; a connection is tried this often, and this long.
CONNECT_INTERVAL_S, CONNECT_TIMEOUT_S = 0.02, 10.0

library: Any = azure_functions_runtime  # it has no types
log = logging.getLogger("local.host")


class Worker:
    """A started worker with an indexed app. There can be one in a process."""

    def __init__(self, functions: tuple[Function, ...], http_address: str | None) -> None:
        self.functions = functions
        self.http_address = http_address  # of the web extension's server; None where the app has none
        self.running: set[asyncio.Task[str | None]] = set()
        # A call must not see the context variables of whatever started it: in the cloud it arrives by gRPC.
        self._outside = copy_context()

    @classmethod
    async def start(cls, app: Path) -> Self:
        """Index the app in this folder, which must be on `sys.path`. Raises AppFault."""
        library.start_threadpool_executor()
        init = Message(capabilities={}, function_app_directory=str(app))
        properties = {"host": "127.0.0.1", "protos": protos}
        answer = await library.worker_init_request(_request("worker_init_request", init, properties))
        if answer.result.status != StatusResult.Success:
            raise AppFault(_text(answer.result.exception))
        metadata = await library.functions_metadata_request(_request("functions_metadata_request", Message()))
        found = metadata.function_metadata_results or ()
        functions = tuple(Function.read(f.function_id, f.name, f.raw_bindings) for f in found)
        if not functions:
            raise AppFault(f"{app}: no functions found; the worker looks for them in function_app.py")
        return cls(functions, answer.capabilities.get("HttpUri"))

    def triggered_by(self, kind: str) -> list[Function]:
        """The functions with this type of trigger, for instance `timerTrigger`."""
        return [function for function in self.functions if function.trigger["type"] == kind]

    async def listening(self) -> None:
        """Wait until the extension's server, if there is one, accepts connections. Raises TimeoutError."""
        if self.http_address is None:
            return
        address = urlsplit(self.http_address)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(address.hostname, address.port)
                except OSError:
                    await asyncio.sleep(CONNECT_INTERVAL_S)
                else:
                    writer.close()
                    return

    def begin(self, function: Function, value: TypedData, invocation_id: str | None = None) -> asyncio.Task[str | None]:
        """Call a function with its trigger's value. The task's result is the worker's error text, or None."""
        call = self._call(function, value, invocation_id or str(uuid4()))
        task = asyncio.create_task(call, context=self._outside.copy())
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    async def fire(self, function: Function, value: TypedData) -> None:
        """Call a function that nobody waits for. A failure is logged; cancelling this does not cancel the function."""
        task = self.begin(function, value)
        await asyncio.wait([task])
        if error := task.result():
            log.error("function %s failed: %s", function.name, error)

    async def _call(self, function: Function, value: TypedData, invocation_id: str) -> str | None:
        request = Message(
            invocation_id=invocation_id,
            function_id=function.id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=value)],
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0),
        )
        answer = await library.invocation_request(_request("invocation_request", request))
        return None if answer.result.status == StatusResult.Success else _text(answer.result.exception)


def http_value(parameters: Mapping[str, str]) -> TypedData:
    """An HTTP trigger's value where a web extension serves: the route's parameters, all else comes by HTTP."""
    return TypedData(http=RpcHttp(method="", url="", headers={}, params=parameters, query={}, body=TypedData()))


def _request(kind: str, message: Message, properties: Mapping[str, Any] | None = None) -> Message:
    return Message(request=Message(**{kind: message}), properties=properties or {})


def _text(exception: Any) -> str:
    return f"{exception.message}\n{exception.stack_trace}".strip()

"""Stand-ins for the protobuf classes of the Functions gRPC protocol, as far as the worker library touches them.

The library gets its message classes from its caller, as `protos`, so that it depends on no version of protobuf. Field
names and numbers are those of FunctionRpc.proto.
"""

from __future__ import annotations

from typing import Any


class Message:
    """A message: keyword arguments are its fields, and a field not given reads as None."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        if not name[0].islower():  # no field: one of Python's protocols, or the library asks whether this is a module
            raise AttributeError(name)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The field of the group that is set: the last one given, and each message here has one group at most."""
        return next(reversed(self.__dict__), None)


class TypedData(Message):
    """A value: one of json, string, http and so on."""


class RpcHttp(Message):
    """A request. With a web extension in the app its route parameters come this way and everything else by HTTP."""


class ParameterBinding(Message):
    """A function's argument: `name` and `data`."""


class StatusResult(Message):
    """How a request to the worker ended, with `exception` where it failed."""

    Failure, Success, Cancelled = range(3)


class BindingInfo(Message):
    """A binding's type and direction; the numbers of Direction and of DataType."""

    in_, out, inout = range(3)
    undefined, string, binary, stream = range(4)


class RpcException(Message):
    """An exception in the worker: `message` and `stack_trace`."""


class InvocationRequest(Message):
    """A call of a function."""


class InvocationResponse(Message):
    """What a function returned, beyond what went out by HTTP."""


class WorkerInitResponse(Message):
    """The worker's capabilities, or why it could not start."""


class WorkerMetadata(Message):
    """Versions of the worker."""


class FunctionMetadataResponse(Message):
    """The functions of the app."""


class RpcFunctionMetadata(Message):
    """A function: name, id, and its bindings as JSON in `raw_bindings`."""


class RpcRetryOptions(Message):
    """A function's retry policy."""

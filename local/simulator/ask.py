"""What a call asks for, whatever its dialect, and how it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from local.simulator.example import problem

BYTES_A_TOKEN = 4
# Not text of the prompt: marks of the wire format, and images, sound and files as base64.
NOT_TEXT = frozenset(
    {"type", "role", "id", "tool_call_id", "tool_use_id", "image_url", "source", "input_audio", "file", "signature"}
)

Refusal = Literal["invalid", "unauthorized", "not_found", "too_large", "rate_limited", "overloaded", "failed"]


class Refused(Exception):
    """The vendor answers with an error instead. Each dialect has its own status and body for a `kind`."""

    def __init__(
        self,
        kind: Refusal,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.param, self.code = kind, message, param, code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One call's demand."""

    name: str  # the deployment's name at the vendor
    digest: bytes  # of the prompt: the same prompt gets the same answer
    prompt_tokens: int
    stream: bool
    limit: int | None = None  # tokens of answer
    stops: tuple[str, ...] = ()
    tool: Tool | None = None  # the one to be called
    schema: Mapping[str, Any] | None = None  # the answer is to be JSON of this shape
    include_usage: bool = False
    given: frozenset[str] = frozenset()  # parameters that are set


def texts(node: object) -> Iterator[str]:
    """Every piece of text in a part of a prompt, in order."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key not in NOT_TEXT:
                yield from texts(value)
    elif isinstance(node, Sequence):
        for part in node:
            yield from texts(part)


def measure(pieces: Iterable[str]) -> tuple[bytes, int]:
    """Digest of a prompt, and its tokens: UTF-8 bytes / 4, rounded up."""
    digest, size = blake2b(digest_size=16), 0
    for piece in pieces:
        raw = piece.encode("utf-8", "surrogatepass")
        digest.update(raw)
        size += len(raw)
    return digest.digest(), -(-size // BYTES_A_TOKEN)


def check_schemas(ask: Ask) -> None:
    """Raise Refused where the tool to call, or the answer, has a schema that is none."""
    if ask.tool and (found := problem(ask.tool.schema)):
        text = f"Invalid schema for function '{ask.tool.name}': {found}"
        raise Refused("invalid", text, param="tools", code="invalid_function_parameters")
    if ask.schema is not None and (found := problem(ask.schema)):
        raise Refused("invalid", f"Invalid schema for the answer: {found}", param="response_format")


def chosen_tool(tools: Sequence[Tool], choice: str, asked: str, name: str | None = None) -> Tool | None:
    """The tool to call: the one that `choice` names or demands, or under `auto` the one that `asked` names.

    `choice` is "none", "auto", "required" or "named"; `asked` is the text of a last message by the user, else empty.
    """
    if choice == "named":
        return _named(tools, name)
    mentioned = (tool for tool in tools if re.search(rf"\b{re.escape(tool.name)}\b", asked))
    if choice == "required":
        return next(mentioned, tools[0] if tools else None)
    return next(mentioned, None) if choice == "auto" else None


def _named(tools: Sequence[Tool], name: str | None) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    raise Refused("invalid", f"Tool choice '{name}' not found in 'tools'.", param="tool_choice")

"""The wire formats behind one face, and the doors of each vendor: which path speaks what, for whose deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from local.simulator import anthropic_reply, anthropic_request, openai_reply, openai_request
from local.simulator.answer import Answer
from local.simulator.ask import Ask, Refused
from local.simulator.receipt import Receipt
from routing.fleet import Model, Provider


class Reply(Protocol):
    """One answer as bytes: a whole body, or a stream in parts."""

    def whole(self) -> bytes:
        """The body of an answer that is not streamed."""

    def opening(self) -> bytes:
        """Events before the first content."""

    def piece(self, text: str) -> bytes:
        """One token's event."""

    def closing(self) -> bytes:
        """Events after the last content."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A vendor's wire format."""

    # Body, headers and the deployment's name where the path has it → Ask; raises Refused.
    read: Callable[[bytes, Mapping[str, str], str | None], Ask]
    # Raises Refused for what the model does not take.
    check: Callable[[Ask, Model], None]
    # The answer's bytes; its id and its time of creation.
    reply: Callable[[Ask, Answer, Model, str, datetime], Reply]
    # Response headers of an answer.
    headers: Callable[[Receipt], dict[str, str]]
    # Status, body and headers of an error with this request id.
    refusal: Callable[[Refused, str], tuple[int, bytes, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Door:
    """A path below a resource's address."""

    path: str
    dialect: Dialect
    providers: tuple[Provider, ...]


def _openai(*, azure: bool) -> Dialect:
    return Dialect(
        read=openai_request.read,
        check=openai_request.check,
        reply=partial(openai_reply.ChatReply, azure=azure),
        headers=partial(openai_reply.headers, azure=azure),
        refusal=partial(openai_reply.refusal, azure=azure),
    )


AZURE, OPENAI = _openai(azure=True), _openai(azure=False)
ANTHROPIC = Dialect(
    read=anthropic_request.read,
    check=anthropic_request.check,
    reply=anthropic_reply.MessageReply,
    headers=anthropic_reply.headers,
    refusal=anthropic_reply.refusal,
)
DOORS = (
    Door("openai/v1/chat/completions", AZURE, ("azure_openai",)),
    Door("openai/deployments/{name}/chat/completions", AZURE, ("azure_openai",)),
    Door("v1/chat/completions", OPENAI, ("openai", "openai_compatible")),
    Door("anthropic/v1/messages", ANTHROPIC, ("claude_foundry",)),
    Door("v1/messages", ANTHROPIC, ("anthropic",)),
)

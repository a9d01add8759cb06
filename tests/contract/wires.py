"""The two vendors' wires as the tables of faults need them, and what a fault is seen as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from routing.errors import AttemptError
from routing.ports import Answer
from tests.contract.endpoints import endpoint
from tests.harness import anthropic_wire, openai_wire
from tests.harness.anthropic_wire import Message
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.script import Script
from tests.harness.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Wire:
    """One vendor's wire."""

    kind: str  # of an endpoint that speaks it
    error: Callable[..., list[bytes]]  # the script of an error instead of an answer
    failure: Callable[..., bytes]  # the event of an error within a stream
    opening: list[bytes]  # what comes before the first content
    content: bytes  # the first content
    closing: list[bytes]  # what comes after it

    def __str__(self) -> str:
        return self.kind


CHAT, MESSAGE = Chat("A"), Message("B")
OPENAI = Wire(
    "azure_openai", openai_wire.error, openai_wire.failure, CHAT.opening(), CHAT.contents(1)[0], CHAT.closing(1)
)
ANTHROPIC = Wire(
    "claude_foundry",
    anthropic_wire.error,
    anthropic_wire.failure,
    MESSAGE.opening(),
    MESSAGE.contents(1)[0],
    MESSAGE.closing(1),
)
both = pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC], ids=str)


async def refused(kind: str, script: Script, **body: Any) -> AttemptError:
    """The error that opening raises."""
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        with pytest.raises(AttemptError) as failure:
            await asked.open(**body)
        assert len(upstream.hits) == 1, "a provider's error is not tried again here"
    return failure.value


async def broken(kind: str, script: Script, **body: Any) -> tuple[int, AttemptError]:
    """(content events read, the error that reading raises) of an answer that opened well."""
    async with Upstream(script) as upstream, no_leaks(), endpoint(kind, upstream.url) as asked:
        answer = await asked.open(**body)
        seen = await _read_to_failure(answer)
        with pytest.raises(AttemptError):
            await answer.read()  # it stays broken
        await answer.close()
    return seen


async def _read_to_failure(answer: Answer) -> tuple[int, AttemptError]:
    content = 0
    try:
        while (piece := await answer.read()) is not None:
            content += piece.content
    except AttemptError as failure:
        return content, failure
    raise AssertionError("the answer ended as if it were whole")

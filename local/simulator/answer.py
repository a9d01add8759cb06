"""The answer to a call, whatever its dialect: made from the seed and the prompt alone, so a retry gets the same one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random
from typing import Literal

from local.simulator import text
from local.simulator.ask import Ask
from local.simulator.example import example

Ending = Literal["end", "limit", "stop_sequence", "tool"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Pieces of one token each, of text or of a tool's arguments, and why they end."""

    pieces: list[str]
    ending: Ending
    prompt_tokens: int
    tool: str | None = None
    stop_sequence: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the answer."""
        return len(self.pieces)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


def compose(seed: int, ask: Ask) -> Answer:
    """Answer `ask`: call its tool, fill its schema, or write; then cut at its limit and its stop sequences."""
    rng = Random(f"{seed}:{ask.digest.hex()}")
    if ask.tool:
        arguments = json.dumps(example(ask.tool.schema, rng))
        return _cut(ask, json_tokens(arguments), "tool", ask.tool.name)
    if ask.schema is not None:
        return _cut(ask, json_tokens(json.dumps(example(ask.schema, rng))), "end")
    return _stopped(ask, _cut(ask, text.answer(rng), "end"))


def json_tokens(document: str) -> list[str]:
    """JSON in pieces of a token's size."""
    return re.findall(r"(?s).{1,5}", document)


def _cut(ask: Ask, pieces: list[str], ending: Ending, tool: str | None = None) -> Answer:
    if ask.limit is not None and len(pieces) > ask.limit:
        pieces, ending = pieces[: ask.limit], "limit"
    return Answer(pieces, ending, ask.prompt_tokens, tool)


def _stopped(ask: Ask, answer: Answer) -> Answer:
    found = [(at, stop) for stop in ask.stops if (at := answer.text.find(stop)) >= 0]
    if not found:
        return answer
    at, stop = min(found)
    return Answer(text.tokens_of(answer.text[:at]), "stop_sequence", ask.prompt_tokens, stop_sequence=stop)

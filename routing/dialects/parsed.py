"""What a dialect reads out of a request body, for whoever builds the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from routing.request import Conversation


@dataclass(slots=True)
class Parsed:
    """A checked body. `body` no longer holds the fields that are the router's."""

    body: dict[str, Any]
    model: str | None
    models: tuple[str, ...]
    routing: dict[str, Any]  # the caller's hints, unchecked
    stream: bool
    include_usage: bool
    text_bytes: int  # of what a provider counts as prompt, but for images: text, tools and calls of them, schemas
    images: int
    plain: bool  # whether the prompt is text alone
    max_tokens: int | None
    limit_field: str  # the field that `max_tokens` came from
    answers: int  # how many are asked for at once
    needs: frozenset[str]
    parameters: frozenset[str]
    untranslatable: str  # the field that no other dialect can say, or empty
    one_try: bool
    user: str | None
    conversation: Callable[[], Conversation]

    def named(self, model: str) -> Parsed:
        """The same with the model that the request's path names."""
        return replace(self, model=model)

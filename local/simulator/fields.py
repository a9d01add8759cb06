"""Which field of a body is wrong: pydantic's first complaint as a path and a sentence."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError, joint: str = "[{}]") -> tuple[str | None, str]:
    """Path of the first wrong field (None where the body is no JSON object), and what is wrong with it.

    `joint` writes the index of a list: `messages[0].role` as OpenAI has it, `messages.0.role` as Anthropic.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    loc = first["loc"]
    # Deeper, pydantic names the alternatives of a type in the path: keep what the caller wrote.
    kept = loc[:3] if len(loc) > 1 and isinstance(loc[1], int) else loc[:1]
    path = "".join(joint.format(part) if isinstance(part, int) else f".{part}" for part in kept).lstrip(".")
    return path or None, first["msg"].removeprefix("Value error, ")

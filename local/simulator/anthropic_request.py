"""Anthropic Messages: the request. Shape is checked at once; what a model does not do is checked at the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.simulator.ask import Ask, Refused, Tool, chosen_tool, measure, texts
from local.simulator.fields import first_fault
from routing.fleet import Model

CHOICES = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class Turn(_Part):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class ToolParam(_Part):
    """A tool; one without `input_schema` is the vendor's own and never called here."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any] | None = None


class ToolChoice(_Part):
    """Which tool to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class JsonFormat(_Part):
    """Schema of the answer."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(_Part):
    """How the answer is to look."""

    format: JsonFormat | None = None


class MessagesBody(_Part):
    """Body of a message; fields that change nothing here are taken as they are."""

    model: str
    messages: Annotated[list[Turn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None


def read(raw: bytes, headers: Mapping[str, str], name_in_path: str | None) -> Ask:
    """Body and headers → Ask. Raises Refused in the vendor's words, which begin with the field."""
    if not headers.get("anthropic-version"):
        raise Refused("invalid", "anthropic-version: header is required")
    try:
        body = MessagesBody.model_validate_json(raw)
    except ValidationError as e:
        param, problem = first_fault(e, ".{}")
        raise Refused("invalid", f"{param}: {problem}" if param else problem, param=param) from e
    tools = [Tool(t.name, t.input_schema) for t in body.tools or () if t.input_schema is not None]
    digest, prompt_tokens = measure(_prompt(body, tools))
    output = body.output_config.format if body.output_config else None
    return Ask(
        name=body.model,
        digest=digest,
        prompt_tokens=prompt_tokens,
        stream=bool(body.stream),
        limit=body.max_tokens,
        stops=tuple(body.stop_sequences or ()),
        tool=_tool(body, tools),
        schema=output.schema_ if output else None,
        given=frozenset(k for k in body.model_fields_set if getattr(body, k, None) is not None),
    )


def check(ask: Ask, model: Model) -> None:
    """Raise Refused for what this model does not take."""
    for name in model.unsupported_parameters:
        if name in ask.given:
            raise Refused("invalid", f"{name}: not supported by this model", param=name)
    limit = ask.limit or 1
    if limit > model.max_output_tokens:
        most = f"which is the maximum allowed number of output tokens for {model.id}"
        raise Refused("invalid", f"max_tokens: {limit} > {model.max_output_tokens}, {most}", param="max_tokens")
    if ask.prompt_tokens + limit > model.context_window:
        text = f"prompt is too long: {ask.prompt_tokens + limit} tokens > {model.context_window} maximum"
        raise Refused("invalid", text, param="messages")


def _prompt(body: MessagesBody, tools: list[Tool]) -> list[str]:
    written = [*texts(body.system), *(text for turn in body.messages for text in texts(turn.model_dump()))]
    return written + [tool.name + json.dumps(tool.schema) for tool in tools]


def _tool(body: MessagesBody, tools: list[Tool]) -> Tool | None:
    last = body.messages[-1]
    # A tool's result is a user turn too: it asks for nothing.
    results = isinstance(last.content, list) and any(part.get("type") == "tool_result" for part in last.content)
    asked = " ".join(texts(last.content)) if last.role == "user" and not results else ""
    choice = body.tool_choice or ToolChoice(type="auto")
    return chosen_tool(tools, CHOICES[choice.type], asked, choice.name)

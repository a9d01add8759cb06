"""OpenAI chat completions: the request. Shape is checked at once; what a model does not do is checked at the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.simulator.ask import Ask, Refused, Tool, chosen_tool, measure, texts
from local.simulator.fields import first_fault
from routing.fleet import Model

Limit = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class Message(_Part):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class Function(_Part):
    """A function's name, and its parameters as a JSON schema."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    parameters: dict[str, Any] = {}


class FunctionTool(_Part):
    """A tool that is a function."""

    type: Literal["function"]
    function: Function


class NamedFunction(_Part):
    """The name alone, in `tool_choice`."""

    name: str


class NamedTool(_Part):
    """A tool choice by name."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(_Part):
    """Options of streams."""

    include_usage: bool = False


class JsonSchema(_Part):
    """A named schema of an answer."""

    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")] = {}


class ResponseFormat(_Part):
    """What kind of text the answer is."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(_Part):
    """Body of a chat completion; fields that change nothing here are taken as they are."""

    model: str = ""
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    response_format: ResponseFormat | None = None


def read(raw: bytes, headers: Mapping[str, str], name_in_path: str | None) -> Ask:
    """Body → Ask. Raises Refused in the vendor's words, with `param`."""
    try:
        body = ChatBody.model_validate_json(raw)
    except ValidationError as e:
        param, problem = first_fault(e)
        raise Refused("invalid", f"Invalid value for '{param}': {problem}." if param else problem, param=param) from e
    _check(body)
    tools = [Tool(t.function.name, t.function.parameters) for t in body.tools or ()]
    digest, prompt_tokens = measure(_prompt(body, tools))
    return Ask(
        name=name_in_path or body.model,
        digest=digest,
        prompt_tokens=prompt_tokens,
        stream=bool(body.stream),
        limit=body.max_completion_tokens or body.max_tokens,
        stops=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        tool=_tool(body, tools),
        schema=_schema(body.response_format),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        given=frozenset(k for k in body.model_fields_set if getattr(body, k, None) is not None),
    )


def check(ask: Ask, model: Model) -> None:
    """Raise Refused for what this model does not take."""
    for name in model.unsupported_parameters:
        if name in ask.given:
            use = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            text = f"Unsupported parameter: '{name}' is not supported with this model.{use}"
            raise Refused("invalid", text, param=name, code="unsupported_parameter")
    limit = ask.limit or 1
    if limit > model.max_output_tokens:
        param = "max_tokens" if "max_tokens" in ask.given else "max_completion_tokens"
        most = f"This model supports at most {model.max_output_tokens} completion tokens, whereas you provided {limit}."
        raise Refused("invalid", f"{param} is too large: {limit}. {most}", param=param, code="invalid_value")
    if ask.prompt_tokens + limit > model.context_window:
        text = (
            f"This model's maximum context length is {model.context_window} tokens. However, you requested "
            f"{ask.prompt_tokens + limit} tokens ({ask.prompt_tokens} in the messages, {limit} in the completion). "
            "Please reduce the length of the messages or completion."
        )
        raise Refused("invalid", text, param="messages", code="context_length_exceeded")


def _check(body: ChatBody) -> None:
    if body.n not in (None, 1):
        raise Refused(
            "invalid", f"Invalid value for 'n': {body.n} (this model gives 1).", param="n", code="invalid_value"
        )
    if body.stream_options and not body.stream:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused("invalid", text, param="stream_options")
    if body.max_tokens and body.max_completion_tokens:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused("invalid", text, param="max_tokens", code="invalid_parameter_combination")
    if body.tool_choice not in (None, "none") and not body.tools:
        text = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise Refused("invalid", text, param="tool_choice")


def _prompt(body: ChatBody, tools: Sequence[Tool]) -> list[str]:
    written = [text for message in body.messages for text in texts(message.model_dump())]
    return written + [tool.name + json.dumps(tool.schema) for tool in tools]


def _tool(body: ChatBody, tools: Sequence[Tool]) -> Tool | None:
    last = body.messages[-1]
    asked = " ".join(texts(last.content)) if last.role == "user" else ""
    if isinstance(body.tool_choice, NamedTool):
        return chosen_tool(tools, "named", asked, body.tool_choice.function.name)
    return chosen_tool(tools, body.tool_choice or "auto", asked)


def _schema(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is not None:
        return wanted.json_schema.schema_
    return {"type": "object", "properties": {"answer": {"type": "string"}}}

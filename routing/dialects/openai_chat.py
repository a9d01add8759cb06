"""OpenAI chat completions, as callers speak them: reading a request."""

from __future__ import annotations

from typing import Any

import orjson

from routing.dialects.parsed import Parsed
from routing.errors import RequestError
from routing.request import Conversation

DIALECT = "openai"
MOST_TOKENS, MOST_ANSWERS, MOST_FIELDS, MOST_MESSAGES = 10_000_000, 16, 100, 10_000
OURS = ("routing", "models")
# Fields that never decide which model can serve a request
PLAIN = {
    "messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
    "user", "safety_identifier", "metadata", "tools", "tool_choice", "functions", "function_call",
}  # fmt: skip
# Fields that every dialect can say; whatever else is set binds the request to this one
TRANSLATED = {
    "messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "stop", "user", "safety_identifier",
}  # fmt: skip
DEFAULTS: dict[str, object] = {
    "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "n": 1, "logprobs": False,
}  # fmt: skip
ENDPOINT_FIELDS = {
    "api_base", "base_url", "api_key", "endpoint", "azure_endpoint", "custom_host", "api_version", "organization",
    "extra_headers", "proxy",
}  # fmt: skip
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


def parse(raw: bytes) -> Parsed:
    """Read and check a request body. Raises RequestError that names the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise RequestError(f"the body is not JSON: {e.msg}") from e
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    if len(body) > MOST_FIELDS:
        raise RequestError(f"the body has more than {MOST_FIELDS} fields")
    _no_endpoints(body)
    routing = _field(body, "routing", dict, {})
    _no_endpoints(routing, "routing.")
    text_bytes, images, untranslatable = _messages(body)
    stream = _field(body, "stream", bool, False)
    options = _field(body, "stream_options", dict, {})
    body.pop("routing", None)
    models = _names(body.pop("models", None))
    return Parsed(
        body=body,
        model=_field(body, "model", str, None),
        models=models,
        routing=routing,
        stream=stream,
        include_usage=_field(options, "include_usage", bool, False, "stream_options."),
        text_bytes=text_bytes,
        images=images,
        max_tokens=_max_tokens(body),
        answers=_count(body, "n", MOST_ANSWERS) or 1,
        needs=_needs(body, images),
        parameters=frozenset(k for k in body if k not in PLAIN and body[k] is not None and body[k] != DEFAULTS.get(k)),
        untranslatable=untranslatable or _untranslatable(body),
        one_try=body.get("store") is True,
        user=_user(body),
        conversation=lambda: conversation(body),
    )


def conversation(body: dict[str, Any]) -> Conversation:
    """The body in no dialect. Only for a body that `parse` found translatable."""
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for message in body["messages"]:
        role, text = message["role"], _text(message.get("content"))
        if not text:
            continue
        if role in ("system", "developer"):
            system.append(text)
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, turns[-1][1] + "\n\n" + text)
        else:
            turns.append((role, text))
    stop = body.get("stop") or ()
    return Conversation(
        system="\n\n".join(system),
        turns=tuple(turns),
        max_tokens=_max_tokens(body),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


# ---------------------------------------------------------------------- checks
def _messages(body: dict[str, Any]) -> tuple[int, int, str]:
    """(bytes of text, images, what in the messages cannot be translated)."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("`messages` must be a list with at least one message", "messages")
    if len(messages) > MOST_MESSAGES:
        raise RequestError(f"more than {MOST_MESSAGES} messages", "messages")
    size, images, untranslatable = 0, 0, ""
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise RequestError(f"`role` must be one of {', '.join(sorted(ROLES))}", f"messages[{i}].role")
        if message["role"] in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
            untranslatable = "tools"
        for kind, value in _parts(message.get("content"), i):
            if kind == "text":
                size += len(value) if value.isascii() else len(value.encode())
            else:
                images += kind == "image_url"
                untranslatable = untranslatable or ("images" if kind == "image_url" else f"content of type {kind}")
    return size, images, untranslatable or _turns(messages)


def _turns(messages: list[dict[str, Any]]) -> str:
    """Other providers want turns that begin and end with the user."""
    roles = [m["role"] for m in messages if m["role"] in ("user", "assistant")]
    if not roles or roles[0] != "user":
        return "a conversation that does not begin with the user"
    return "a beginning for the answer" if roles[-1] != "user" else ""


def _parts(content: Any, i: int) -> list[tuple[str, str]]:
    """(type, text) of each part of a message's content."""
    if content is None:
        return []
    if isinstance(content, str):
        return [("text", content)]
    if not isinstance(content, list):
        raise RequestError("`content` must be text or a list of parts", f"messages[{i}].content")
    parts = []
    for j, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise RequestError("a part needs a `type`", f"messages[{i}].content[{j}]")
        text = part.get("text", "")
        if part["type"] == "text" and not isinstance(text, str):
            raise RequestError("`text` must be text", f"messages[{i}].content[{j}].text")
        parts.append((part["type"], text if isinstance(text, str) else ""))
    return parts


def _text(content: Any) -> str:
    return "".join(text for kind, text in _parts(content, 0) if kind == "text")


def _untranslatable(body: dict[str, Any]) -> str:
    """The first field that only this dialect can say."""
    for name in sorted(body):
        value = body[name]
        if name not in TRANSLATED and value not in (None, [], {}) and value != DEFAULTS.get(name):
            return "tools" if name in ("tools", "functions", "tool_choice", "function_call") else name
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        return "temperature above 1"
    return "top_p with temperature" if None not in (temperature, body.get("top_p")) else ""


def _needs(body: dict[str, Any], images: int) -> frozenset[str]:
    needs = set()
    if body.get("tools") or body.get("functions"):
        needs.add("tools")
    if images:
        needs.add("images")
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        needs.add("json_schema")
    if body.get("reasoning_effort") not in (None, "none"):
        needs.add("reasoning")
    return frozenset(needs)


def _max_tokens(body: dict[str, Any]) -> int | None:
    newer = _count(body, "max_completion_tokens", MOST_TOKENS)
    older = _count(body, "max_tokens", MOST_TOKENS)
    return older if newer is None else newer


def _user(body: dict[str, Any]) -> str | None:
    """Whoever the caller says is asking."""
    metadata = body.get("metadata")
    named = [
        body.get("safety_identifier"),
        body.get("user"),
        metadata.get("user_id") if isinstance(metadata, dict) else None,
    ]
    return next((name for name in named if isinstance(name, str) and name), None)


def _count(body: dict[str, Any], name: str, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise RequestError(f"`{name}` must be a whole number from 1 to {most}", name)
    return value


def _field[T](body: dict[str, Any], name: str, kind: type[T], default: Any, prefix: str = "") -> Any:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        words = {bool: "true or false", dict: "an object", str: "text"}
        raise RequestError(f"`{prefix}{name}` must be {words[kind]}", prefix + name)
    return value


def _names(models: Any) -> tuple[str, ...]:
    if models is None:
        return ()
    if not isinstance(models, list) or not models or not all(isinstance(m, str) and m for m in models):
        raise RequestError("`models` must be a list of names", "models")
    return tuple(models)


def _no_endpoints(fields: dict[str, Any], prefix: str = "") -> None:
    """A caller names models, never places to connect to."""
    for name in fields:
        if name.lower() in ENDPOINT_FIELDS:
            raise RequestError(f"`{prefix}{name}` is not accepted: endpoints come from the fleet", prefix + name)

"""OpenAI chat completions, as callers speak them: reading a request."""

from __future__ import annotations

from typing import Any

import orjson

from routing.dialects.fields import count, field, json_object, model_name, model_names, no_endpoints, number, texts
from routing.dialects.parsed import Parsed
from routing.errors import RequestError
from routing.request import Conversation

DIALECT = "openai"
MOST_TOKENS, MOST_ANSWERS, MOST_FIELDS, MOST_MESSAGES, MOST_STOPS = 10_000_000, 16, 100, 10_000, 16
LONGEST_REASON = 100  # characters of what is kept of why a request cannot be translated: callers' words are in it
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
# Fields and parts of messages that a provider writes into the prompt
PROMPTED, CALLS = ("tools", "functions", "response_format", "web_search_options"), ("tool_calls", "function_call")
DEFAULTS: dict[str, object] = {
    "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "n": 1, "logprobs": False,
    "store": False, "response_format": {"type": "text"},
}  # fmt: skip
LIMITS = ("max_completion_tokens", "max_tokens")  # the newer name wins
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


def parse(raw: bytes) -> Parsed:
    """Read and check a request body. Raises RequestError that names the field."""
    body = json_object(raw, MOST_FIELDS)
    no_endpoints(body)
    routing = field(body, "routing", dict, {})
    no_endpoints(routing, "routing.")
    text_bytes, images, beyond_text, spoken = _messages(body)
    prompted = [body[name] for name in PROMPTED if body.get(name) and body[name] != DEFAULTS.get(name)]
    stream = field(body, "stream", bool, False)
    options = field(body, "stream_options", dict, {})
    body.pop("routing", None)
    models = model_names(body.pop("models", None))
    untranslatable = beyond_text or _turns(spoken)
    beyond_fields = _untranslatable(body)  # of what is not ours
    max_tokens, limit_field = _limit(body)
    return Parsed(
        body=body,
        model=model_name(body),
        models=models,
        routing=routing,
        stream=stream,
        include_usage=field(options, "include_usage", bool, False, "stream_options."),
        text_bytes=text_bytes + sum(map(_size, prompted)),
        images=images,
        plain=not beyond_text and not prompted,
        max_tokens=max_tokens,
        limit_field=limit_field,
        answers=count(body, "n", MOST_ANSWERS) or 1,
        needs=_needs(body, images),
        parameters=frozenset(k for k in body if k not in PLAIN and body[k] is not None and body[k] != DEFAULTS.get(k)),
        untranslatable=(untranslatable or beyond_fields)[:LONGEST_REASON],
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
        if not text.strip():  # a turn without words is refused elsewhere, and says nothing
            continue
        if role in ("system", "developer"):
            system.append(text)
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, turns[-1][1] + "\n\n" + text)
        else:
            turns.append((role, text))
    return Conversation(
        system="\n\n".join(system),
        turns=tuple(turns),
        max_tokens=_limit(body)[0],
        temperature=body.get("temperature"),
        top_p=None if body.get("top_p") == DEFAULTS["top_p"] else body.get("top_p"),
        stop=texts(body, "stop", MOST_STOPS),
    )


# ---------------------------------------------------------------------- checks
def _messages(body: dict[str, Any]) -> tuple[int, int, str, list[str]]:
    """(bytes of text and calls, images, what is neither a role nor text, roles of the messages with words)."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("`messages` must be a list with at least one message", "messages")
    if len(messages) > MOST_MESSAGES:
        raise RequestError(f"more than {MOST_MESSAGES} messages", "messages")
    size, images, beyond_text = 0, 0, ""
    spoken: list[str] = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RequestError("a message must be an object", f"messages[{i}]")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise RequestError(f"`role` must be one of {', '.join(sorted(ROLES))}", f"messages[{i}].role")
        parts = _parts(message.get("content"), i)
        beyond_text = beyond_text or _beyond_text(message, parts, i)
        texts_of = [text for kind, text in parts if kind == "text"]
        size += sum(len(text) if text.isascii() else len(text.encode()) for text in texts_of)
        size += sum(_size(message[name]) for name in CALLS if message.get(name))
        images += sum(kind == "image_url" for kind, _ in parts)
        if role in ("user", "assistant") and any(text.strip() for text in texts_of):
            spoken.append(role)
    return size, images, beyond_text, spoken


def _size(value: Any) -> int:
    """Bytes of a part of the prompt that is no text: of its JSON, which tokens are about as long in."""
    return len(orjson.dumps(value))


def _beyond_text(message: dict[str, Any], parts: list[tuple[str, str]], i: int) -> str:
    """What a message holds beside a role and text."""
    if message["role"] in ("tool", "function"):
        return "tools"
    for name, value in message.items():
        if name not in ("role", "content") and value not in (None, [], {}, ""):
            return "tools" if name in ("tool_calls", "function_call") else f"messages[{i}].{name}"
    for j, (kind, _) in enumerate(parts):
        if kind != "text":
            return "images" if kind == "image_url" else f"content of type {kind}"
        if isinstance(message["content"], list) and (more := message["content"][j].keys() - {"type", "text"}):
            return f"messages[{i}].content[{j}].{min(more)}"
    return ""


def _turns(roles: list[str]) -> str:
    """Other providers want turns that begin and end with the user. `roles` are of those with words."""
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
    """The first field that only this dialect can say. Raises RequestError for a value that none can."""
    temperature, top_p = number(body, "temperature", 2), number(body, "top_p", 1)
    stop = texts(body, "stop", MOST_STOPS)
    for name in sorted(body):
        value = body[name]
        if name not in TRANSLATED and value not in (None, [], {}) and value != DEFAULTS.get(name):
            return "tools" if name in ("tools", "functions", "tool_choice", "function_call") else name
    if temperature is not None and temperature > 1:
        return "temperature above 1"
    if not all(text.strip() for text in stop):
        return "a stop of white space"
    return "top_p with temperature" if None not in (temperature, top_p) and top_p != DEFAULTS["top_p"] else ""


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


def _limit(body: dict[str, Any]) -> tuple[int | None, str]:
    """(most tokens of an answer, the field that says so)."""
    newer, older = (count(body, name, MOST_TOKENS) for name in LIMITS)
    return (older, LIMITS[1]) if newer is None else (newer, LIMITS[0])


def _user(body: dict[str, Any]) -> str | None:
    """Whoever the caller says is asking."""
    metadata = body.get("metadata")
    named = [
        body.get("safety_identifier"),
        body.get("user"),
        metadata.get("user_id") if isinstance(metadata, dict) else None,
    ]
    return next((name for name in named if isinstance(name, str) and name), None)

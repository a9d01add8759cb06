"""Checks of single fields of a request body, for every dialect. Each raises RequestError that names the field."""

from __future__ import annotations

from typing import Any

import orjson

from routing.errors import RequestError

DEEPEST = 254  # levels of nesting that orjson writes; it reads 1,024
LONGEST_NAME, MOST_NAMES = 256, 32
LONGEST_FIELD = 64  # characters of a field's name: no API has longer ones, and some are kept
# What names a place to connect to, whatever its spelling: `api_base`, `api-base` and `apiBase` are one
ENDPOINT_FIELDS = {
    "apibase", "baseurl", "apikey", "endpoint", "azureendpoint", "customhost", "apiversion", "organization",
    "extraheaders", "proxy",
}  # fmt: skip
_WORDS = {bool: "true or false", dict: "an object", str: "text"}


def json_object(raw: bytes, most_fields: int) -> dict[str, Any]:
    """A body as a JSON object that can be written again, with no more than `most_fields` fields."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise RequestError(f"the body is not JSON: {e.msg}") from e
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    if len(body) > most_fields:
        raise RequestError(f"the body has more than {most_fields} fields")
    for name in body:
        if len(name) > LONGEST_FIELD:
            begin = name[:LONGEST_FIELD]
            raise RequestError(f"the field `{begin}...` has a name of more than {LONGEST_FIELD} characters", begin)
    # a body with no more brackets than that cannot be deeper, and few bodies have more
    if raw.count(b"{") + raw.count(b"[") > DEEPEST:
        try:
            orjson.dumps(body)
        except orjson.JSONEncodeError as e:
            raise RequestError(f"the body is nested deeper than {DEEPEST} levels") from e
    return body


def field[T](body: dict[str, Any], name: str, kind: type[T], default: Any, prefix: str = "") -> Any:
    """A value of this kind, or `default` where there is none or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise RequestError(f"`{prefix}{name}` must be {_WORDS[kind]}", prefix + name)
    return value


def count(body: dict[str, Any], name: str, most: int) -> int | None:
    """A whole number from 1 to `most`."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise RequestError(f"`{name}` must be a whole number from 1 to {most}", name)
    return value


def number(body: dict[str, Any], name: str, most: float) -> float | None:
    """A number from 0 to `most`. JSON as it is read here knows neither NaN nor infinity."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise RequestError(f"`{name}` must be a number from 0 to {most:g}", name)
    return value


def texts(body: dict[str, Any], name: str, most: int) -> tuple[str, ...]:
    """One text, or a list of up to `most`."""
    value = body.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list) or len(value) > most or not all(isinstance(text, str) for text in value):
        raise RequestError(f"`{name}` must be text or a list of up to {most} texts", name)
    return tuple(value)


def model_name(body: dict[str, Any]) -> str | None:
    """The name of one model, as `model` says it."""
    name = field(body, "model", str, None)
    if name is not None and len(name) > LONGEST_NAME:
        raise RequestError(f"`model` is longer than {LONGEST_NAME} characters", "model")
    return name if name is None else str(name)


def model_names(models: Any) -> tuple[str, ...]:
    """The list that `models` is."""
    if models is None:
        return ()
    if not isinstance(models, list) or not 0 < len(models) <= MOST_NAMES or not all(map(_is_name, models)):
        raise RequestError(f"`models` must be a list of 1 to {MOST_NAMES} names of models", "models")
    return tuple(models)


def no_endpoints(fields: dict[str, Any], prefix: str = "") -> None:
    """A caller names models, never places to connect to."""
    for name in fields:
        if name.lower().replace("_", "").replace("-", "") in ENDPOINT_FIELDS:
            raise RequestError(f"`{prefix}{name}` is not accepted: endpoints come from the fleet", prefix + name)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME

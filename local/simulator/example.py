"""A value that satisfies a JSON schema: arguments of tool calls, and answers where a schema is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import jsonschema

from local.simulator import text

FORMATS = {
    "date": "2026-11-24",
    "date-time": "2026-11-24T08:30:00Z",
    "time": "08:30:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEEP = 6  # from here on only what is required, so that recursive schemas end
DEEPEST = 24  # ends those that require themselves
MOST_VALUES, LONGEST_LIST, LONGEST_TEXT = 500, 100, 1_000
ALTERNATIVES = ("$ref", "anyOf", "oneOf", "allOf")
Schema = Mapping[str, Any]


def problem(schema: Schema) -> str | None:
    """What makes `schema` no JSON schema, or None."""
    try:
        json.dumps(schema, allow_nan=False)
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as e:
        return e.message
    except ValueError as e:
        return str(e)
    return None


def example(schema: Schema, rng: Random) -> Any:
    """A value for a valid `schema`: its first alternative, every property, lists of the least length."""
    return _Example(schema, rng).value(schema, 0)


class _Example:
    """One example in the making, with a budget of values: a schema may demand exponentially many."""

    def __init__(self, root: Schema, rng: Random) -> None:
        self._root, self._rng, self._left = root, rng, MOST_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > DEEPEST or self._left < 0:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        return self._typed(schema, depth)

    def _typed(self, schema: Schema, depth: int) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, depth),
            "integer": lambda: self._integer(schema),
            "number": lambda: _number(schema),
            "boolean": lambda: self._rng.random() < 0.5,
            "null": lambda: None,
        }
        return makers.get(_type(schema), lambda: self._text(schema))()

    def _resolved(self, schema: Schema) -> Schema:
        """Follow local references and take the first alternative, a bounded number of times."""
        for _ in range(DEEPEST):
            parts = self._parts(schema)
            if not parts:
                break
            schema = {name: value for name, value in schema.items() if name not in ALTERNATIVES}
            for part in parts:
                schema |= part if isinstance(part, Mapping) else {}
        return schema

    def _parts(self, schema: Schema) -> list[Any]:
        if "$ref" in schema:
            return [self._target(schema["$ref"])]
        return [*schema.get("allOf", []), *schema.get("anyOf", [])[:1], *schema.get("oneOf", [])[:1]]

    def _target(self, reference: str) -> Any:
        node: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            node = node.get(key, {}) if key and isinstance(node, Mapping) else node
        return node

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        wanted = [name for name in properties if depth < DEEP or name in required]
        return {name: self.value(properties[name], depth + 1) for name in wanted}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        usual = 1 if depth < DEEP and schema.get("maxItems", 1) else 0
        count = min(max(int(schema.get("minItems", 0)), usual), LONGEST_LIST)
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _integer(self, schema: Schema) -> int:
        low = math.ceil(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        high = math.floor(schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1))
        return self._rng.randint(low, high) if low <= high else high

    def _text(self, schema: Schema) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        words = self._rng.choice(text.OBJECTS)
        words = words.ljust(min(int(schema.get("minLength", 0)), LONGEST_TEXT), ".")
        return words[: int(schema.get("maxLength", len(words)))]


def _type(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return str(kind)


def _number(schema: Schema) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 100))
    return float(low + (high - low) / 2)

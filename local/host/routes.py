"""Which function answers a request: the route templates of HTTP triggers, matched as the Functions host does.

The host routes with ASP.NET Core. Literal segments compare without case, `{name}` takes one segment, `{name?}` one or
none, `{*name}` the rest of the path. Of several templates the one whose first differing segment is more definite wins:
literal, then parameter, then rest. A template whose methods do not fit is as good as absent, so the answer is 404, not
405.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self
from urllib.parse import unquote

from local.host.app import AppFault, Function

SEGMENT = re.compile(r"(?P<literal>[^{}]+)|\{(?P<stars>\*{0,2})(?P<name>\w+)(?P<optional>\??)\}")


class _Kind(IntEnum):
    LITERAL = 1
    PARAMETER = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: _Kind
    text: str  # the literal without case, or the parameter's name
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The function that answers, and what its template took out of the path."""

    function: Function
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP trigger: template, methods (none means all of them) and function."""

    function: Function
    methods: frozenset[str]
    segments: tuple[_Segment, ...]

    @classmethod
    def parse(cls, function: Function, template: str, methods: Iterable[str] = ()) -> Self:
        """Read a route template. Raises ValueError that quotes the segment at fault."""
        texts = [text for text in template.split("/") if text]
        segments = tuple(_segment(text, last=i == len(texts) - 1) for i, text in enumerate(texts))
        return cls(function, frozenset(method.upper() for method in methods), segments)

    def match(self, method: str, segments: Sequence[str]) -> Match | None:
        """The match with a path's decoded segments, if the method and every segment fit."""
        if self.methods and method not in self.methods:
            return None
        parameters: dict[str, str] = {}
        for i, segment in enumerate(self.segments):
            if segment.kind is _Kind.REST:
                return Match(self.function, parameters | _filled(segment.text, "/".join(segments[i:])))
            value = segments[i] if i < len(segments) else ""
            if segment.kind is _Kind.LITERAL:
                if value.lower() != segment.text:
                    return None
            elif value:
                parameters[segment.text] = value
            elif i < len(segments) or not segment.optional:
                return None
        return Match(self.function, parameters) if len(segments) <= len(self.segments) else None


class RouteTable:
    """All HTTP triggers of an app, the most definite first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: [segment.kind for segment in route.segments])

    @classmethod
    def of(cls, functions: Iterable[Function], prefix: str) -> Self:
        """The routes that HTTP triggers declare, each below the prefix. Raises AppFault that names the function."""
        return cls(_declared(function, prefix) for function in functions)

    def match(self, method: str, path: str) -> Match | None:
        """The function for a request; `path` is percent-encoded, without dot segments and without a query."""
        inner = path.removeprefix("/").removesuffix("/")
        segments = [_decoded(segment) for segment in inner.split("/")] if inner else []
        return next((match for route in self._routes if (match := route.match(method, segments))), None)


def without_dot_segments(path: str) -> str:
    """A percent-encoded path with `.` and `..` resolved, also encoded ones: what Kestrel does before routing."""
    kept: list[str] = []
    for segment in path.removeprefix("/").split("/"):
        if unquote(segment) == "..":
            del kept[-1:]
        elif unquote(segment) != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def _declared(function: Function, prefix: str) -> Route:
    trigger = function.trigger
    template = trigger.get("route")
    try:
        return Route.parse(
            function, f"{prefix}/{function.name if template is None else template}", trigger.get("methods") or ()
        )
    except ValueError as e:
        raise AppFault(f"function {function.name}: route {e}") from e


def _segment(text: str, *, last: bool) -> _Segment:
    found = SEGMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}': a segment is a literal, {{name}}, {{name?}} or {{*name}} in the local host")
    if found["literal"]:
        return _Segment(_Kind.LITERAL, text.lower())
    if (found["stars"] or found["optional"]) and not last:
        raise ValueError(f"'{text}' must be the last segment")
    return _Segment(_Kind.REST if found["stars"] else _Kind.PARAMETER, found["name"], bool(found["optional"]))


def _decoded(segment: str) -> str:
    """Percent-decoded but for %2F, which Kestrel leaves alone: an encoded slash does not separate segments."""
    return unquote(segment.replace("%2F", "%252F").replace("%2f", "%252f"))


def _filled(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}

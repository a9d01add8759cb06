"""Which function a path and method lead to, and what the template takes out of the path."""

from __future__ import annotations

import re

import pytest

from local.host.app import AppFault, Function
from local.host.routes import Match, RouteTable, without_dot_segments


def http(name: str, route: str | None, methods: list[str] | None = None) -> Function:
    return Function(name, name, {"type": "httpTrigger", "name": "req", "route": route, "methods": methods})


FUNCTIONS = [
    http("any", "{*path}", ["GET"]),
    http("model", "v1/models/{id}", ["GET"]),
    http("models", "v1/models", ["GET"]),
    http("default", "v1/models/default", ["GET", "HEAD"]),
    http("deployment", "openai/deployments/{model}/chat/completions", ["POST"]),
    http("fixed", "openai/deployments/fixed/chat/{verb}", ["POST"]),
    http("page", "page/{number?}"),
    http("files", "files/{*rest}", ["GET"]),
]
TABLE = RouteTable.of(FUNCTIONS, prefix="")


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("GET", "/v1/models", "models", {}),
        ("GET", "/v1/models/", "models", {}),  # a slash at the end says nothing
        ("GET", "/V1/Models", "models", {}),  # literals compare without case
        ("GET", "/v1/models/gpt-5", "model", {"id": "gpt-5"}),
        ("GET", "/v1/models/GPT-5", "model", {"id": "GPT-5"}),  # values keep theirs
        ("GET", "/v1/models/default", "default", {}),  # a literal wins over a parameter
        ("GET", "/v1/models/a%20b", "model", {"id": "a b"}),
        ("GET", "/v1/models/a%2Fb", "model", {"id": "a%2Fb"}),  # an encoded slash separates nothing
        ("POST", "/openai/deployments/m/chat/completions", "deployment", {"model": "m"}),
        ("POST", "/openai/deployments/fixed/chat/completions", "fixed", {"verb": "completions"}),  # left to right
        ("GET", "/page", "page", {}),
        ("DELETE", "/page/7", "page", {"number": "7"}),  # no methods in the metadata: every method
        ("GET", "/files/a/b%20c/d", "files", {"rest": "a/b c/d"}),
        ("GET", "/files", "files", {}),
        ("GET", "/", "any", {}),
        ("GET", "/v1/models/a/b", "any", {"path": "v1/models/a/b"}),
    ],
)
def test_a_request_finds_its_function(method: str, path: str, function: str, parameters: dict[str, str]) -> None:
    found = next(known for known in FUNCTIONS if known.name == function)
    assert TABLE.match(method, path) == Match(found, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models"),  # another method is no match: the host answers 404
        ("HEAD", "/v1/models"),  # HEAD only where it is declared
        ("OPTIONS", "/v1/models/default"),
        ("GET", "/page/1/2"),
        ("POST", "/openai/deployments//chat/completions"),  # an empty segment is no value
        ("GET", "/v1/models//"),
        ("POST", "/"),
    ],
)
def test_what_fits_no_template_finds_nothing(method: str, path: str) -> None:
    assert RouteTable.of(FUNCTIONS[1:], prefix="").match(method, path) is None


def test_a_prefix_stands_before_every_route_and_a_function_without_route_has_its_name() -> None:
    table = RouteTable.of([http("Hello", None)], prefix="api")
    assert table.match("GET", "/api/hello")
    assert not table.match("GET", "/hello")


@pytest.mark.parametrize("template", ["{id:int}", "a-{b}", "{a}{b}", "{", "{a=5}", "{}"])
def test_a_template_beyond_the_local_host_is_refused_by_name(template: str) -> None:
    with pytest.raises(AppFault, match=f"function f: route '{re.escape(template)}'"):
        RouteTable.of([http("f", f"x/{template}/y")], prefix="")


@pytest.mark.parametrize("template", ["{*rest}/x", "{id?}/x"])
def test_optional_and_rest_segments_stand_last(template: str) -> None:
    with pytest.raises(AppFault, match=r"function f: route .* must be the last segment"):
        RouteTable.of([http("f", template)], prefix="")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "/a/b"),
        ("/a/./b/", "/a/b/"),
        ("/a/../b", "/b"),
        ("/../../a", "/a"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/..%2Fb", "/a/..%2Fb"),
        ("/", "/"),
        ("/a//b", "/a//b"),
    ],
)
def test_dot_segments_are_resolved_before_routing(path: str, expected: str) -> None:
    assert without_dot_segments(path) == expected

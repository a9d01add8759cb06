"""The tree of errors: the drawing in its docstring is true, and every code and status is stable."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from routing import errors
from routing.errors import (
    AllRateLimited,
    AttemptError,
    ConnectFailed,
    DeadlineExceeded,
    Misconfigured,
    ProviderRejected,
    RateLimited,
    RequestRejected,
    RouterError,
)


def classes(root: type[RouterError] = RouterError, depth: int = 0) -> Iterator[tuple[type[RouterError], int]]:
    yield root, depth
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes(child, depth + 1)


def drawn() -> dict[str, tuple[int, int | None]]:
    """Depth and status of each class in the docstring's tree; the status where one is written."""
    lines = re.findall(r"^((?:[│ ]   )*)(?:[├└]── )(\w+)\s+(?:\((\d{3})\))?", errors.__doc__ or "", re.MULTILINE)
    return {name: (len(indent) // 4 + 1, int(status) if status else None) for indent, name, status in lines}


def test_the_tree_in_the_docstring_holds_every_class_at_its_depth() -> None:
    real = {c.__name__: depth for c, depth in classes() if depth > 0}
    assert {name: depth for name, (depth, _) in drawn().items()} == real


def test_the_statuses_in_the_docstring_are_the_classes() -> None:
    written = {name: status for name, (_, status) in drawn().items() if status}
    assert len(written) >= 10
    assert {name: getattr(errors, name).status for name in written} == written


def test_no_two_errors_share_a_code() -> None:
    """Except the deadline, whose code depends on the limit, and the provider's own."""
    codes = [c.code for c, _ in classes() if c not in (RouterError, DeadlineExceeded, ProviderRejected)]
    assert sorted(codes) == sorted(set(codes))


def test_capacity_errors_say_when_to_come_back() -> None:
    error = AllRateLimited("later", 2.5)
    assert (error.retry_after_s, error.retriable, error.status) == (2.5, True, 429)


@pytest.mark.parametrize("code", ["ttft_timeout", "total_timeout"])
def test_a_deadline_tells_which_limit_passed(code: str) -> None:
    assert (DeadlineExceeded("late", code).code, DeadlineExceeded("late", code).status) == (code, 504)


def test_a_providers_rejection_keeps_its_status_and_words() -> None:
    error = RequestRejected("bad schema", 422, "tools[0]", "invalid_schema")
    assert (error.status, error.param, error.vendor_code, error.retriable) == (422, "tools[0]", "invalid_schema", False)
    passed = ProviderRejected("bad schema", 422, "invalid_schema", "tools[0]")
    assert (passed.status, passed.code, passed.param, str(passed)) == (422, "invalid_schema", "tools[0]", "bad schema")
    assert (RequestRejected.status, ProviderRejected.status) == (502, 400)  # an instance's own, not the class's


def test_what_was_refused_or_never_arrived_was_not_begun() -> None:
    refusing = [c for c, _ in classes(AttemptError) if issubclass(c, AttemptError) and not c.accepted]
    assert set(refusing) == {ConnectFailed, Misconfigured, RateLimited}


def test_a_429_keeps_the_hint_or_none() -> None:
    assert RateLimited("slow down", 0.25).retry_after_s == 0.25
    assert RateLimited("slow down").retry_after_s is None

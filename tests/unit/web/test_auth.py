"""Callers' keys: three headers that may carry one, a caller for each, and a refusal for everything else."""

from __future__ import annotations

import hashlib

import pytest

from routing.errors import AuthenticationError, PermissionDenied
from routing.web import auth
from routing.web.auth import LONGEST_KEY, Keys, came_through


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = Keys({digest("one"): "frontend", digest("two"): "batch", digest("schlüssel"): "ü"})


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({"authorization": "Bearer one"}, "frontend"),
        ({"authorization": "bearer two"}, "batch"),
        ({"authorization": "Bearer  one "}, "frontend"),
        ({"api-key": "one"}, "frontend"),
        ({"x-api-key": "two"}, "batch"),
        ({"authorization": "Basic b25l", "api-key": "two"}, "batch"),
        ({"authorization": "", "x-api-key": "one"}, "frontend"),
        ({"api-key": "one", "x-api-key": "one"}, "frontend"),
        ({"api-key": "schlüssel"}, "ü"),
    ],
)
def test_a_key_may_come_in_three_headers(headers: dict[str, str], caller: str) -> None:
    assert KEYS.caller(headers) == caller


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "one"},
        {"authorization": "Basic one"},
        {"authorization": "Bearer three"},
        {"authorization": "Bearer three", "api-key": "one"},
        {"authorization": "Bearer " + digest("one")},
        {"api-key": ""},
        {"api-key": "One"},
        {"api-key": "one "},
        {"x-api-key": "o"},
        {"api-key": "x" * (LONGEST_KEY + 1)},
        {"api-key": "\0"},
        {"key": "one"},
        {"x-functions-key": "one"},
        {"cookie": "api-key=one"},
    ],
)
def test_no_key_or_a_wrong_one_is_refused_without_a_word_of_it(headers: dict[str, str]) -> None:
    with pytest.raises(AuthenticationError) as failure:
        KEYS.caller(headers)
    assert failure.value.status == 401
    assert "three" not in failure.value.message


def test_without_any_key_configured_everybody_is_refused() -> None:
    for headers in ({}, {"api-key": ""}, {"api-key": "one"}):
        with pytest.raises(AuthenticationError):
            Keys({}).caller(headers)


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that time does not tell how far down the list a key stands, or that it is there at all."""
    compared: list[bytes] = []

    class Counting:
        @staticmethod
        def compare_digest(known: bytes, given: bytes) -> bool:
            compared.append(known)
            return known == given

    monkeypatch.setattr(auth, "hmac", Counting)
    for key in ("one", "schlüssel", "three"):
        compared.clear()
        try:
            KEYS.caller({"api-key": key})
        except AuthenticationError:
            assert key == "three"  # the others are known
        assert len(compared) == 3


def test_a_caller_has_one_secret_of_its_own_with_any_of_its_keys() -> None:
    """The same in every process with these settings; a second key of its own changes it, another caller does not."""
    alone, both = Keys({digest("one"): "frontend"}), Keys({digest("one"): "frontend", digest("new"): "frontend"})
    assert alone.secret("frontend") == KEYS.secret("frontend") != KEYS.secret("batch")
    assert both.secret("frontend") not in (
        alone.secret("frontend"),
        Keys({digest("new"): "frontend"}).secret("frontend"),
    )


def test_a_key_too_long_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "hashlib", None)
    with pytest.raises(AuthenticationError):
        KEYS.caller({"api-key": "x" * (LONGEST_KEY + 1)})


# ---------------------------------------------------------------------- Front Door
OURS = "a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1"


@pytest.mark.parametrize("headers", [{}, {"x-azure-fdid": ""}, {"x-azure-fdid": "other"}, {"x-azure-fdid": "é"}])
def test_a_request_past_our_front_door_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied) as failure:
        came_through(headers, OURS)
    assert failure.value.status == 403
    assert OURS not in failure.value.message


def test_a_request_through_our_front_door_and_any_where_there_is_none_may_pass() -> None:
    came_through({"x-azure-fdid": OURS}, OURS)
    came_through({}, "")
    came_through({"x-azure-fdid": "other"}, "")

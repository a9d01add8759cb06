"""Receipts: whoever has the secret reads back what was signed; any other text is none."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import orjson
import pytest

from routing.web import receipt
from routing.web.receipt import SIGNATURE_BYTES, Receipt, sign, verify

SECRET = b"5" * 64
SIGNED = Receipt("r-1", "eastus", "swedencentral", 412.3, 1_760_000_000)


def test_what_was_signed_is_read_back() -> None:
    assert verify(sign(SIGNED, SECRET).decode(), SECRET) == SIGNED


def test_it_is_a_headers_value_also_for_the_longest_request_id() -> None:
    text = sign(SIGNED._replace(request_id="x" * 128), SECRET).decode()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 400


def test_no_character_of_it_can_be_changed_dropped_or_added() -> None:
    text = sign(SIGNED, SECRET).decode()
    for n, character in enumerate(text):
        other = "A" if character != "A" else "B"
        for changed in (text[:n] + other + text[n + 1 :], text[:n] + text[n + 1 :], text[:n] + other + text[n:]):
            assert verify(changed, SECRET) is None, changed


def test_another_secret_signs_another_receipt() -> None:
    assert verify(sign(SIGNED, b"6" * 64).decode(), SECRET) is None


def test_another_format_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt, "FORMAT", b"x-router-receipt/0 ")
    old = sign(SIGNED, SECRET).decode()
    monkeypatch.undo()
    assert verify(old, SECRET) is None


UNSIGNED = urlsafe_b64encode(orjson.dumps([*SIGNED])).decode()


@pytest.mark.parametrize("text", ["", ".", UNSIGNED, UNSIGNED + ".", f"{UNSIGNED}.{'0' * 2 * SIGNATURE_BYTES}", "é.é"])
def test_what_nobody_signed_is_none(text: str) -> None:
    assert verify(text, SECRET) is None

"""What clients got, and whether it may look like that: I2 for texts, I9 for errors."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

# What betrays the inside: a traceback, an address of ours or a vendor's, a key, the repr of an object.
INSIDE = {
    "a traceback": re.compile(r'Traceback \(most recent call last\)|File \\?"[^"]+", line \d+'),
    "a URL": re.compile(r"\w+://"),
    "an address": re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|\b[\w-]+(\.[\w-]+)*\.(azure|windows|openai|anthropic)\.\w+"),
    "a key": re.compile(r"\b(sk-|Bearer\s|AccountKey=)"),
    "an object": re.compile(r"<[\w.]+ object at 0x"),
}
CODE = re.compile(r"[a-z][a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as its client saw it. `text` is what the client read of the model's own words, whole or not."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    text: str = ""


def one_voice(text: str, voices: Mapping[str, str]) -> str | None:
    """I2: whose words these are, by the name in `voices`, which maps it to all that this upstream says.

    None for an empty text. Raises AssertionError unless the text is the beginning of exactly one voice: a word twice,
    a word left out and words of two upstreams are all found.
    """
    if not text:
        return None
    owners = [name for name, words in voices.items() if words.startswith(text)]
    if len(owners) != 1:
        raise AssertionError(f"I2: {text!r} begins {owners or 'none'} of the voices {dict(voices)!r}")
    return owners[0]


def typed_error(answer: Answer, codes: Collection[str] | None = None) -> str:
    """I9: the stable code of an answer that is not 200: `code` in OpenAI's dialect, the error's type in Anthropic's.

    `codes` are those that exist; without it, any identifier. Raises AssertionError for another shape, and for
    anything of our inside in the body or in a header.
    """
    body = _json_object(answer)
    error = _member(body, "error", dict, answer)
    _member(error, "message", str, answer)
    kind = _member(error, "type", str, answer)
    code = kind if body.get("type") == "error" else _openai_code(error, answer)
    known = code in codes if codes is not None else CODE.fullmatch(code)
    if not known:
        raise AssertionError(f"I9: no stable code: {code!r} in {answer.body!r}")
    _nothing_of_the_inside(answer)
    return code


def _json_object(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AssertionError(f"I9: {answer.status} without a JSON object: {answer.body!r}")
    return body


def _member[T](holder: dict[str, Any], name: str, kind: type[T], answer: Answer) -> T:
    member = holder.get(name)
    if not isinstance(member, kind) or not member:
        raise AssertionError(f"I9: {answer.status} with {name} = {member!r}: {answer.body!r}")
    return member


def _openai_code(error: dict[str, Any], answer: Answer) -> str:
    if "param" not in error or not isinstance(error["param"], str | None):
        raise AssertionError(f"I9: {answer.status} without a param, or one that is no string: {answer.body!r}")
    return _member(error, "code", str, answer)


def _nothing_of_the_inside(answer: Answer) -> None:
    texts = [answer.body.decode("utf-8", "replace"), *(f"{name}: {value}" for name, value in answer.headers)]
    for text in texts:
        for what, pattern in INSIDE.items():
            if found := pattern.search(text):
                raise AssertionError(f"I9: {what} in an error: {found[0]!r} in {text!r}")

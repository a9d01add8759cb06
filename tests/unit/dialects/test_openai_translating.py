"""What of OpenAI's dialect any provider can be asked, and why not where it cannot. Nothing is dropped in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.dialects.openai_chat import parse
from routing.request import Conversation


def reason(**body: Any) -> str:
    """Why the request cannot be translated; empty where it can."""
    hello = [{"role": "user", "content": "hello"}]
    return parse(json.dumps({"messages": hello, **body}).encode()).untranslatable


def conversation(*messages: dict[str, Any], **body: Any) -> Conversation:
    request = parse(json.dumps({"messages": messages, **body}).encode())
    assert not request.untranslatable
    return request.conversation()


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


# ---------------------------------------------------------------------- fields
@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m", "stream": True, "stream_options": {"include_usage": True}},
        {"max_tokens": 9},
        {"max_completion_tokens": 9},
        {"temperature": 0},
        {"temperature": 1},
        {"top_p": 0.5},
        {"temperature": 0.5, "top_p": 1},
        {"temperature": 0.5, "top_p": None},
        {"stop": "END"},
        {"stop": ["END", "STOP"]},
        {"stop": []},
        {"stop": ""},
        {"user": "u", "safety_identifier": "s"},
        {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "store": False},
        {"response_format": {"type": "text"}},
        {"tools": [], "functions": None, "logit_bias": {}},
    ],
)
def test_what_every_dialect_can_say_or_says_nothing(fields: dict[str, Any]) -> None:
    assert reason(**fields) == ""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"tool_choice": "none"}, "tools"),
        ({"seed": 7}, "seed"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"store": True}, "store"),
        ({"invented_later": 0}, "invented_later"),
        ({"zeta": 1, "alpha": 1}, "alpha"),
        ({"temperature": 1.5}, "temperature above 1"),
        ({"temperature": 0.5, "top_p": 0.5}, "top_p with temperature"),
        ({"stop": "\n"}, "a stop of white space"),
        ({"stop": ["END", " \t"]}, "a stop of white space"),
    ],
)
def test_what_only_this_dialect_can_say_is_named(fields: dict[str, Any], why: str) -> None:
    assert reason(**fields) == why


# ---------------------------------------------------------------------- messages
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([user([PICTURE])], "images"),
        ([user([{"type": "text", "text": "x"}, PICTURE])], "images"),
        ([user([{"type": "input_audio", "input_audio": {}}])], "content of type input_audio"),
        ([user("x"), {"role": "tool", "content": "y", "tool_call_id": "1"}], "tools"),
        ([user("x"), {"role": "function", "content": "y", "name": "f"}], "tools"),
        ([user("x"), assistant(None, tool_calls=[{"id": "1"}]), user("y")], "tools"),
        ([user("x"), assistant(None, function_call={"name": "f"}), user("y")], "tools"),
        ([user("x", name="Alice")], "messages[0].name"),
        ([user("x"), assistant("y", refusal="no"), user("z")], "messages[1].refusal"),
        ([user([{"type": "text", "text": "x", "cache_control": {}}])], "messages[0].content[0].cache_control"),
        ([user("x"), assistant("y")], "a beginning for the answer"),
        ([system("x")], "a conversation that does not begin with the user"),
        ([assistant("x"), user("y")], "a conversation that does not begin with the user"),
        ([user(""), assistant("x"), user("y")], "a conversation that does not begin with the user"),
        ([user(" \n")], "a conversation that does not begin with the user"),
        ([user(None)], "a conversation that does not begin with the user"),
        ([user([])], "a conversation that does not begin with the user"),
        ([user("x"), assistant("y"), user("")], "a beginning for the answer"),
    ],
)
def test_a_message_that_only_this_dialect_can_say_is_named(messages: list[Any], why: str) -> None:
    assert reason(messages=messages) == why


def test_an_assistants_message_as_the_sdk_gives_it_back_can_be_translated() -> None:
    """`model_dump()` of an answer writes every field, and most of them are empty."""
    empty: dict[str, Any] = {
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert reason(messages=[user("x"), assistant("y", **empty), user("z")]) == ""


# ---------------------------------------------------------------------- the neutral form
def test_every_part_of_a_request_is_in_the_neutral_form() -> None:
    told = conversation(
        system("Be brief."), user("x"), max_tokens=9, temperature=0.5, stop=["END", "STOP"], stream=True
    )
    assert told == Conversation("Be brief.", (("user", "x"),), 9, 0.5, None, ("END", "STOP"))
    assert conversation(user("x"), top_p=0.5, stop="END", max_completion_tokens=7) == (
        Conversation("", (("user", "x"),), 7, None, 0.5, ("END",))
    )


def test_a_top_p_that_leaves_everything_in_is_not_told() -> None:
    """Some providers refuse both, and many clients send both, one of them at its default."""
    assert conversation(user("x"), temperature=0.5, top_p=1).top_p is None


def test_system_and_developer_messages_are_one_system_text_wherever_they_stand() -> None:
    told = conversation(system("a"), user("x"), {"role": "developer", "content": "b"}, assistant("y"), user("z"))
    assert told.system == "a\n\nb"
    assert told.turns == (("user", "x"), ("assistant", "y"), ("user", "z"))


def test_turns_of_one_role_are_merged() -> None:
    told = conversation(user("a"), user("b"), assistant("c"), assistant("d"), user("e"))
    assert told.turns == (("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e"))


def test_parts_of_a_message_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert conversation(user(parts)).turns == (("user", "ab"),)


@pytest.mark.parametrize("nothing", ["", " \n\t", None, [], [{"type": "text", "text": ""}]])
def test_messages_without_words_are_left_out(nothing: Any) -> None:
    """Claude refuses them; between two turns of one role they must not part the two."""
    told = conversation(system(nothing), user("a"), assistant(nothing), user("b"), system("s"))
    assert (told.system, told.turns) == ("s", (("user", "a\n\nb"),))


def test_white_space_around_words_stays() -> None:
    assert conversation(system(" s "), user(" a\n")).turns == (("user", " a\n"),)
    assert conversation(system(" s "), user(" a\n")).system == " s "

"""Simulated answers: readable, the same for the same prompt, cut where they must be."""

import json
import re
from random import Random
from statistics import median
from typing import Any

import jsonschema
import pytest

from local.simulator import phrases, text
from local.simulator.answer import compose
from local.simulator.ask import Ask, Refused, Tool, check_schemas, chosen_tool, measure, texts
from local.simulator.example import example, problem

WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CLOCK = Tool("get_time", {"type": "object", "properties": {}})
SCHEMAS: dict[str, dict[str, Any]] = {
    "object": {
        "type": "object",
        "properties": {
            "unit": {"enum": ["c", "f"]},
            "days": {"type": "integer", "minimum": 2, "maximum": 4},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "exact": {"const": 7},
            "none": {"type": "null"},
            "sure": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2},
            "maybe": {"type": ["null", "string"]},
            "day": {"type": "string", "format": "date"},
            "code": {"type": "string", "minLength": 60},
        },
        "required": ["unit", "days", "share", "exact", "none", "sure", "tags", "maybe", "day", "code"],
        "additionalProperties": False,
    },
    "reference": {
        "$defs": {"place": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        "anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}],
    },
    "recursive": {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}},
        "required": ["value"],
    },
    "all of": {
        "allOf": [{"type": "object"}, {"properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]}]
    },
    "any": {},
}


def ask(prompt: str = "hello", **demand: object) -> Ask:
    digest, tokens = measure([prompt])
    return Ask("m", digest, tokens, True, **demand)  # type: ignore[arg-type]


def test_the_same_prompt_and_seed_give_the_same_answer() -> None:
    assert compose(1, ask()) == compose(1, ask())
    assert compose(1, ask()).text != compose(2, ask()).text
    assert compose(1, ask()).text != compose(1, ask("hello!")).text


def test_an_answer_is_sentences_of_short_tokens() -> None:
    answer = compose(1, ask())
    assert answer.ending == "end"
    assert all(re.fullmatch(r"[A-Z][a-z, -]+\.", sentence) for sentence in re.split(r"(?<=\.)\s+", answer.text))
    assert all(0 < len(token.strip()) <= 8 for token in answer.pieces)
    assert answer.tokens == len(answer.pieces)


def test_lengths_are_log_normal_around_180_tokens() -> None:
    lengths = sorted(len(text.answer(Random(seed))) for seed in range(1_500))
    assert median(lengths) == pytest.approx(186, rel=0.05)  # the last sentence is finished
    assert lengths[1_350] == pytest.approx(395, rel=0.1)


def test_there_are_a_few_hundred_fragments() -> None:
    blocks = (phrases.OPENERS, phrases.SUBJECTS, phrases.VERBS, phrases.OBJECTS, phrases.TAILS)
    fragments = [fragment for block in blocks for fragment in phrases.listed(block)]
    assert len(fragments) >= 200
    assert len(set(fragments)) == len(fragments)
    assert all(fragment == fragment.strip() for fragment in fragments)


def test_the_limit_cuts_the_answer() -> None:
    answer = compose(1, ask(limit=5))
    assert answer.ending == "limit"
    assert answer.pieces == compose(1, ask()).pieces[:5]


def test_an_answer_that_fits_its_limit_ends_by_itself() -> None:
    whole = compose(1, ask())
    assert compose(1, ask(limit=whole.tokens)).ending == "end"


def test_the_first_stop_sequence_ends_the_answer_before_itself() -> None:
    whole = compose(1, ask()).text
    later, earlier = whole[60:64], whole[30:34]
    answer = compose(1, ask(stops=(later, earlier, "\0")))
    assert answer.ending == "stop_sequence"
    assert answer.stop_sequence == earlier
    assert answer.text == whole[: whole.find(earlier)]


def test_tokens_joined_again_are_the_text() -> None:
    written = "  A wonderfully long-winded\n\ntext, \t with odd spaces. "
    assert "".join(text.tokens_of(written)) == written


def test_a_tool_call_has_arguments_of_its_schema_in_pieces() -> None:
    answer = compose(1, ask(tool=WEATHER))
    assert (answer.ending, answer.tool) == ("tool", "get_weather")
    assert len(answer.pieces) > 1
    jsonschema.validate(json.loads(answer.text), WEATHER.schema)


def test_an_answer_by_schema_is_json_of_it() -> None:
    jsonschema.validate(json.loads(compose(1, ask(schema=SCHEMAS["object"])).text), SCHEMAS["object"])


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
@pytest.mark.parametrize("seed", range(5))
def test_an_example_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    jsonschema.validate(example(schema, Random(seed)), schema)


def test_a_value_that_may_be_null_is_not() -> None:
    assert isinstance(example({"type": ["null", "string"]}, Random(0)), str)


def test_a_schema_that_demands_itself_for_ever_still_ends() -> None:
    names = ["a", "b", "c", "d"]
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}, "required": names}
    assert len(json.dumps(example(schema, Random(0)))) < 20_000


def test_vast_demands_are_met_in_part() -> None:
    assert len(example({"type": "string", "minLength": 10**9}, Random(0))) == 1_000
    assert len(example({"type": "array", "minItems": 10**9}, Random(0))) == 100


@pytest.mark.parametrize("schema", [{"type": 5}, {"enum": 3}, {"minLength": "x"}, {"minimum": float("inf")}])
def test_what_is_no_schema_is_said_to_be_none(schema: dict[str, Any]) -> None:
    assert problem(schema)
    for demand in ({"tool": Tool("f", schema)}, {"schema": schema}):
        with pytest.raises(Refused):
            check_schemas(ask(**demand))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schemas_are_no_problem(schema: dict[str, Any]) -> None:
    assert problem(schema) is None


@pytest.mark.parametrize(
    ("choice", "asked", "expected"),
    [
        ("auto", "What is the weather?", None),
        ("auto", "Please use get_weather for Paris.", WEATHER),
        ("auto", "my_get_weather_x", None),
        ("none", "Please use get_weather.", None),
        ("required", "What time is it?", CLOCK),
        ("required", "Use get_weather.", WEATHER),
    ],
)
def test_which_tool_is_called(choice: str, asked: str, expected: Tool | None) -> None:
    assert chosen_tool([CLOCK, WEATHER], choice, asked) == expected


def test_a_tool_is_called_by_name_and_an_unknown_name_is_refused() -> None:
    assert chosen_tool([CLOCK, WEATHER], "named", "", "get_weather") == WEATHER
    with pytest.raises(Refused, match="get_money") as caught:
        chosen_tool([CLOCK, WEATHER], "named", "", "get_money")
    assert caught.value.param == "tool_choice"


def test_prompt_tokens_are_a_quarter_of_the_texts_bytes() -> None:
    messages = [
        {"role": "system", "content": "äöü"},  # 6 bytes
        {"role": "user", "content": [{"type": "text", "text": "1234567"}, {"type": "image_url", "image_url": "data:"}]},
    ]
    assert measure(texts(messages))[1] == 4

"""Learned lengths of prompts and answers."""

from __future__ import annotations

import math
from random import Random

import pytest

from routing.load.lengths import ANSWER_TOKENS, IMAGE_TOKENS, LEAST_TEXT, MOST_NAMES, Lengths


def test_at_first_four_bytes_are_a_token_and_an_answer_has_200() -> None:
    lengths = Lengths()
    assert lengths.prompt("m", 4_000, 0) == 1_000
    assert lengths.answer("m", None) == pytest.approx(ANSWER_TOKENS)
    assert ANSWER_TOKENS == 200.0


def test_an_image_costs_a_fixed_number_of_tokens() -> None:
    assert Lengths().prompt("m", 400, 3) == 100 + 3 * IMAGE_TOKENS


@pytest.mark.parametrize(("limit", "expected"), [(50, 50.0), (4_096, 200.0), (0, 1.0)])
def test_the_callers_limit_bounds_the_expected_answer(limit: int, expected: float) -> None:
    assert Lengths().answer("m", limit) == pytest.approx(expected)


def test_the_providers_counts_correct_both_by_a_twentieth() -> None:
    lengths = Lengths()
    lengths.saw("m", text_bytes=8_000, prompt_tokens=4_000, answer_tokens=600, expected=None)
    assert lengths.prompt("m", 3_900, 0) == 1_000  # 4 + 0.05 (2 - 4) = 3.9 bytes a token
    assert lengths.answer("m", None) == pytest.approx(200.0 * 3**0.05)


def test_names_learn_apart() -> None:
    lengths = Lengths()
    lengths.saw("a", 8_000, 4_000, 600, None)
    assert lengths.answer("b", None) == pytest.approx(200.0)
    assert lengths.prompt("b", 4_000, 0) == 1_000


def test_they_converge_to_what_the_provider_counts() -> None:
    lengths = Lengths()
    for _ in range(300):
        lengths.saw("m", 3_000, 1_500, 40, None)
    assert lengths.prompt("m", 3_000, 0) == pytest.approx(1_500, rel=0.01)
    assert lengths.answer("m", None) == pytest.approx(40, rel=0.01)


@pytest.mark.parametrize("counts", [(0, 100, 0), (100, 0, 0), (100, -1, -1)])
def test_counts_that_are_missing_teach_nothing(counts: tuple[int, int, int]) -> None:
    lengths = Lengths()
    lengths.saw("m", *counts, expected=None)
    assert lengths.prompt("m", 4_000, 0) == 1_000
    assert lengths.answer("m", None) == pytest.approx(200.0)


@pytest.mark.parametrize(("prompt_tokens", "bytes_per_token"), [(4_000_000, 1), (10, 8)])
def test_bytes_per_token_stay_plausible_whatever_is_counted(prompt_tokens: int, bytes_per_token: int) -> None:
    lengths = Lengths()
    for _ in range(500):
        lengths.saw("m", 4_000, prompt_tokens, 40, None)
    assert lengths.prompt("m", 8_000, 0) == pytest.approx(8_000 / bytes_per_token, rel=0.01)


@pytest.mark.parametrize("text_bytes", [0, 2, LEAST_TEXT - 1])
def test_a_prompt_that_is_short_or_not_text_alone_teaches_no_bytes_per_token(text_bytes: int) -> None:
    """`hi` is 2 bytes and 8 tokens, most of them marks around the message."""
    lengths = Lengths()
    for _ in range(500):
        lengths.saw("m", text_bytes, text_bytes // 4 + 7, 40, None)
    assert lengths.prompt("m", 30_000, 0) == 7_500
    assert lengths.answer("m", None) == pytest.approx(40, rel=0.01)


def test_answers_cut_by_their_callers_limit_never_shorten_what_others_expect() -> None:
    lengths = Lengths()
    for _ in range(100):
        lengths.saw("m", 400, 100, 1, 50, cut=True)
    assert lengths.answer("m", None) == pytest.approx(ANSWER_TOKENS)
    assert lengths.spread("m", hinted=True) == Lengths().spread("m", hinted=True)
    for _ in range(100):
        lengths.saw("m", 400, 100, 1_000, None, cut=True)
    assert lengths.answer("m", None) == pytest.approx(1_000, rel=0.02)


@pytest.mark.parametrize("deviation", [0.2, 1.2])
def test_how_much_answers_differ_is_learned(deviation: float) -> None:
    """A caller who says nothing gets a wide guess, and an honest one."""
    rng, lengths = Random(5), Lengths()
    assert lengths.spread("m", hinted=False) == pytest.approx(math.hypot(0.8, 0.25))
    for _ in range(500):
        lengths.saw("m", 400, 100, max(1, round(rng.lognormvariate(math.log(300), deviation))), None)
    assert lengths.spread("m", hinted=False) == pytest.approx(math.hypot(deviation, 0.25), rel=0.35)
    assert lengths.answer("m", None) == pytest.approx(300, rel=0.5)


@pytest.mark.parametrize(("factor", "spread"), [(1.0, 0.25), (3.0, math.hypot(math.log(3), 0.25))])
def test_how_wrong_callers_hints_are_is_learned_by_name(factor: float, spread: float) -> None:
    """One that is always wrong in the same way is wrong, too."""
    lengths = Lengths()
    assert lengths.spread("m", hinted=True) == pytest.approx(math.hypot(0.3, 0.25))
    for _ in range(300):
        lengths.saw("m", 400, 100, round(100 * factor), 100)
    assert lengths.spread("m", hinted=True) == pytest.approx(spread, rel=0.02)
    assert lengths.spread("n", hinted=True) == pytest.approx(math.hypot(0.3, 0.25))


def test_names_are_bounded_and_known_ones_learn_on() -> None:
    lengths = Lengths()
    for k in range(MOST_NAMES + 1):
        lengths.saw(f"m{k}", 8_000, 4_000, 600, None)
    assert lengths.answer(f"m{MOST_NAMES}", None) == pytest.approx(200.0)
    lengths.saw("m0", 8_000, 4_000, 600, None)
    assert lengths.answer("m0", None) > 220

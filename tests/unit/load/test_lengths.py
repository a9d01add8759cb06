"""Learned lengths of prompts and answers."""

from __future__ import annotations

import pytest

from routing.load.lengths import ANSWER_TOKENS, IMAGE_TOKENS, MOST_NAMES, Lengths


def test_at_first_four_bytes_are_a_token_and_an_answer_has_200() -> None:
    lengths = Lengths()
    assert lengths.prompt("m", 4_000, 0) == 1_000
    assert lengths.answer("m", None) == ANSWER_TOKENS == 200.0


def test_an_image_costs_a_fixed_number_of_tokens() -> None:
    assert Lengths().prompt("m", 400, 3) == 100 + 3 * IMAGE_TOKENS


@pytest.mark.parametrize(("limit", "expected"), [(50, 50.0), (4_096, 200.0), (0, 1.0)])
def test_the_callers_limit_bounds_the_expected_answer(limit: int, expected: float) -> None:
    assert Lengths().answer("m", limit) == expected


def test_the_providers_counts_correct_both_by_a_twentieth() -> None:
    lengths = Lengths()
    lengths.saw("m", text_bytes=8_000, prompt_tokens=4_000, answer_tokens=600)
    assert lengths.prompt("m", 3_900, 0) == 1_000  # 4 + 0.05 (2 - 4) = 3.9 bytes a token
    assert lengths.answer("m", None) == pytest.approx(220.0)


def test_names_learn_apart() -> None:
    lengths = Lengths()
    lengths.saw("a", 8_000, 4_000, 600)
    assert lengths.answer("b", None) == 200.0
    assert lengths.prompt("b", 4_000, 0) == 1_000


def test_they_converge_to_what_the_provider_counts() -> None:
    lengths = Lengths()
    for _ in range(300):
        lengths.saw("m", 3_000, 1_500, 40)
    assert lengths.prompt("m", 3_000, 0) == pytest.approx(1_500, rel=0.01)
    assert lengths.answer("m", None) == pytest.approx(40, rel=0.01)


@pytest.mark.parametrize("counts", [(0, 100, 0), (100, 0, 0), (100, -1, -1)])
def test_counts_that_are_missing_teach_nothing(counts: tuple[int, int, int]) -> None:
    lengths = Lengths()
    lengths.saw("m", *counts)
    assert lengths.prompt("m", 4_000, 0) == 1_000
    assert lengths.answer("m", None) == 200.0


def test_names_are_bounded_and_known_ones_learn_on() -> None:
    lengths = Lengths()
    for k in range(MOST_NAMES + 1):
        lengths.saw(f"m{k}", 8_000, 4_000, 600)
    assert lengths.answer(f"m{MOST_NAMES}", None) == 200.0
    lengths.saw("m0", 8_000, 4_000, 600)
    assert lengths.answer("m0", None) > 230

"""What a time-stamped answer tells, and which answers are refused."""

import pytest

from bench.relay import chunks
from bench.relay.tokens import FIRST_TOKEN, TOKENS, BadAnswer, check, stamp, timing

ASKED = 1_000_000
STEP = 5_000_000


def texts() -> list[bytes]:
    """The upstream's tokens, a step apart, the first one a step after the request."""
    return [stamp(i, ASKED + (i + 1) * STEP, None if i else ASKED) for i in range(TOKENS)]


def stream(tokens: list[bytes]) -> bytes:
    return b"".join(map(chunks.token, tokens)) + chunks.DONE


def test_whole_stream_passes() -> None:
    check(stream(texts()), stream=True)


def test_first_token_is_recognised_by_its_beginning() -> None:
    assert texts()[0].startswith(FIRST_TOKEN)
    assert not texts()[1].startswith(FIRST_TOKEN)


@pytest.mark.parametrize(
    "tokens",
    [texts()[:-1], texts()[1:], [*texts(), texts()[-1]], [*texts()[1:], texts()[0]], []],
    ids=["last missing", "first missing", "one twice", "out of order", "none"],
)
def test_answer_without_every_token_once_in_order_is_refused(tokens: list[bytes]) -> None:
    with pytest.raises(BadAnswer, match="not 32 in order"):
        check(stream(tokens), stream=True)


def test_stream_without_its_end_mark_is_refused() -> None:
    with pytest.raises(BadAnswer, match="no end mark"):
        check(b"".join(map(chunks.token, texts())), stream=True)


def test_end_mark_is_not_asked_of_an_unstreamed_answer() -> None:
    check(b"".join(texts()), stream=False)


def test_timing_takes_the_upstreams_wait_from_the_first_token() -> None:
    assert timing([(ASKED + 2 * STEP, stream(texts()))]).upstream_wait == STEP


def test_lag_is_the_time_from_a_tokens_writing_to_its_reading() -> None:
    pieces = [(ASKED + (i + 1) * STEP + i, chunks.token(text)) for i, text in enumerate(texts())]
    seen = timing(pieces)
    assert seen.lags == list(range(TOKENS))
    assert seen.first_read == ASKED + STEP


def test_token_cut_in_two_counts_when_its_second_part_has_come() -> None:
    body = stream(texts())
    cut = body.index(texts()[1]) + 5
    seen = timing([(ASKED + 2 * STEP, body[:cut]), (ASKED + 40 * STEP, body[cut:])])
    assert seen.first_read == ASKED + 2 * STEP
    assert seen.lags[:2] == [STEP, 38 * STEP]


def test_token_at_the_very_end_of_a_piece_counts_with_that_piece() -> None:
    body = stream(texts())
    cut = body.index(texts()[1])
    seen = timing([(ASKED + 2 * STEP, body[:cut]), (ASKED + 3 * STEP, texts()[1]), (ASKED + 99 * STEP, b"rest")])
    assert seen.lags == [STEP, STEP]

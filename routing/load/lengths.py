"""How many tokens a prompt holds and an answer will have: learned, no tokenizer on the request's path."""

from __future__ import annotations

import math
from typing import NamedTuple

from routing.request import PACE_SPREAD

BYTES_PER_TOKEN = 4.0  # start; each provider's usage corrects it
# Plausible for text of any language; beyond that the prompt held what we do not see, as a provider's own instructions
LEAST_BYTES_PER_TOKEN, MOST_BYTES_PER_TOKEN = 1.0, 8.0
LEAST_TEXT = 400  # bytes of a prompt that teaches: in a shorter one the marks around each message, 3 to 7 tokens, count
IMAGE_TOKENS = 800  # fixed cost of an image
ANSWER_TOKENS = 200.0  # start of the median answer
LONG_ANSWER_TOKENS = 500.0  # who asks for throughput expects a long answer
# Start of the spread of answers about their median, and about what a caller expects: deviations of the logarithm
SPREAD, HINTED_SPREAD = 0.8, 0.3
WEIGHT = 0.05  # of the newest sample
MOST_NAMES = 1_024


class _Logs(NamedTuple):
    """Of a ratio: running mean and variance of its natural logarithm."""

    mean: float
    variance: float

    def learned(self, value: float) -> _Logs:
        error = value - self.mean
        return _Logs(self.mean + WEIGHT * error, (1 - WEIGHT) * (self.variance + WEIGHT * error * error))


class Lengths:
    """Learned per name that callers use for a model (a model or an alias)."""

    __slots__ = ("_answers", "_hinted", "_ratios")

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}
        self._answers: dict[str, _Logs] = {}
        self._hinted: dict[str, _Logs] = {}  # answers by what their callers expected

    def prompt(self, name: str, text_bytes: int, images: int) -> int:
        """Estimated tokens of a prompt."""
        return int(text_bytes / self._ratios.get(name, BYTES_PER_TOKEN)) + IMAGE_TOKENS * images

    def answer(self, name: str, limit: int | None) -> float:
        """Expected tokens of an answer of at most `limit`: the median."""
        expected = math.exp(self._answers.get(name, _UNSEEN).mean)
        return expected if limit is None else max(1.0, min(expected, float(limit)))

    def spread(self, name: str, hinted: bool) -> float:
        """Deviation of ln(time of the answer / expected): how well its length is known, and the pace besides."""
        if hinted:
            logs = self._hinted.get(name, _UNSEEN_HINT)
            return math.sqrt(logs.variance + logs.mean**2 + PACE_SPREAD**2)  # a hint that is always wrong is one, too
        return math.sqrt(self._answers.get(name, _UNSEEN).variance + PACE_SPREAD**2)

    def saw(
        self,
        name: str,
        text_bytes: int,
        prompt_tokens: int,
        answer_tokens: int,
        expected: int | None,
        cut: bool = False,
    ) -> None:
        """An answer came with the provider's own counts. `text_bytes` is 0 where the prompt was not text alone,
        `expected` what its caller had said, if anything, and `cut` whether it ended at its caller's limit."""
        if prompt_tokens > 0 and text_bytes >= LEAST_TEXT and _room(self._ratios, name):
            ratio = self._ratios.get(name, BYTES_PER_TOKEN)
            seen = min(max(text_bytes / prompt_tokens, LEAST_BYTES_PER_TOKEN), MOST_BYTES_PER_TOKEN)
            self._ratios[name] = ratio + WEIGHT * (seen - ratio)
        if answer_tokens > 0:
            self._saw_answer(name, answer_tokens, expected, cut)

    def _saw_answer(self, name: str, tokens: int, expected: int | None, cut: bool) -> None:
        """An answer that was cut would have been longer, nobody knows by how much: it may raise what is expected and
        never lower it, or one caller's limits would become the length of everybody's answers."""
        known = self._answers.get(name, _UNSEEN)
        if _room(self._answers, name) and not (cut and math.log(tokens) <= known.mean):
            self._answers[name] = known.learned(math.log(tokens))
        if expected and not cut and _room(self._hinted, name):
            self._hinted[name] = self._hinted.get(name, _UNSEEN_HINT).learned(math.log(tokens / expected))


_UNSEEN = _Logs(math.log(ANSWER_TOKENS), SPREAD**2)
_UNSEEN_HINT = _Logs(0.0, HINTED_SPREAD**2)


def _room[T](known: dict[str, T], name: str) -> bool:
    return name in known or len(known) < MOST_NAMES

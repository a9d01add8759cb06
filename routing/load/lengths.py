"""How many tokens a prompt holds and an answer will have: learned means, no tokenizer on the request's path."""

from __future__ import annotations

BYTES_PER_TOKEN = 4.0  # start; each provider's usage corrects it
IMAGE_TOKENS = 800  # fixed cost of an image
ANSWER_TOKENS = 200.0  # start of the mean answer
LONG_ANSWER_TOKENS = 500.0  # who asks for throughput expects a long answer
WEIGHT = 0.05  # of the newest sample in each mean
MOST_NAMES = 1_024


class Lengths:
    """Learned per name that callers use for a model (a model or an alias)."""

    __slots__ = ("_answers", "_ratios")

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}
        self._answers: dict[str, float] = {}

    def prompt(self, name: str, text_bytes: int, images: int) -> int:
        """Estimated tokens of a prompt."""
        return int(text_bytes / self._ratios.get(name, BYTES_PER_TOKEN)) + IMAGE_TOKENS * images

    def answer(self, name: str, limit: int | None) -> float:
        """Expected tokens of an answer of at most `limit`."""
        expected = self._answers.get(name, ANSWER_TOKENS)
        return expected if limit is None else max(1.0, min(expected, float(limit)))

    def saw(self, name: str, text_bytes: int, prompt_tokens: int, answer_tokens: int) -> None:
        """An answer came with the provider's own counts."""
        if prompt_tokens > 0 and text_bytes > 0:
            _learn(self._ratios, name, text_bytes / prompt_tokens, BYTES_PER_TOKEN)
        if answer_tokens > 0:
            _learn(self._answers, name, float(answer_tokens), ANSWER_TOKENS)


def _learn(means: dict[str, float], name: str, value: float, start: float) -> None:
    if name in means or len(means) < MOST_NAMES:
        mean = means.get(name, start)
        means[name] = mean + WEIGHT * (value - mean)

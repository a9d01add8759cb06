"""Readable text, made deterministically: the same `rng` gives the same answer, token for token."""

from __future__ import annotations

import math
import re
from random import Random

from local.simulator import phrases

MEDIAN_TOKENS, LENGTH_SIGMA, LONGEST = 180, 0.6, 2_000  # answers: log-normal, 90 % below 390 tokens
SENTENCES_A_PARAGRAPH = 5
# One token is a short word with the space before it, as in the vendors' tokenizers; a long word is several.
TOKEN = re.compile(r"\s*\S{1,8}|\s+$")
OPENERS, SUBJECTS, VERBS, OBJECTS, TAILS = (
    phrases.listed(block)
    for block in (phrases.OPENERS, phrases.SUBJECTS, phrases.VERBS, phrases.OBJECTS, phrases.TAILS)
)


def tokens_of(text: str) -> list[str]:
    """Cut text into tokens; joined again they are the text."""
    return TOKEN.findall(text)


def sentence(rng: Random) -> str:
    """One sentence."""
    words = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}"
    if rng.random() < 0.3:
        words = f"{rng.choice(OPENERS)}, {words}"
    if rng.random() < 0.5:
        words = f"{words} {rng.choice(TAILS)}"
    return f"{words[0].upper()}{words[1:]}."


def answer(rng: Random) -> list[str]:
    """Tokens of a whole answer: sentences until its drawn length is reached, in paragraphs."""
    length = min(LONGEST, MEDIAN_TOKENS * math.exp(rng.gauss(0, LENGTH_SIGMA)))
    tokens: list[str] = []
    written = 0
    while len(tokens) < length:
        gap = "" if not written else "\n\n" if written % SENTENCES_A_PARAGRAPH == 0 else " "
        tokens += tokens_of(gap + sentence(rng))
        written += 1
    return tokens

"""The seam between the plan of a request and the rule that chooses for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from routing.policy.view import View
from routing.request import Ask


@dataclass(slots=True)
class Score:
    """What a policy thinks of one candidate. Times in seconds, medians."""

    deployment: int
    value: float  # what the choice is made by
    probability: float  # to meet the request's target
    ttft: float  # to the first token, network and queue included
    total: float  # of the whole answer
    queue: float  # expected wait for a slot
    used: float  # share of the quota in use


@dataclass(slots=True)
class Choice:
    """The deployment to send to, the best other one, and why."""

    score: Score
    second: int | None
    reason: str
    target_s: float  # the target that the choice was made for, from now: the caller's, or one set by the best candidate


class Policy(Protocol):
    """Chooses among candidates. Pure: it reads the view and never changes it; `now` and `rng` are the caller's.

    `left` is the time to the request's target in seconds, None where the caller set none.
    """

    name: str
    cool_down_s: float  # a 429 closes a deployment for its hint, and at least so long

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """One of `candidates`, which is never empty. `retry`: another deployment has just refused or failed."""
        ...

    def score(self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float) -> list[Score]:
        """What it thinks of each candidate, without chance."""
        ...

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """Seconds after the send at which a second call should be considered; None for never."""
        ...

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """The deployment for a second call, now that the first has been silent for `age` seconds; None for none."""
        ...

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        """Seconds to wait for the first content of a call before it is given up; `left` is to the hard deadline."""
        ...

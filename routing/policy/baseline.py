"""What the comparison rules share: everything that is not the choice itself.

They see what the product's policy sees. A rule that learns in its own way watches the tracker (`Watcher`): it is told
of this instance's own measurements as they happen. Its state is bounded by the number of deployments. Probabilities
that are shown to people remain the product's, so that a rule's choices can be judged by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from routing.outcome import LatencyMeasurement
from routing.policy.seam import Choice, Score
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from routing.request import Ask, LatencyPriority

PATIENCE_S = 10.0  # to the first token: a plain client's time-out
COOL_DOWN_S = 1.0  # after a 429, at least: Retry-After is in whole seconds
UPPER_Z95 = 1.645


class Baseline:
    """A rule that picks, and never hedges."""

    name: str = ""
    cool_down_s = COOL_DOWN_S

    def __init__(self) -> None:
        self._prediction = SloPolicy()
        self._view: View | None = None

    # ------------------------------------------------------------------ for each rule to say
    def pick(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """One of the candidates."""
        raise NotImplementedError

    def begin(self, view: View) -> None:
        """Called once, with the view that is to be chosen by."""

    # ------------------------------------------------------------------ the seam
    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """See the seam."""
        d = self.picked(view, ask, candidates, now, rng)
        score = self._prediction.score(view, ask, (d,), left, now)[0]
        return Choice(score, None, self.name, score.total if left is None else left)

    def picked(self, view: View, ask: Ask, candidates: Sequence[int], now: float, rng: Random) -> int:
        """`pick`, after `begin`."""
        if self._view is not view:
            self._view = view
            self.begin(view)
        return self.pick(view, ask, candidates, now, rng)

    def score(self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float) -> list[Score]:
        """The product's predictions."""
        return self._prediction.score(view, ask, candidates, left, now)

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """Never."""
        return None

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """None."""
        return None

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        """A constant, within the model's ceiling."""
        ceiling = view.fleet.model_of(view.fleet.deployments[deployment]).first_content_timeout_s
        return min(PATIENCE_S, ceiling, left)


class Learning(Baseline):
    """A rule that learns from this instance's own measurements: it watches the tracker."""

    def begin(self, view: View) -> None:
        """Watch."""
        view.tracker.watchers.append(self)

    def saw_first(self, d: int, now: float, ttft: float) -> None:
        """The first content of a stream came after `ttft` seconds."""

    def saw_answer(self, d: int, now: float, measurement: LatencyMeasurement) -> None:
        """A call ended well."""

    def saw_silence(self, d: int, now: float, age: float) -> None:
        """A call was given up, or lost its hedge, after `age` seconds without content."""

    def saw_failure(self, d: int, now: float, rate_limited: bool) -> None:
        """A call failed, refusals and time-outs included."""


def first_counts(ask: Ask) -> bool:
    """Whether a request is judged by its first token."""
    return ask.streamed and ask.priority is LatencyPriority.STREAMING


def prior_ttft(view: View) -> list[float]:
    """What static profile and network promise to the first token, seconds by deployment."""
    tracker = view.tracker
    priors = [view.fleet.prior_of(d) for d in view.fleet.deployments]
    return [p.ttft_ms / 1000 + net for p, net in zip(priors, tracker.net_s, strict=True)]


def prior_total(view: View, tokens: float) -> list[float]:
    """The same for a whole answer of `tokens` tokens."""
    return [first + tokens * pace for first, pace in zip(prior_ttft(view), view.tracker.prior_pace, strict=True)]


def nominal_slots(view: View, tokens: float) -> list[float]:
    """Calls at once that a deployment's configured rate allows, answers having `tokens` tokens."""
    return [max(2.0, rate * s) for rate, s in zip(view.quota.nominal, prior_total(view, tokens), strict=True)]

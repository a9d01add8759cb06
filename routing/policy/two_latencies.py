"""What balancers that weigh latency and load share: one running latency to the first token, one of the whole answer.

Both start at what the static profile promises. A failure that is no refusal counts as a slow answer.
"""

from __future__ import annotations

from routing.outcome import LatencyMeasurement
from routing.policy.baseline import Learning, first_counts, prior_total, prior_ttft
from routing.policy.view import View
from routing.request import Ask

TOKENS = 100.0  # of the answer that the static start is for
PENALTY_S = (5.0, 10.0)  # what a failure counts as


class TwoLatencies(Learning):
    """Keeps two numbers a deployment."""

    def begin(self, view: View) -> None:
        """See the base."""
        super().begin(view)
        self.latency = [prior_ttft(view), prior_total(view, TOKENS)]

    def of(self, ask: Ask) -> list[float]:
        """The latencies that a request is judged by, seconds by deployment."""
        return self.latency[0 if first_counts(ask) else 1]

    def observe(self, d: int, which: int, now: float, seconds: float) -> None:
        """Learn one value of one of the two."""
        raise NotImplementedError

    def saw_first(self, d: int, now: float, ttft: float) -> None:
        """See the base."""
        self.observe(d, 0, now, ttft)

    def saw_answer(self, d: int, now: float, measurement: LatencyMeasurement) -> None:
        """See the base."""
        self.observe(d, 1, now, measurement.total_ms / 1000)

    def saw_failure(self, d: int, now: float, rate_limited: bool) -> None:
        """See the base."""
        if not rate_limited:
            for which, seconds in enumerate(PENALTY_S):
                self.observe(d, which, now, seconds)

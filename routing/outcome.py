"""What happened: measurements, verdicts, and the one record that a request leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """How an attempt ended, as far as its deployment is concerned."""

    SUCCESS = "success"
    IGNORED = "ignored"  # says nothing of the deployment: a lost hedge, a caller who left, a wrong request
    DROPPED = "dropped"  # failed, refused, cut or too late


@dataclass(slots=True)
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0  # of the completion, thought and not said


@dataclass(slots=True)
class LatencyMeasurement:
    """One answered request, in ms: total = network + queue + model_ttft + generation."""

    network_ms: float  # round trip to the provider
    queue_ms: float  # our wait for a lease and, where the provider tells its processing time, its own queue
    ttft_ms: float  # request sent to first content-bearing event
    generation_ms: float  # first to last content-bearing event
    total_ms: float
    tokens_generated: int
    queue_estimated: bool = True  # no provider header told its processing time: its own queue is unknown

    @property
    def model_ttft_ms(self) -> float:
        """The model's own share of the time to first token."""
        return self.total_ms - self.network_ms - self.queue_ms - self.generation_ms

    @property
    def tokens_per_second(self) -> float:
        """Output tokens per second of generation; 0 where the answer came at once."""
        return 1000 * self.tokens_generated / self.generation_ms if self.generation_ms > 0 else 0.0


@dataclass(slots=True)
class Signals:
    """What a provider's response headers tell of itself. None = not told."""

    processing_ms: float | None = None
    utilisation: float | None = None  # share of the quota in use, 0 to 1
    connect_ms: float | None = None  # round trip seen while a new connection was made


@dataclass(slots=True)
class AttemptRecord:
    """One upstream call in an outcome."""

    deployment: str
    verdict: Verdict
    hedge: bool
    sent_ms: float  # after the request's arrival
    ended_ms: float
    error: str | None = None  # stable code


@dataclass(slots=True)
class Outcome:
    """One request from arrival to end: the record behind the log line and the metrics."""

    request_id: str
    caller: str
    status: int
    deployment: str | None = None
    model: str | None = None
    reason: str | None = None
    slo: str = "none"  # met, missed, none; predicted_met or predicted_miss where it ended before that was known
    error: str | None = None
    measurement: LatencyMeasurement | None = None
    usage: Usage | None = None
    total_ms: float = 0.0
    attempts: list[AttemptRecord] = field(default_factory=list)

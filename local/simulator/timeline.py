"""When one call's bytes are seen at its origin region. Pure: moments are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass

from local.simulator.latency import HEADERS_SHARE, Service


@dataclass(frozen=True, slots=True)
class Timeline:
    """The network takes half a round trip each way; between `started` and the last token lies the service."""

    arrived: float  # at the origin's edge, where the client's time begins
    half_trip: float
    started: float  # to be served, after any wait in line
    service: Service

    @property
    def headers(self) -> float:
        """When a stream's headers are seen."""
        return self.started + self.service.ttft_s * HEADERS_SHARE + self.half_trip

    def token(self, index: int) -> float:
        """When a token is seen, counted from 0."""
        return self.started + self.service.ttft_s + index * self.service.token_s + self.half_trip

    def due(self, now: float) -> int:
        """How many tokens are to have been seen by `now`, once the first is."""
        return int((now - self.token(0)) / self.service.token_s) + 1

    def processing_s(self, seen: float) -> float:
        """What of the time until a byte was `seen` went to queue and model, without the network's two halves."""
        return seen - self.arrived - 2 * self.half_trip

"""Metrics in Prometheus' text format: counted as requests end, written when they are asked for.

Labels are deployments, callers' outcomes and other names of our own: nothing that a caller sends becomes one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from routing.engine.sync import Sync
from routing.errors import CallerLeft, RouterError
from routing.outcome import Outcome

TTFT_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
TOTAL_S = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
OVERHEAD_S = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
MOST_OUTCOMES = 200  # pairs of status and outcome

type Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values below fixed bounds, by labels."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts: dict[Labels, list[int]] = {}
        self._sums: Counter[Labels] = Counter()

    def add(self, value: float, **labels: str) -> None:
        """Count one."""
        key = tuple(labels.items())
        counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[key] += value  # type: ignore[assignment]  # a sum of floats, kept as counters are

    def lines(self, name: str, about: str) -> Iterator[str]:
        """In Prometheus' form: cumulative buckets, the sum and the count."""
        yield from _head(name, about, "histogram")
        bounds = [*map(_number, self._bounds), "+Inf"]
        for key, counts in self._counts.items():
            for bound, count in zip(bounds, accumulate(counts), strict=True):
                yield f"{name}_bucket{_labels((*key, ('le', bound)))} {count}"
            yield f"{name}_sum{_labels(key)} {_number(self._sums[key])}"
            yield f"{name}_count{_labels(key)} {sum(counts)}"


class Metrics:
    """What one instance counts of its requests."""

    def __init__(self) -> None:
        self._requests: Counter[Labels] = Counter()
        self._attempts: Counter[Labels] = Counter()
        self._hedges: Counter[Labels] = Counter()
        self._targets: Counter[Labels] = Counter()
        self._ttft, self._total, self._overhead = Histogram(TTFT_S), Histogram(TOTAL_S), Histogram(OVERHEAD_S)

    def saw(self, outcome: Outcome) -> None:
        """A request that was routed is over."""
        self._requests[self._request(outcome.status, outcome.error)] += 1
        self._targets[_key(slo=_target(outcome))] += 1
        for attempt in outcome.attempts:
            self._attempts[_key(deployment=attempt.deployment, verdict=attempt.verdict.value)] += 1
        if any(attempt.hedge for attempt in outcome.attempts):
            self._hedges[_key(won="true" if outcome.reason == "hedge_won" else "false")] += 1
        if outcome.measurement is not None and outcome.deployment is not None:
            self._ttft.add(outcome.measurement.ttft_ms / 1000, deployment=outcome.deployment)
        if outcome.error is None:
            self._total.add(outcome.total_ms / 1000)
        if outcome.attempts:
            self._overhead.add(outcome.attempts[0].sent_ms / 1000)

    def refused(self, error: RouterError) -> None:
        """A request ended with `error` before it was routed: it had no target, no upstream call and no latency."""
        self._requests[self._request(error.status, error.code)] += 1

    def text(self, sync: Sync, reports: Mapping[str, int]) -> str:
        """Everything, as a scraper reads it. `reports` are frontends' measurements, by what became of them."""
        measured = {_key(outcome=outcome): count for outcome, count in reports.items()}
        parts = [
            *self._of_requests(),
            *_counter("router_measurements_total", "Reports of frontends, by what became of them.", measured),
            *_of_load(sync),
            *_of_sharing(sync),
        ]
        return "\n".join(parts) + "\n"

    def _request(self, status: int, error: str | None) -> Labels:
        """A code that a provider made up is a label only while there are few."""
        key = _key(status=str(status), outcome=error or "ok")
        if key in self._requests or len(self._requests) < MOST_OUTCOMES:
            return key
        return _key(status=str(status), outcome="other")

    def _of_requests(self) -> Iterator[str]:
        yield from _counter("router_requests_total", "Chat requests, by status and outcome.", self._requests)
        yield from _counter(
            "router_targets_total", "Requests that were routed, by what became of their target.", self._targets
        )
        yield from _counter("router_attempts_total", "Upstream calls, by deployment and verdict.", self._attempts)
        yield from _counter("router_hedges_total", "Requests with a second call, by whether it won.", self._hedges)
        yield from self._ttft.lines("router_ttft_seconds", "Time from an upstream call to its first content.")
        yield from self._total.lines(
            "router_duration_seconds", "Time from a request's last byte to the end of its answer."
        )
        yield from self._overhead.lines(
            "router_overhead_seconds", "Time from a request's last byte to its first upstream call."
        )


def _target(outcome: Outcome) -> str:
    """A first token in time is no success where the rest then failed; where the caller left, it is all there was."""
    known = outcome.slo in ("none", "missed") or outcome.error in (None, CallerLeft.code)
    return outcome.slo if known else "unanswered"


def _of_load(sync: Sync) -> Iterator[str]:
    view, now = sync.router.view, sync.router.clock.now()
    names = [deployment.id for deployment in view.fleet.deployments]
    in_flight = {_key(deployment=name): count for name, count in zip(names, view.slots.in_flight, strict=True)}
    closed = {
        _key(deployment=name, why=why): 1
        for name, until, why in zip(names, view.health.closed_until, view.health.why, strict=True)
        if until > now
    }
    yield from _gauge("router_in_flight", "Upstream calls under way.", in_flight)
    yield from _gauge("router_closed", "1 for a deployment that is avoided for its health.", closed)
    ordered = {_key(deployment=names[d], state=order.state): 1 for d, order in view.orders.items()}
    yield from _gauge("router_ordered", "1 for a deployment that an operator has an order for.", ordered)


def _of_sharing(sync: Sync) -> Iterator[str]:
    age = sync.age(sync.router.clock.now())
    ages: Mapping[Labels, float] = {} if age is None else {(): age}
    pulses = (sync.flushing, sync.merging, sync.pulling, sync.ordering, sync.homing)
    stages = {_key(stage=p.name, result=result): count for p in pulses for result, count in sorted(p.counts.items())}
    rejected = {
        _key(table=name.partition(":")[0], reason=name.partition(":")[2]): count
        for name, count in sorted(sync.store.rejected.items())
    }
    affinity = sync.router.affinity
    yield from _gauge("router_profile_age_seconds", "Time since the merge of the profiles in use.", ages)
    yield from _gauge("router_instances", "Instances of all regions that share what they learn.", {(): sync.live})
    yield from _counter("router_store_stages_total", "Flushes, merges, pulls, orders and homes, by result.", stages)
    yield from _counter("router_store_rows_total", "Rows of samples written.", {(): sync.rows_written})
    yield from _counter("router_rejected_rows_total", "Rows that were not written or not used.", rejected)
    yield from _gauge(
        "router_unknown_rows", "Rows of profiles whose deployment is not in this fleet.", {(): sync.unknown}
    )
    yield from _counter(
        "router_affinity_dropped_total",
        "Errands about homes that had no room: run late, or never.",
        {(): affinity.dropped},
    )
    yield from _gauge(
        "router_affinity_waiting", "Homes to be told to the store, or asked of it.", {(): affinity.waiting}
    )


def _key(**labels: str) -> Labels:
    return tuple(labels.items())


def _counter(name: str, about: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield from _head(name, about, "counter")
    yield from _samples(name, values)


def _gauge(name: str, about: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield from _head(name, about, "gauge")
    yield from _samples(name, values)


def _samples(name: str, values: Mapping[Labels, float]) -> Iterator[str]:
    for key, value in values.items():
        yield f"{name}{_labels(key)} {_number(value)}"


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _labels(key: Iterable[tuple[str, str]]) -> str:
    """Every value is a name of ours; what would break the line is escaped all the same."""
    escaped = ((name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in key)
    text = ",".join(f'{name}="{value}"' for name, value in escaped)
    return f"{{{text}}}" if text else ""


def _number(value: float) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)

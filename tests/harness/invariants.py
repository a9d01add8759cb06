"""What must hold after every test of faults, whatever the fault was.

    answers: list[Answer] = []
    evidence = Evidence(upstreams=[a, b], answers=lambda: answers, in_flight=slots.by_deployment, total=slots.total)
    async with invariants(evidence):
        ...

I1 in-flight back to zero · I2 one voice a client · I3 attempts bounded · I5 losers aborted · I6 nothing left
behind · I7 no canary in logs, headers, bodies · I9 typed errors. The product is known by callables only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.harness.answers import Answer, one_voice, typed_error
from tests.harness.canaries import no_canary, quiet_logs
from tests.harness.eventually import GUARD_S, eventually
from tests.harness.incoming import Hit
from tests.harness.leaks import no_leaks
from tests.harness.upstream import Upstream

# Extra attempts, hedges and failovers together: a tenth each, and what a quiet system may always spend.
EXTRA_RATIO = 0.20
RESERVE = 20
WINDOW_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a test shows. Callables are asked after the test; what is left out is not checked, but I6 always is."""

    upstreams: Sequence[Upstream] = ()  # I3, I5
    requests: Callable[[], Sequence[float]] | None = None  # I3: when each client's request began, loop's seconds
    extra_ratio: float = EXTRA_RATIO  # I3: attempts beyond the first, as a share of requests, ...
    reserve: int = RESERVE  # ... and as a number beside it
    in_flight: Callable[[], Mapping[str, int]] = dict  # I1: leases open, of each deployment
    total: Callable[[], int] = int  # I1: leases open, as the product itself sums them
    answers: Callable[[], Iterable[Answer]] = tuple  # I2, I7, I9
    voices: Mapping[str, str] = field(default_factory=dict)  # I2: all that each upstream says
    codes: Collection[str] | None = None  # I9: the codes there are
    canaries: Collection[str] = ()  # I7
    texts: Callable[[], Iterable[str | bytes]] = tuple  # I7: whatever else goes out: spans, labels, rows


@asynccontextmanager
async def invariants(evidence: Evidence, *, guard_s: float = GUARD_S) -> AsyncIterator[None]:
    """Raises AssertionError, naming the invariant, if one does not hold after the block.

    Enter it within the upstreams' contexts and start the product within it. A test that fails by itself is not
    checked: its own failure is what it tells.
    """
    with quiet_logs(evidence.canaries):
        async with no_leaks(guard_s=guard_s):
            yield
            await released(evidence.in_flight, evidence.total, guard_s=guard_s)
            await losers_aborted([hit for upstream in evidence.upstreams for hit in upstream.hits], guard_s=guard_s)
    _check_load(evidence)
    _check_answers(evidence)


async def released(
    in_flight: Callable[[], Mapping[str, int]], total: Callable[[], int], *, guard_s: float = GUARD_S
) -> None:
    """I1: every count and their sum come back to zero. The sum alone would hide a +1 and a -1."""

    def taken() -> dict[str, int]:
        each = {name: count for name, count in in_flight().items() if count}
        return each | ({"total": total()} if total() else {})

    try:
        await eventually(lambda: not taken(), what="I1: in-flight is zero", guard_s=guard_s)
    except AssertionError as failure:
        raise AssertionError(f"{failure}: {taken()}") from None


async def losers_aborted(hits: Iterable[Hit], *, guard_s: float = GUARD_S) -> None:
    """I5: whatever an upstream was not done with, it saw the client leave."""
    for number, hit in enumerate(hits):
        what = f"I5: {hit.method} {hit.path} (call {number}) was aborted or answered in full"
        await eventually(lambda hit=hit: hit.over, what=what, guard_s=guard_s)  # type: ignore[misc]


def attempts_bounded(
    attempts: Iterable[float],
    requests: Iterable[float],
    *,
    extra_ratio: float = EXTRA_RATIO,
    reserve: int = RESERVE,
    window_s: float = WINDOW_S,
) -> None:
    """I3: in the window from each request on, attempts ≤ requests · (1 + extra_ratio) + reserve. Times in seconds.

    Attempts for requests from before a window count in it: the reserve has to cover them too.
    """
    begun, tried = sorted(requests), sorted(attempts)
    if tried and (not begun or tried[0] < begun[0]):
        raise AssertionError(f"I3: an attempt at {tried[0]:g} s before the first request")
    for start in begun:
        asked = bisect_left(begun, start + window_s) - bisect_left(begun, start)
        made = bisect_left(tried, start + window_s) - bisect_left(tried, start)
        if made > asked * (1 + extra_ratio) + reserve:
            raise AssertionError(f"I3: {made} attempts for {asked} requests in {window_s:g} s from {start:g} s on")


def _check_load(evidence: Evidence) -> None:
    if evidence.requests is not None:
        attempts = [hit.received_at for upstream in evidence.upstreams for hit in upstream.hits]
        attempts_bounded(attempts, evidence.requests(), extra_ratio=evidence.extra_ratio, reserve=evidence.reserve)


def _check_answers(evidence: Evidence) -> None:
    answers = list(evidence.answers())
    for answer in answers:
        if evidence.voices:
            one_voice(answer.text, evidence.voices)
        if answer.status != 200:
            typed_error(answer, evidence.codes)
        told = (f"{name}: {value}" for name, value in answer.headers)
        no_canary(evidence.canaries, [answer.body, answer.text, *told])
    no_canary(evidence.canaries, evidence.texts())

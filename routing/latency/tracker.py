"""The tracker: what each deployment was measured to do, and what is believed of it because of that.

A deployment is learned from residuals x = ln(ttft - network) - ln(base) - prompt, where base is the prior's TTFT at a
1,000-token prompt, so that prompts of any length train one estimate. n and S() are a decayed count and sum.

    level    S(x) / (n + 2), 60 s
    spread   sqrt((1.45 S((x - level)^2) + 10 prior^2) / (n + 10)), 600 s
    pace     prior exp((S(y) + 2 slow) / (n + 2)), y = ln(observed / prior), 30 s; slow = S(y) / (n + 2), 600 s
    failing  S(failures) / (answers + S(failures) + 4), 10 s; and the same again of what is this region's own fault

A prior is worth a few samples, so a deployment that nobody uses fades back to it and is tried again by itself.
The constants were fitted in simulation on measured traces of production endpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Protocol

from routing.fleet import Fleet
from routing.latency.network import NetworkFloor
from routing.latency.news import News
from routing.latency.prediction import PRIOR_SAMPLES, SHIFT, Belief, length_points, mean_above, prompt_log, within
from routing.latency.sketch import Sketch
from routing.latency.sums import (
    ANSWERS,
    FAILURES,
    OWN_ANSWERS,
    OWN_FAILURES,
    PACE_N,
    PACE_Y,
    SENT,
    SLOW_N,
    SLOW_Y,
    TAU_S,
    WIDE_N,
    WIDE_XX,
    N,
    X,
)
from routing.outcome import LatencyMeasurement
from routing.request import PACE_SPREAD

PRIOR_LEVEL, PRIOR_SPREAD, PRIOR_PACE, PRIOR_FAILING = PRIOR_SAMPLES, 10.0, 2.0, 4.0  # samples that the prior is worth
UPPER_HALF = 1.45  # the squares of both halves, as those of the upper half alone
CLIP, CLIP_AFTER = 2.5, 3.0  # one wild sample must not own the level, once there are a few
RARE = 0.1  # share of answers that come so late: a later one counts as a failure more and more
SILENCE_CLIP = 1.0  # a cancelled call that was silent counts as at most this much above the level
RATE_LIMIT_WEIGHT = 0.8  # of a failure
FASTEST_S, FASTEST_PACE_S = 0.005, 1e-4  # below these a measurement is a clock's resolution
EVENT_FADING, PRIOR_EVENTS = (
    0.9,
    4.0,
)  # of streams before the newest, in tokens per event; events of one token before all
RENEW_S = 5.0  # beliefs age without news; this often they are renewed all the same


class Watcher(Protocol):
    """Is told of this instance's own measurements as they happen: how a rule that learns in its own way does so."""

    def saw_first(self, d: int, now: float, ttft: float) -> None:
        """The first content of a stream came after `ttft` seconds."""
        ...

    def saw_answer(self, d: int, now: float, measurement: LatencyMeasurement) -> None:
        """A call ended well."""
        ...

    def saw_silence(self, d: int, now: float, age: float) -> None:
        """A call was given up after `age` seconds without content."""
        ...

    def saw_failure(self, d: int, now: float, rate_limited: bool) -> None:
        """A call failed."""
        ...


class LatencyTracker:
    """Everything learned about the fleet's latency by one instance. All times in seconds unless a name says ms.

    Deployments are indices into the fleet. `measure_request`, `record` and `get_percentile` take their ids, for use
    as a library; the router calls the other methods as a request goes on. What was learned here since the last
    `flush` is kept apart too, so that it can be shared.
    """

    def __init__(self, fleet: Fleet, origin: str | None = None) -> None:
        self.fleet = fleet
        self.origin = origin = origin or fleet.regions[0].id
        priors = [fleet.prior_of(d) for d in fleet.deployments]
        self.index = {d.id: i for i, d in enumerate(fleet.deployments)}
        self.log_base = [math.log(p.ttft_ms / 1000) for p in priors]
        self.prior_pace = [1 / p.tokens_per_second for p in priors]
        self.prior_spread = [p.spread for p in priors]
        self.network = [NetworkFloor(fleet.rtt_ms(origin, d.region) / 1000) for d in fleet.deployments]
        self.net_s = [n.value for n in self.network]
        self.known = [Sketch() for _ in priors]
        self.tokens_per_event = [1.0] * len(priors)  # some providers put several tokens into one event of a stream
        self._counted = [(0.0, 0.0)] * len(priors)  # tokens and events behind it
        self.beliefs = [self.belief(d, 0.0) for d in range(len(priors))]
        self.watchers: list[Watcher] = []
        self._renewed_at = 0.0
        self.own = News(len(priors))

    # ------------------------------------------------------------------ what the router tells
    def sent(self, d: int, now: float, quota_s: float) -> None:
        """A call went out that takes `quota_s` seconds of the deployment's quota."""
        for sketch in self._both(d, now):
            sketch.sums.age(now)[SENT] += quota_s

    def first_content(self, d: int, now: float, ttft: float, tokens_in: float) -> None:
        """The first content came `ttft` seconds after the call was sent."""
        for sketch in self._both(d, now):
            sketch.ttft_ms.add(1000 * ttft, now)
        self._learn(d, now, self._residual(d, ttft, tokens_in))
        for watcher in self.watchers:
            watcher.saw_first(d, now, ttft)

    def pace(self, d: int, now: float, seconds_per_event: float) -> None:
        """A stream showed its pace, early or at its end: one observation a stream."""
        self._learn_pace(d, now, seconds_per_event / self.tokens_per_event[d])

    def saw_tokens(self, d: int, tokens: int, events: int) -> None:
        """A stream of `events` content events held `tokens` tokens, as the provider counted them."""
        if tokens > 0 and events > 0:
            before = self._counted[d]
            counted = EVENT_FADING * before[0] + tokens, EVENT_FADING * before[1] + events
            self._counted[d] = counted
            self.tokens_per_event[d] = (counted[0] + PRIOR_EVENTS) / (counted[1] + PRIOR_EVENTS)

    def answered(self, d: int, now: float, measurement: LatencyMeasurement) -> None:
        """A call ended well."""
        for sketch in self._both(d, now):
            v = sketch.sums.age(now)
            v[ANSWERS] += 1
            v[OWN_ANSWERS] += 1
            sketch.newest_at = now
            sketch.total_ms.add(measurement.total_ms, now)
        self._renew(d, now)
        for watcher in self.watchers:
            watcher.saw_answer(d, now, measurement)

    def whole(self, d: int, now: float, total: float, tokens_in: float, tokens_out: int) -> None:
        """An answer came whole, unstreamed, `total` seconds after the call was sent.

        How much was wait and how much pace is not seen, so both take the factor by which it missed the prediction.
        """
        b = self.beliefs[d]
        expected = math.exp(b.level + self.log_base[d] + prompt_log(tokens_in)) + tokens_out * b.pace
        factor = max(FASTEST_S, total - self.net_s[d]) / expected
        self._learn(d, now, b.level + math.log(factor))
        if tokens_out > 1:
            self._learn_pace(d, now, b.pace * factor)

    def silent(self, d: int, now: float, age: float, tokens_in: float) -> None:
        """A call was given up after `age` seconds without content: it would have taken longer than that."""
        x, level = self._residual(d, age, tokens_in), self.beliefs[d].level
        if x > level:
            self._learn(d, now, min(x, level + SILENCE_CLIP))
        for watcher in self.watchers:
            watcher.saw_silence(d, now, age)

    def answered_by(self, d: int, age: float, tokens_in: float, length: float, length_spread: float) -> float:
        """P(a whole answer of about `length` tokens has come `age` seconds after it was asked for), failures aside."""
        b = self.beliefs[d]
        at = b.at + prompt_log(tokens_in)
        return within(age - self.net_s[d], at, b.spread, length * b.pace, length_points(length_spread))

    def silent_whole(
        self,
        d: int,
        now: float,
        age: float,
        tokens_in: float,
        length: float,
        length_spread: float,
        answered_by: float,
        hangs: bool,
    ) -> None:
        """An unstreamed call was dropped after `age` seconds: its answer, of about `length` tokens, would have taken
        longer. With the probability `answered_by` it was due.

        Level and pace learn what is to be expected of a value that is known to lie above a bound: the mean of the
        normal distribution's rest (inverse Mills ratio; the E step of EM for censored samples). An answer may also be
        late because it is long: of the surprise the deployment gets the share that its own variance has. Where
        silences say that it `hangs` it gets all, as much as one call may count, and has failed.

        A silence that hardly an answer would have had is rather a failure, by how rare it is.
        """
        failed = 1.0 if hangs else max(0.0, 1 - (1 - answered_by) / RARE)
        b = self.beliefs[d]
        first, answer = math.exp(b.level + self.log_base[d] + prompt_log(tokens_in)), length * b.pace
        own = math.hypot(b.spread * first, PACE_SPREAD * answer) / (first + answer)
        spread = math.hypot(own, length_spread * answer / (first + answer))
        z = math.log(max(FASTEST_S, age - self.net_s[d]) / (first + answer)) / spread
        late = SILENCE_CLIP if hangs else min(SILENCE_CLIP, own**2 / spread * mean_above(z))
        for sketch in self._both(d, now):
            sketch.sums.age(now)[FAILURES] += failed
        self._learn(d, now, b.level + late)
        if length > 1:
            self._learn_pace(d, now, b.pace * math.exp(late))
        for watcher in self.watchers:
            watcher.saw_silence(d, now, age)

    def failed(self, d: int, now: float, rate_limited: bool, own: bool = False) -> None:
        """A call failed, which never counts as a fast sample. Where the fault is our `own` region's, its network or
        credentials, it tells nothing of the deployment: other regions do not count it."""
        for sketch in self._both(d, now):
            sketch.sums.age(now)[OWN_FAILURES if own else FAILURES] += RATE_LIMIT_WEIGHT if rate_limited else 1.0
        self._renew(d, now)
        for watcher in self.watchers:
            watcher.saw_failure(d, now, rate_limited)

    def saw_network(self, d: int, now: float, round_trip: float) -> None:
        """A round trip to the deployment was seen."""
        self.net_s[d] = self.network[d].add(round_trip, now)

    def hear_network(self, d: int, round_trip: float | None, now: float) -> None:
        """Another instance of this region saw a round trip to the deployment lately, or none did."""
        self.net_s[d] = self.network[d].heard(round_trip, now)

    # ------------------------------------------------------------------ what is believed
    def renew(self, now: float) -> list[Belief]:
        """All beliefs, renewed first if they are older than RENEW_S."""
        if now - self._renewed_at > RENEW_S:
            self._renewed_at = now
            for d in range(len(self.known)):
                self._renew(d, now)
        return self.beliefs

    def belief(self, d: int, now: float) -> Belief:
        """What follows at `now` from all that was learned of deployment d."""
        v = self.known[d].sums.age(now)
        level = v[X] / (v[N] + PRIOR_LEVEL)
        spread = math.sqrt(
            (UPPER_HALF * v[WIDE_XX] + PRIOR_SPREAD * self.prior_spread[d] ** 2) / (v[WIDE_N] + PRIOR_SPREAD)
        )
        slow = v[SLOW_Y] / (v[SLOW_N] + PRIOR_PACE)
        return Belief(
            at=self.log_base[d] + level - SHIFT * spread,
            spread=spread,
            pace=self.prior_pace[d] * math.exp((v[PACE_Y] + PRIOR_PACE * slow) / (v[PACE_N] + PRIOR_PACE)),
            keep=(1 - v[FAILURES] / (v[ANSWERS] + v[FAILURES] + PRIOR_FAILING))
            * (1 - v[OWN_FAILURES] / (v[OWN_ANSWERS] + v[OWN_FAILURES] + PRIOR_FAILING)),
            doubt=math.sqrt(PRIOR_LEVEL / (v[N] + PRIOR_LEVEL)),
            sent=v[SENT] / TAU_S[SENT],
            level=level,
            samples=v[N],
        )

    # ------------------------------------------------------------------ sharing
    @property
    def news(self) -> Set[int]:
        """Deployments of which something was learned here since their last flush."""
        return self.own.fresh

    def flush(self, now: float, of: Iterable[int] | None = None) -> dict[int, Sketch]:
        """What was learned here, of these deployments or of all, since their last flush.

        It is kept until `pull` says that it was merged.
        """
        return self.own.flush(now, of)

    def pull(self, merged: Mapping[int, Sketch], merged_at: float, now: float) -> None:
        """Take what all instances learned, as merged at `merged_at`, and add what of ours is not yet in it."""
        self.own.merged(merged_at)
        for d in range(len(self.known)):
            known = Sketch(now)
            for sketch in ([merged[d]] if d in merged else []) + self.own.of(d):
                known.merge(sketch)
            self.known[d] = known
            self._renew(d, now)

    # ------------------------------------------------------------------ for use as a library
    def measure_request(
        self, deployment: str, request_func: Callable[..., tuple[Any, LatencyMeasurement]], now: float, **kwargs: Any
    ) -> tuple[Any, LatencyMeasurement]:
        """Call `request_func`, which returns (response, measurement), and learn from the measurement.

        `now` is the moment of the call in seconds, on any clock that is used throughout. KeyError: no such deployment.
        """
        response, measurement = request_func(**kwargs)
        self.record(deployment, measurement, now + measurement.total_ms / 1000)
        return response, measurement

    def record(self, deployment: str, measurement: LatencyMeasurement, now: float, tokens_in: float = 1000.0) -> None:
        """Learn from one finished, streamed request. KeyError: no such deployment."""
        d = self.index[deployment]
        self.saw_network(d, now, measurement.network_ms / 1000)
        self.first_content(d, now, measurement.ttft_ms / 1000, tokens_in)
        if measurement.tokens_generated > 1 and measurement.generation_ms > 0:
            self._learn_pace(d, now, measurement.generation_ms / 1000 / (measurement.tokens_generated - 1))
        self.answered(d, now, measurement)

    def get_percentile(self, deployment: str, percentile: float) -> float:
        """Percentile (0 to 100) of the total time in ms, measured, within 5 %; infinity without samples."""
        value = self.known[self.index[deployment]].total_ms.quantile(percentile / 100)
        return math.inf if value is None else value

    # ------------------------------------------------------------------ inside
    def _both(self, d: int, now: float) -> tuple[Sketch, Sketch]:
        """What is known, and what is new since the last flush."""
        return self.known[d], self.own.about(d, now)

    def _residual(self, d: int, seconds: float, tokens_in: float) -> float:
        return math.log(max(FASTEST_S, seconds - self.net_s[d])) - self.log_base[d] - prompt_log(tokens_in)

    def _learn(self, d: int, now: float, x: float) -> None:
        level, samples = self.beliefs[d].level, self.beliefs[d].samples
        if samples > CLIP_AFTER:
            x = max(level - CLIP, min(level + CLIP, x))
        for sketch in self._both(d, now):
            v = sketch.sums.age(now)
            v[N] += 1
            v[X] += x
            v[WIDE_N] += 1
            v[WIDE_XX] += (x - level) ** 2
            sketch.newest_at = now
        self._renew(d, now)

    def _learn_pace(self, d: int, now: float, seconds_per_token: float) -> None:
        y = math.log(max(FASTEST_PACE_S, seconds_per_token) / self.prior_pace[d])
        for sketch in self._both(d, now):
            v = sketch.sums.age(now)
            v[PACE_N] += 1
            v[PACE_Y] += y
            v[SLOW_N] += 1
            v[SLOW_Y] += y
        self._renew(d, now)

    def _renew(self, d: int, now: float) -> None:
        self.beliefs[d] = self.belief(d, now)

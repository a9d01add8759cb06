"""The product's policy: estimate P(target met | sent now), share load among the best, hedge where a call buys most.

    value    p - 0.02 per tier above the minimum - 2.4 (used - 0.5)^2 beyond half of the quota: a deployment that is
             likelier only until everybody comes is not better, and a refusal costs more than a little probability.
             Beyond one and a half quotas nothing is added: all of them are out, and then p is to tell them apart
    price    who wants the cheapest gets a draw among the cheapest of those that are predicted, without noise, to meet
             the target (all, where none is set), and that have quota left
    choice   two at random by nominal rate x max(0.02, 1 - used)^2 x exp((value - best) / 0.04); of the two the one with
             fewer of our own calls in flight per nominal rate. A retry spreads more: 0.3 for 0.04, so that refused
             requests do not all queue at the next best. In this draw the level carries noise of
             0.3 sqrt(2 / (n + 2)): an unknown deployment gets a few requests, not all
    home     a user stays in one region while that costs little, judged without noise and in the home's favour by as
             much as its level may be wrong: chance alone moves nobody. A client's own retry is not kept there
    hedge    planned at the send for the moment t that maximises P(miss) p_second(left - t) - price P(silent at t);
             done if then P(miss | silent) p_best reaches the price and the purse holds it.
             price = 0.12 cost 2^(1 - 2 purse / cap), so that the purse is neither full nor empty

Equal deployments share load, worse ones get little, nothing herds. Seconds and natural logs throughout; the constants
were fitted in simulation on measured traces of production endpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from random import Random

from routing.latency.prediction import P90, P99, below, length_points, prompt_log, ttft_at, within
from routing.load.slots import queue_s
from routing.policy.seam import Choice, Score
from routing.policy.view import View
from routing.request import Ask, LatencyPriority

SOFTNESS, RETRY_SOFTNESS = 0.04, 0.3  # difference in probability that divides a deployment's share by e
HEADROOM_FLOOR, TIER_PENALTY, EXPLORE = 0.02, 0.02, 0.3
# On the fourteen scenarios worth 0.37 points of hit rate, and 0.9 instead of 1.5 % of requests meet a 429
CROWDED_FROM, CROWDED = 0.5, 2.4  # share of the quota in use beyond which a deployment is worth less, and how much
MOST_CROWDED = 1.5  # share of the quota in use that counts at most
NEARLY_FULL = 0.9  # share of the quota in use from which the cheapest is passed over for the next price
SAME_PRICE = 1 + 1e-6  # prices that differ by less are equal: they are sums of floats
HEDGE_PRICE = 0.12  # gain in probability that a hedge of a mean prompt must bring while the purse is half full
EARLIEST_HEDGE_S = 0.030
NO_TARGET = 1.25  # without a target, one is set at this multiple of the best candidate's median
HOPELESS = 0.3  # below this probability a target tells little apart: choose as if there were none
STICKY_LOSS = 0.05  # most probability that staying at home may cost
PATIENCE, LEAST_PATIENCE_S = 2.0, 1.0  # give a silent call up after twice its predicted 99 % point, not within a second
LONGEST_ANSWER = (
    3.0  # deviations: an answer that comes whole may be so much longer than expected, not more than allowed
)
# (z, F(z)) of the primary's wait where a hedge may be planned; the lower half of the shape is half as wide
MOMENTS = tuple(
    (z if z > 0 else z / 2, 0.5 + 0.5 * math.erf(z * math.sqrt(0.5))) for z in (-1, -0.5, 0, 0.4, 0.8, 1.2, 1.6, 2, 2.5)
)

_USED = itemgetter(2)  # of a Row

type Row = tuple[float, float, float, int]  # value, probability, share of quota used, deployment
type Preferred = tuple[Sequence[int], Sequence[Row], str | None]  # candidates to draw from, rows of the others, why


class SloPolicy:
    """Chooses by the probability to meet the caller's target."""

    name = "slo"
    cool_down_s = 0.0

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """See the module."""
        target = self._target(view, ask, candidates) if left is None else left
        candidates, elsewhere, reason = self._preferred(view, ask, candidates, left, target, now)
        drawn = self._values(view, ask, candidates, target, now, rng.gauss)
        best, probability, _, _ = max(drawn)
        if probability < HOPELESS:
            drawn = self._values(view, ask, candidates, self._target(view, ask, candidates), now, rng.gauss)
            best = max(drawn)[0]
        d = self._draw(view, drawn, best, rng, RETRY_SOFTNESS if retry else SOFTNESS)
        others = [row for row in (*drawn, *elsewhere) if row[3] != d]  # a hedge may leave home
        return Choice(
            score=self.score(view, ask, (d,), target, now)[0],
            second=_likeliest(others)[3] if others else None,
            reason=reason or self._reason(view, drawn, d),
            target_s=target,
        )

    def score(self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float) -> list[Score]:
        """See the seam."""
        target = self._target(view, ask, candidates) if left is None else left
        scores = []
        for value, p, used, d in self._values(view, ask, candidates, target, now, None):
            ttft, total, queue = self._medians(view, ask, d)
            scores.append(Score(d, value, p, ttft, total, queue, used))
        return scores

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """The planned moment, or None where no hedge would pay: who wants it cheap and sets no target, misses none."""
        if choice.second is None or left <= 0.05 or (ask.cheapest and ask.target_s is None):
            return None
        d, second = choice.score.deployment, choice.second
        b, other, longer = view.tracker.beliefs[d], view.tracker.beliefs[second], prompt_log(ask.tokens_in)
        net, other_net, length = view.tracker.net_s[d], view.tracker.net_s[second], self._length(ask)
        points = length_points(ask.length_spread)
        miss = 1 - within(left - net, b.at + longer, b.spread, length * b.pace, points)
        price, most, moment = self._price(view, ask), 0.0, None
        whole = 0.0 if ask.streamed else ask.expected_tokens * b.pace  # an unstreamed call is silent until its end
        for z, share in ((None, 0.0), *MOMENTS):
            t = EARLIEST_HEDGE_S if z is None else net + math.exp(b.at + longer + z * b.spread) + whole
            if t >= left:
                break
            rest = left - t - other_net
            rescue = other.keep * within(rest, other.at + longer, other.spread, length * other.pace, points)
            gain = miss * rescue - price * (1 - share)
            if gain > most:
                most, moment = gain, max(EARLIEST_HEDGE_S, t)
        return moment

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """The best other deployment, if it is worth its price by now."""
        price = self._price(view, ask)
        if left <= 0 or not candidates or not view.hedges.holds(view.hedge_cost(ask.tokens_in)):
            return None
        b, longer, length = view.tracker.beliefs[primary], prompt_log(ask.tokens_in), self._length(ask)
        waited = age - view.tracker.net_s[primary]
        if not ask.streamed:
            waited -= ask.expected_tokens * b.pace
        silent = 1 - below((math.log(waited) - b.at - longer) / b.spread) if waited > 0 else 1.0
        rest, points = age + left - view.tracker.net_s[primary], length_points(ask.length_spread)
        miss_ahead = 1 - within(rest, b.at + longer, b.spread, length * b.pace, points)
        miss = min(1.0, miss_ahead / max(silent, 1e-6))
        _, p, _, d = _likeliest(self._values(view, ask, candidates, left, now, None))
        return d if miss * p >= price else None

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        """Twice the predicted 99 % point, leaving time for the second choice."""
        wait = max(LEAST_PATIENCE_S, PATIENCE * self._quantile(view, ask, deployment, P99))
        if ask.streamed:
            wait = min(wait, view.fleet.model_of(view.fleet.deployments[deployment]).first_content_timeout_s)
        if second is not None:
            _, rescue, _ = self._medians(view, ask, second)
            wait = min(wait, max(self._quantile(view, ask, deployment, P90), left - rescue))
        return min(wait, left)

    # ------------------------------------------------------------------ inside
    @staticmethod
    def _length(ask: Ask) -> float:
        """Output tokens to wait for until the target: none where the first one is the goal."""
        if ask.priority is LatencyPriority.STREAMING and ask.streamed:
            return 0.0
        return ask.expected_tokens

    def _values(
        self,
        view: View,
        ask: Ask,
        candidates: Sequence[int],
        left: float,
        now: float,
        noise: Callable[[float, float], float] | None,
    ) -> list[Row]:
        """A row for each candidate if sent now. `noise(0, 1)` is the deviation by which a level may be wrong."""
        beliefs, net, in_flight, slots = (
            view.tracker.renew(now),
            view.tracker.net_s,
            view.slots.in_flight,
            view.slots.limits,
        )
        length, longer, quota, tier = self._length(ask), prompt_log(ask.tokens_in), view.quota, view.tier
        asked, points, rows = ask.demand.min_quality_tier, length_points(ask.length_spread), []
        for d in candidates:
            at, spread, pace, keep, doubt, sent, _, _ = beliefs[d]
            if noise is not None:
                at += EXPLORE * doubt * noise(0.0, 1.0)
            rest = left - net[d]
            if 2 * in_flight[d] >= slots[d]:
                holding = net[d] + math.exp(at + longer) + ask.expected_tokens * pace
                rest -= queue_s(in_flight[d], slots[d], holding)
            p = keep * within(rest, at + longer, spread, length * pace, points)
            used = quota.utilisation(d, now, sent)
            value = p - TIER_PENALTY * (tier[d] - asked)
            if used > CROWDED_FROM:
                value -= CROWDED * (min(used, MOST_CROWDED) - CROWDED_FROM) ** 2
            rows.append((value, p, used, d))
        return rows

    @staticmethod
    def _draw(view: View, rows: Sequence[Row], best: float, rng: Random, softness: float) -> int:
        nominal, in_flight = view.quota.nominal, view.slots.in_flight
        weights = [
            nominal[d] * max(HEADROOM_FLOOR, 1 - used) ** 2 * math.exp((value - best) / softness)
            for value, _, used, d in rows
        ]
        a, b = (row[3] for row in rng.choices(rows, weights, k=2))
        return b if in_flight[b] / nominal[b] < in_flight[a] / nominal[a] else a

    def _preferred(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, target: float, now: float
    ) -> Preferred:
        """What the caller wants beside the target: a low price, or else, for a user's prompt caches, to stay at home.
        A client's own retry is not kept at home: it is spread."""
        if ask.cheapest:
            return self._cheapest(view, ask, candidates, left, target, now)
        if ask.home is None or ask.client_retry:
            return candidates, (), None
        home = [d for d in candidates if view.region[d] == ask.home]
        return self._at_home(view, ask, home, candidates, target, now) if home else (candidates, (), "home_out")

    def _cheapest(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, target: float, now: float
    ) -> Preferred:
        """The cheapest of those that meet the target at the asked percentile; all candidates where none does.

        Judged without noise. A client's own retry has the next price, too, where only one deployment is the cheapest.
        """
        rows = self._values(view, ask, candidates, target, now, None)
        meeting = [row for row in rows if left is None or row[1] >= ask.percentile / 100]
        if not meeting:
            return candidates, (), None
        with_room = [row for row in meeting if row[2] < NEARLY_FULL] or meeting
        usd = {row[3]: view.cost_usd(ask, row[3]) for row in with_room}
        fewest = 2 if ask.client_retry else 1
        most = SAME_PRICE * sorted(usd.values())[:fewest][-1]
        chosen = [d for d in usd if usd[d] <= most]
        return chosen, [row for row in rows if row[3] not in chosen], "cheapest_meeting_slo"

    def _at_home(
        self, view: View, ask: Ask, home: Sequence[int], candidates: Sequence[int], target: float, now: float
    ) -> Preferred:
        """The candidates in the user's home region, or those elsewhere, by what staying costs."""
        away = [d for d in candidates if view.region[d] != ask.home]
        if not away:
            return home, (), "sticky"
        at_home = self._values(view, ask, home, target, now, _at_best)
        elsewhere = self._values(view, ask, away, target, now, None)
        median = 0 if ask.priority is LatencyPriority.STREAMING else 1
        best_here = min(self._medians(view, ask, d)[median] - self._doubt_s(view, ask, d) for d in home)
        cost = best_here - min(self._medians(view, ask, d)[median] for d in away)
        if cost > view.stickiness_s or max(at_home)[0] < max(elsewhere)[0] - STICKY_LOSS:
            return away, at_home, "left_home"
        return home, elsewhere, "sticky"

    @staticmethod
    def _doubt_s(view: View, ask: Ask, d: int) -> float:
        """By how many seconds the first token may come earlier than believed."""
        b = view.tracker.beliefs[d]
        return math.exp(b.at + prompt_log(ask.tokens_in)) * (1 - math.exp(-EXPLORE * b.doubt))

    @staticmethod
    def _reason(view: View, rows: Sequence[Row], d: int) -> str:
        if len(rows) == 1:
            return "only_candidate"
        best = max(rows)
        if best[3] == d:
            return "fastest"
        return "explore" if view.tracker.beliefs[d].doubt > view.tracker.beliefs[best[3]].doubt else "balanced"

    def _medians(self, view: View, ask: Ask, d: int) -> tuple[float, float, float]:
        """(TTFT, total, queue) of deployment d, medians in seconds as the router sees them."""
        b = view.tracker.beliefs[d]
        first = view.tracker.net_s[d] + ttft_at(0.0, b.at + prompt_log(ask.tokens_in), b.spread)
        generation = ask.expected_tokens * b.pace
        queue = queue_s(view.slots.in_flight[d], view.slots.limits[d], first + generation)
        return queue + first, queue + first + generation, queue

    def _quantile(self, view: View, ask: Ask, d: int, z: float) -> float:
        """The wait for the first content of a call at the standardised point z, seconds."""
        b = view.tracker.beliefs[d]
        first = view.tracker.net_s[d] + ttft_at(z, b.at + prompt_log(ask.tokens_in), b.spread)
        if ask.streamed:
            return first
        tokens = ask.expected_tokens * math.exp(LONGEST_ANSWER * ask.length_spread)
        return first + min(tokens, max(ask.expected_tokens, ask.most_tokens)) * b.pace

    def _target(self, view: View, ask: Ask, candidates: Sequence[int]) -> float:
        """A target where the caller set none: it separates the fast from the slow without asking the impossible."""
        goal = 0 if self._length(ask) == 0 else 1
        return NO_TARGET * min(self._medians(view, ask, d)[goal] for d in candidates)

    @staticmethod
    def _price(view: View, ask: Ask) -> float:
        """The gain in probability that a hedge of this request must bring."""
        purse = view.hedges
        return HEDGE_PRICE * view.hedge_cost(ask.tokens_in) * 2 ** (1 - 2 * purse.content / purse.cap)


def _likeliest(rows: Sequence[Row]) -> Row:
    """The row of the best value; of those within a hundredth of it the one with most of its quota left."""
    near = max(rows)[0] - 0.01
    return min((row for row in rows if row[0] >= near), key=_USED)


def _at_best(_mean: float, _deviation: float) -> float:
    """A deployment judged as fast as it may well be."""
    return -1.0

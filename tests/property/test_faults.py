"""Faults in virtual time: what a stream of requests sees while deployments fail, refuse, hang or slow down. Seeded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import NormalDist

import pytest

from routing.errors import AllDeploymentsFailed, RateLimited, ServerError
from routing.policy.view import FAILOVER_START, View
from routing.request import LatencyPriority
from tests.unit.fleets import deployment, equal, fleet
from tests.unit.plan.life import ask
from tests.unit.virtual import Answer, Behaviour, Request, World, between, every, failing, share, steady

RATE, START, END, LAST = 50.0, 15.0, 75.0, 110.0  # requests a second; the fault is from START to END
BROKEN = ServerError("500")


def served(behaviours: Sequence[Behaviour], view: View | None = None, until: float = LAST) -> list[Request]:
    made = World(view or View.of(equal(len(behaviours))), list(behaviours), seed=3)
    made.send(ask(target_s=1.5, deadline_s=20.0), every(1 / RATE, until))
    return made.run()


def sent(requests: Sequence[Request], start: float, end: float) -> list[Request]:
    return [r for r in requests if start <= r.sent_at < end]


def failed_share(requests: Sequence[Request]) -> float:
    return sum(r.error is not None for r in requests) / len(requests)


def extra(requests: Sequence[Request], hedges: bool) -> int:
    """Calls beyond the first of each request: hedges, or failovers except those after a 429."""
    if hedges:
        return sum(hedge for r in requests for _, _, hedge in r.calls)
    refused = sum(isinstance(a.error, RateLimited) for r in requests for a in r.plan.attempts)
    return sum(not hedge for r in requests for _, _, hedge in r.calls) - len(requests) - refused


def test_a_burst_of_errors_at_one_of_three_is_hardly_seen() -> None:
    rng = Random(1)
    good = [steady(rng, 0.5) for _ in range(3)]
    requests = served([between(START, END, failing(BROKEN, 0.05), good[0]), *good[1:]])
    assert share(requests, 0, START + 5, END) < 0.05
    assert failed_share(sent(requests, START, END)) <= 0.005
    assert share(requests, 0, END + 30, LAST) > 0.2
    for start in range(0, int(LAST), 10):
        during = sent(requests, start, start + 10)
        assert extra(during, hedges=True) <= 0.10 * len(during)
        assert extra(during, hedges=False) <= 0.10 * len(during) + FAILOVER_START


def test_when_everything_fails_the_purse_bounds_the_extra_calls_and_goodput_returns() -> None:
    rng = Random(1)
    good = [steady(rng, 0.5) for _ in range(4)]
    requests = served([between(START, END, failing(BROKEN, 0.05), b) for b in good])
    during = sent(requests, START, END)
    assert sum(len(r.calls) for r in during) <= 1.10 * len(during) + FAILOVER_START
    assert all(isinstance(r.error, AllDeploymentsFailed) for r in during[:-50])
    after = sent(requests, END + 30, LAST)
    assert failed_share(after) == 0.0
    assert failed_share(sent(requests, END + 1, LAST)) <= 0.01


def test_while_all_hang_every_request_ends_by_its_deadline() -> None:
    rng = Random(1)
    hangs: Behaviour = lambda _now: Answer(10_000.0)  # noqa: E731
    requests = served([between(START, END, hangs, steady(rng, 0.5)) for _ in range(3)], until=50.0)
    ends = [r.ended_at - r.sent_at for r in requests if r.ended_at is not None and r.error is not None]
    assert len(ends) > 1_000
    assert max(ends) <= 20.0 + 1e-9


def test_one_that_hangs_is_given_up_and_another_answers() -> None:
    rng = Random(1)
    hangs: Behaviour = lambda _now: Answer(10_000.0)  # noqa: E731
    good = [steady(rng, 0.5) for _ in range(3)]
    requests = served([between(START, END, hangs, good[0]), *good[1:]], until=50.0)
    assert failed_share(requests) == 0.0
    assert share(requests, 0, START + 10, END) < 0.05


def near_and_far() -> View:
    """A deployment nearby and two overseas, all alike."""
    return View.of(fleet(deployment("near"), *(deployment(n, region="swedencentral") for n in ("far", "farther"))))


def test_429s_of_the_nearest_region_spill_at_once_and_traffic_returns() -> None:
    rng = Random(1)
    refuses = failing(RateLimited("429", 10.0), 0.02)
    behaviours = [between(START, END, refuses, steady(rng, 0.4)), steady(rng, 1.1), steady(rng, 1.1)]
    requests = served(behaviours, near_and_far())
    before = share(requests, 0, 10.0, START)
    assert before > 0.8
    assert share(requests, 0, START + 1, END) <= 0.05
    assert failed_share(requests) == 0.0
    assert share(requests, 0, END + 30, LAST) > 0.8 * before


def test_when_everything_becomes_ten_times_slower_hedges_do_not_storm() -> None:
    rng = Random(1)
    slow = [between(START, END, steady(rng, 5.0), steady(rng, 0.5)) for _ in range(4)]
    requests = served(slow, until=START + 10)
    during = sent(requests, START, START + 10)
    assert extra(during, hedges=True) <= 0.05 * len(during)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_slow_down_is_followed_nearly_as_well_as_by_an_oracle(seed: int) -> None:
    """One of three becomes five times slower in two minutes; the oracle always knows the best of them."""
    rng = Random(seed)

    def slowing(now: float) -> Answer:
        return Answer(0.45 * (1 + 4 * min(1.0, now / 120)) * math.exp(rng.gauss(0.0, 0.3)))

    made = World(View.of(equal(3)), [slowing, steady(rng, 0.6), steady(rng, 0.6)], seed=seed)
    made.send(ask(target_s=0.9), every(0.05, 120.0))
    requests = made.run()

    def best(now: float) -> float:
        medians = (0.45 * (1 + 4 * now / 120), 0.6)
        return max(NormalDist(0.0, 0.3).cdf(math.log(0.9 / median)) for median in medians)

    oracle = sum(best(r.sent_at) for r in requests) / len(requests)
    assert sum(r.ttft <= 0.9 for r in requests) / len(requests) >= 0.95 * oracle


# ---------------------------------------------------------------------- answers that come whole, to a deadline
WHOLE_S, DEADLINE_S = 1.5, 2.5  # of fifty tokens: median, and when callers give up


def whole(bad: Behaviour, hedge: bool) -> list[Request]:
    rng = Random(5)
    good = [lambda _now: Answer(WHOLE_S * math.exp(rng.gauss(0.0, 0.15)), 0.0) for _ in range(2)]
    made = World(View.of(equal(3)), [bad, *good], seed=3)
    asked = ask(DEADLINE_S, DEADLINE_S, LatencyPriority.TOTAL, streamed=False, expected_tokens=50.0, hedge=hedge)
    made.send(asked, every(0.5, 300.0))
    return made.run()


def hangs_half_of_the_time() -> Behaviour:
    rng = Random(9)
    return lambda _now: Answer(1e5 if rng.random() < 0.5 else 0.8 * WHOLE_S, 0.0)


@pytest.mark.parametrize("hedge", [False, True])
@pytest.mark.parametrize(
    "bad",
    [lambda _now: Answer(1e5), lambda _now: Answer(3 * WHOLE_S, 0.0), hangs_half_of_the_time()],
    ids=["hangs", "three-times-slower", "hangs-half-of-the-time"],
)
def test_a_deployment_whose_answers_are_cut_at_their_deadlines_is_avoided(bad: Behaviour, hedge: bool) -> None:
    """Nothing ever comes of its calls, and nothing but their silence tells of it."""
    requests = whole(bad, hedge)
    assert share(requests, 0, 100.0) <= 0.1
    assert failed_share(sent(requests, 100.0, 300.0)) <= 0.1

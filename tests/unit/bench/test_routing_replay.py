"""Replaying a log answers what another policy, another limit or one more deployment would have done."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from bench.routing.replay import LOGGED, WhatIf, as_logged, replayed, world_of
from bench.routing.report import tables
from bench.routing.samplelog import LoggedAttempt, LoggedRequest
from routing.errors import ConfigurationError
from routing.fleet import Fleet
from routing.request import Demand, LatencyPriority
from tests.unit import fleets

ANY = Demand()


def fleet(requests_per_minute: int = 6_000) -> Fleet:
    limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": 100_000_000}
    return fleets.fleet(deployments=[fleets.deployment(name, **limits) for name in ("a", "b")])


def log(slow_from: float = math.inf, requests: int = 600) -> list[LoggedRequest]:
    """Two a second, in turn to `a` (0.3 s) and to `b` (0.6 s); `a` takes 6 s from `slow_from` on."""
    rng = Random(1)
    rows = []
    for i in range(requests):
        at, name = i / 2, "ab"[i % 2]
        median = 600.0 if name == "b" else 300.0 if at < slow_from else 6_000.0
        attempt = LoggedAttempt(name, 2.0, 2.0 + median * math.exp(rng.gauss(0, 0.1)), 10.0, None)
        rows.append(request(1e9 + at, attempt))
    return rows


def request(at: float, attempt: LoggedAttempt, demand: Demand = ANY) -> LoggedRequest:
    met = (attempt.ttft_ms or math.inf) <= 900.0
    return LoggedRequest(
        at, "eastus", "i1", LatencyPriority.STREAMING, 900.0, met, True, demand, 1_000, 50.0, 50, (attempt,)
    )


def test_levels_are_those_that_the_log_shows_at_each_time() -> None:
    world = world_of(log(slow_from=150.0), fleet(), ["eastus"], seed=1)
    at = [math.exp(world.fleet.log_ttft[step, 0]) for step in (30, 120)]  # 60 s and 240 s
    assert at == pytest.approx([0.3, 6.0], rel=0.1)
    assert math.exp(world.fleet.log_ttft[120, 1]) == pytest.approx(0.6, rel=0.1)


def test_a_policy_that_avoids_what_became_slow_meets_more_targets_than_one_that_does_not() -> None:
    runs = replayed(log(slow_from=150.0), fleet(), ["slo", "round_robin"])
    hit = {run.policy: run.measures["hit"] for run in runs}
    assert hit["round_robin"] < 0.8
    assert hit["slo"] > 0.9


def test_a_lower_limit_costs_refusals_and_one_more_deployment_takes_them_away() -> None:
    tight = WhatIf({"a": 20, "b": 20}).of(fleet())
    more = WhatIf({"a": 20, "b": 20}, ["a", "a", "a", "b", "b"]).of(fleet())
    was, limited, grown = (replayed(log(), f, ["round_robin"])[0].measures for f in (fleet(), tight, more))
    assert was["met_429"] == 0
    assert limited["met_429"] > 0.1
    assert limited["fail"] > 0.3
    assert grown["fail"] < limited["fail"] / 2


def test_a_request_is_replayed_onto_what_could_have_served_it_then() -> None:
    """Only `a`, the slow one, has the model that half of the requests asked for."""
    limits = {"requests_per_minute": 6_000, "tokens_per_minute": 100_000_000}
    two = fleets.fleet(
        fleets.deployment("a", model="big", **limits),
        fleets.deployment("b", model="mini", **limits),
        models=[fleets.model("big"), fleets.model("mini")],
    )
    rng, attempts = Random(1), []
    for i in range(400):
        name, median = ("a", 3_000.0) if i % 2 else ("b", 300.0)
        attempts.append(LoggedAttempt(name, 2.0, 2.0 + median * math.exp(rng.gauss(0, 0.1)), 10.0, None))
    asked = [ANY if a.deployment == "b" else Demand(models=("big",)) for a in attempts]
    rows = [request(1e9 + i / 2, a, demand) for i, (a, demand) in enumerate(zip(attempts, asked, strict=True))]
    (bound,) = replayed(rows, two, ["slo"])
    (free,) = replayed([replace(row, demand=ANY) for row in rows], two, ["slo"])
    assert bound.measures["hit"] == pytest.approx(0.5, abs=0.05)
    assert free.measures["hit"] > 0.9


def test_what_came_in_one_piece_tells_no_time_to_a_first_token() -> None:
    whole = [replace(row, streamed=i % 4 > 1) for i, row in enumerate(log())]
    late = [replace(r.attempts[0], ttft_ms=9_000.0) for r in whole]
    rows = [r if r.streamed else replace(r, attempts=(a,)) for r, a in zip(whole, late, strict=True)]
    assert math.exp(world_of(rows, fleet(), ["eastus"], seed=1).fleet.log_ttft[60, 0]) == pytest.approx(0.3, rel=0.1)


def test_the_logs_own_hit_rate_stands_beside_the_simulated_ones() -> None:
    rows = log(slow_from=150.0)
    assert as_logged(rows).measures["hit"] == pytest.approx(0.75, abs=0.01)
    text = tables([*replayed(rows, fleet(), ["slo"]), as_logged(rows)], ["slo", LOGGED], ["log"])
    assert f"| {LOGGED} | 75." in text


def test_a_deployment_that_the_fleet_does_not_have_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'c'"):
        WhatIf({"c": 60}).of(fleet())


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no request"):
        replayed([], fleet(), ["slo"])

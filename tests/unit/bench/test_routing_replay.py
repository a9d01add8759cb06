"""Replaying a log answers what another policy, another limit or one more deployment would have done."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.routing.replay import LOGGED, WhatIf, as_logged, main, replayed, world_of
from bench.routing.report import tables
from bench.routing.samplelog import LoggedAttempt, LoggedRequest
from routing.errors import ConfigurationError
from routing.fleet import Fleet
from routing.request import Demand, LatencyPriority
from tests.unit import fleets
from tests.unit.bench.test_routing_samplelog import line

ROOT = Path(__file__).parents[3]
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
    runs = [*replayed(rows, fleet(), ["slo", "c3"]), as_logged(rows)]
    text = tables(runs, ["slo", "c3"], ["log"], aside=[LOGGED])
    assert f"| {LOGGED} | 75." in text
    assert text.count(LOGGED) == 1, "what is drawn elsewhere compares with nothing of the log's"


def test_a_deployment_that_the_fleet_does_not_have_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown: c; known are a, b"):
        WhatIf({"c": 60}).of(fleet())


@pytest.mark.parametrize("requests", [0, 1, 5])
def test_a_log_that_tells_nothing_is_refused(requests: int) -> None:
    with pytest.raises(ConfigurationError, match="no request, or less than 5 s"):
        replayed(log(requests=requests), fleet(), ["slo"])


def test_a_log_of_another_fleet_is_refused() -> None:
    """With priors alone a replay would look like an answer."""
    other = fleets.fleet(deployments=[fleets.deployment("c")])
    with pytest.raises(ConfigurationError, match=r"none of the log's deployments \(a, b\)"):
        replayed(log(), other, ["slo"])


class TestCommand:
    """Everything that a command names is known before its first table."""

    @pytest.fixture
    def samples(self, tmp_path: Path) -> Path:
        """Of a router at the repository's own fleet."""
        path = tmp_path / "samples.jsonl"
        tried = line()["attempts"][0] | {"deployment": "eastus-gpt-5.4-mini"}
        rows = [line(at=1e9 + i, models=[], regions=[], pinned=None, attempts=[tried]) for i in range(20)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def test_the_example_of_the_documentation_runs(
        self, samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(ROOT)
        text = (ROOT / "docs" / "routing-quality.md").read_text()
        commands = re.findall(r"^\.venv/bin/python -m bench\.routing\.replay samples\.jsonl (.*)$", text, re.MULTILINE)
        assert len(commands) == 2
        for command in commands:
            assert main([str(samples), *command.split()]) == 0
        out = capsys.readouterr().out
        assert out.count("As it was") == 2
        assert out.count("With the changes") == 1
        assert out.count(LOGGED) == 2, "once in each table of hit rates, and among no differences or costs"

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (["--policies", "slo,nope"], "unknown: nope; known are "),
            (["--like", "nope"], "unknown: nope; known are "),
            (["--limit", "nope=5"], "unknown: nope; known are "),
            (["--fleet", "nowhere.json"], "nowhere.json: No such file"),
        ],
    )
    def test_what_is_unknown_is_told_in_one_line(
        self, samples: Path, arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(samples), "--fleet", str(ROOT / "fleet.json"), *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(fault)
        assert printed.err.count("\n") == 1

    @pytest.mark.parametrize("text", ["a", "a=", "a=0", "a=many", "=5"])
    def test_a_limit_that_is_none_is_refused(
        self, samples: Path, text: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            main([str(samples), "--limit", text])
        assert stopped.value.code == 2
        assert f"argument --limit: '{text}': write ID=requests per minute" in capsys.readouterr().err

    @pytest.mark.parametrize("content", [None, b"\xff\xfe", b"once upon a time\n", b""])
    def test_a_log_that_is_none_is_told_in_one_line(
        self, tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "log.jsonl"
        if content is not None:
            path.write_bytes(content)
        assert main([str(path), "--fleet", str(ROOT / "fleet.json")]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "log" in printed.err
        assert printed.err.count("\n") == 1

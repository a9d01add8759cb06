"""A sample log is read as it was written, and a bad line is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.routing.samplelog import read
from routing.errors import ConfigurationError
from routing.request import Demand, LatencyPriority


def line(**changes: Any) -> dict[str, Any]:
    attempt = {"deployment": "a", "network_ms": 3.0, "ttft_ms": 400.0, "ms_per_token": 12.0, "error": None}
    return {
        "v": 2,
        "at": 1_764_000_000.5,
        "origin": "eastus",
        "instance": "i1",
        "priority": "streaming",
        "target_ms": 900.0,
        "met": True,
        "streamed": True,
        "models": ["big"],
        "fallbacks": [],
        "tier": 2,
        "regions": ["eastus"],
        "dialect": "openai",
        "needs": ["tools"],
        "parameters": ["logprobs"],
        "output_tokens": 512,
        "pinned": "a",
        "tokens_in": 800,
        "expected_tokens": 200.0,
        "tokens_out": 143,
        "attempts": [attempt],
    } | changes


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_requests_come_in_order_of_time(tmp_path: Path) -> None:
    log = read(written(tmp_path, line(at=20.0), line(at=10.0)))
    assert [r.at for r in log] == [10.0, 20.0]
    assert log[0].priority is LatencyPriority.STREAMING
    assert log[0].attempts[0].ttft_ms == 400.0


def test_what_a_deployment_had_to_be_is_read(tmp_path: Path) -> None:
    (request,) = read(written(tmp_path, line()))
    assert request.demand == Demand(
        models=("big",),
        min_quality_tier=2,
        allowed_regions=("eastus",),
        dialect="openai",
        needs=frozenset({"tools"}),
        parameters=frozenset({"logprobs"}),
        output_tokens=512,
        pinned="a",
    )


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    (request,) = read(written(tmp_path, line(target_ms=None, tokens_out=None)))
    assert request.target_ms is None
    assert request.tokens_out is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"at": "noon"}, "at must be a number"),
        ({"tokens_in": -1}, "tokens_in must be a number"),
        ({"target_ms": True}, "target_ms must be a number"),
        ({"priority": "soon"}, "soon"),
        ({"v": 1}, "v is 1, this version reads 2"),
        ({"met": 1}, "met must be true or false"),
        ({"models": "big"}, "models must be a list of names"),
        ({"needs": [1]}, "needs must be a list of names"),
        ({"pinned": 3}, "pinned must be a name or null"),
        ({"attempts": [{}]}, "deployment"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"line 2: .*{complaint}"):
        read(written(tmp_path, line(), line(**changes)))

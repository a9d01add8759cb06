"""The log of a router's own samples: one JSON object a line, one line a request that was answered or given up.

    {"v": 2, "at": 1764000000.12, "origin": "eastus", "instance": "a1", "priority": "streaming", "target_ms": 900,
     "met": true, "streamed": true, "models": ["big"], "fallbacks": [], "tier": 2, "regions": [], "dialect": null,
     "needs": ["tools"], "parameters": [], "output_tokens": 4096, "pinned": null,
     "tokens_in": 812, "expected_tokens": 200, "tokens_out": 143,
     "attempts": [{"deployment": "a", "network_ms": 3.1, "ttft_ms": 412.5, "ms_per_token": 14.2, "error": null}]}

`at` is when the request arrived, in seconds since 1970. `target_ms` is null without a target, `tokens_out` null without
an answer. An attempt that gave no content has `ttft_ms` null and the stable code of its `error` (`rate_limited`,
`server_error`, ...), or null where it was cancelled. `met`: it was answered, and within its target if it had one.
From `models` to `pinned`: what a deployment had to be to serve it, as `routing.request.Demand` has it; of the body's
`parameters` those that some model refuses. Nothing of prompt, answer, caller or user is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing.errors import ConfigurationError
from routing.request import Demand, LatencyPriority

VERSION = 2  # version 1 did not tell which models a request could be served by


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """One upstream call. Times in ms."""

    deployment: str
    network_ms: float
    ttft_ms: float | None
    ms_per_token: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request. `at` in seconds, times in ms."""

    at: float
    origin: str
    instance: str
    priority: LatencyPriority
    target_ms: float | None
    met: bool
    streamed: bool
    demand: Demand
    tokens_in: int
    expected_tokens: float
    tokens_out: int | None
    attempts: tuple[LoggedAttempt, ...]


def read(path: Path) -> list[LoggedRequest]:
    """The requests of a log in order of time. Raises ConfigurationError naming the file, or line and field."""
    try:
        with path.open(encoding="utf-8") as lines:
            return sorted(_requests(lines, path.name), key=lambda request: request.at)
    except OSError as e:
        raise ConfigurationError(f"{path}: {e.strerror}; ROUTER_SAMPLE_LOG names the file that a router writes") from e
    except UnicodeDecodeError as e:
        raise ConfigurationError(f"{path} is no log of samples: it is not text in UTF-8") from e


def _requests(lines: Iterator[str], name: str) -> Iterator[LoggedRequest]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _request(json.loads(line))
        except KeyError as e:
            raise ConfigurationError(f"{name}, line {number}: {e} is missing") from e
        except (ValueError, TypeError, AttributeError) as e:
            raise ConfigurationError(f"{name}, line {number}: {e}") from e


def _request(row: dict[str, Any]) -> LoggedRequest:
    if row["v"] != VERSION:
        raise ValueError(f"v is {row['v']}, this version reads {VERSION}")
    return LoggedRequest(
        at=_number(row, "at"),
        origin=str(row["origin"]),
        instance=str(row["instance"]),
        priority=LatencyPriority(row["priority"]),
        target_ms=_optional(row, "target_ms"),
        met=_flag(row, "met"),
        streamed=_flag(row, "streamed"),
        demand=_demand(row),
        tokens_in=int(_number(row, "tokens_in")),
        expected_tokens=_number(row, "expected_tokens"),
        tokens_out=None if row["tokens_out"] is None else int(_number(row, "tokens_out")),
        attempts=tuple(_attempt(attempt) for attempt in row["attempts"]),
    )


def _demand(row: dict[str, Any]) -> Demand:
    return Demand(
        models=_names(row, "models"),
        fallbacks=_names(row, "fallbacks"),
        min_quality_tier=int(_number(row, "tier")),
        allowed_regions=_names(row, "regions"),
        dialect=_name(row, "dialect"),
        needs=frozenset(_names(row, "needs")),
        parameters=frozenset(_names(row, "parameters")),
        output_tokens=int(_number(row, "output_tokens")),
        pinned=_name(row, "pinned"),
    )


def _attempt(row: dict[str, Any]) -> LoggedAttempt:
    return LoggedAttempt(
        deployment=str(row["deployment"]),
        network_ms=_number(row, "network_ms"),
        ttft_ms=_optional(row, "ttft_ms"),
        ms_per_token=_optional(row, "ms_per_token"),
        error=None if row["error"] is None else str(row["error"]),
    )


def _number(row: dict[str, Any], field: str) -> float:
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{field} must be a number of 0 or more")
    return float(value)


def _flag(row: dict[str, Any], field: str) -> bool:
    if not isinstance(row[field], bool):
        raise ValueError(f"{field} must be true or false")
    return bool(row[field])


def _names(row: dict[str, Any], field: str) -> tuple[str, ...]:
    names = row[field]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{field} must be a list of names")
    return tuple(names)


def _name(row: dict[str, Any], field: str) -> str | None:
    if row[field] is not None and not isinstance(row[field], str):
        raise ValueError(f"{field} must be a name or null")
    return None if row[field] is None else str(row[field])


def _optional(row: dict[str, Any], field: str) -> float | None:
    return None if row[field] is None else _number(row, field)

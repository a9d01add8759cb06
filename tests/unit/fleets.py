"""Small fleets for tests: everything that a test does not name has a plain value."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from routing.fleet import Fleet
from routing.latency.tracker import LatencyTracker
from routing.policy.view import View

type Entry = dict[str, Any]

REGIONS: list[Entry] = [
    {"id": "eastus", "aliases": ["us-east"], "geography": "us", "latitude": 37.3719, "longitude": -79.8164},
    {"id": "westus", "aliases": ["us-west"], "geography": "us", "latitude": 37.783, "longitude": -122.417},
    {"id": "swedencentral", "aliases": ["eu-north"], "geography": "eu", "latitude": 60.67488, "longitude": 17.14127},
]


def prior(ttft_ms: float = 500.0, tail: float = 2.0, tokens_per_second: float = 50.0) -> Entry:
    """A latency prior: the 90 % point is `tail` times the median, the 99 % point its square."""
    return {
        "ttft_ms": ttft_ms,
        "ttft_p90_ms": tail * ttft_ms,
        "ttft_p99_ms": tail**2 * ttft_ms,
        "tokens_per_second": tokens_per_second,
        "p95_total_ms": 10_000,
    }


def model(name: str = "m", /, **changes: Any) -> Entry:
    """A model that can do everything, of tier 3."""
    return {
        "id": name,
        "vendor": "openai",
        "quality_tier": 3,
        "price_in": 1.0,
        "price_out": 4.0,
        "context_window": 128_000,
        "default_max_tokens": 4096,
        "max_output_tokens": 16_384,
        "capabilities": ["tools", "images", "json_schema", "reasoning"],
        "first_content_timeout_s": 60,
        "latency": prior(),
    } | changes


def deployment(name: str = "a", /, **changes: Any) -> Entry:
    """A deployment of model `m` in eastus; 1,000 requests a second fit its quota."""
    return {
        "id": name,
        "provider": "azure_openai",
        "resource": "account",
        "model": "m",
        "region": "eastus",
        "type": "Standard",
        "concurrency": 100,
        "tokens_per_minute": 60_000_000,
        "requests_per_minute": 60_000,
    } | changes


def file(*deployments: Entry, **changes: Any) -> Entry:
    """The content of a fleet file."""
    return {"models": [model()], "regions": deepcopy(REGIONS), "deployments": list(deployments)} | changes


def fleet(*deployments: Entry, **changes: Any) -> Fleet:
    """A checked fleet."""
    return Fleet.model_validate_json(json.dumps(file(*deployments, **changes)))


def equal(n: int, **changes: Any) -> Fleet:
    """`n` deployments that differ in nothing but their names: d0, d1 ..."""
    return fleet(*(deployment(f"d{i}", **changes) for i in range(n)))


def view(*deployments: Entry, **changes: Any) -> View:
    """The view of a fresh instance in eastus."""
    made = fleet(*deployments, **changes)
    return View.of(made, LatencyTracker(made, "eastus"))

"""The three programs that are compared, and the fleet and settings that the app gets."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.relay.client import KEY_HASH

REGION = "eastus"
RESOURCES = ("bench-one", "bench-two")
WITHOUT_LIMIT = 1_000_000_000  # no quota of the fleet may be what is measured


class Column(NamedTuple):
    """A program under test."""

    letter: str
    title: str
    argv: list[str]


def columns(app: Path, upstream: str) -> list[Column]:
    """All three, in the order in which they take turns."""
    return [
        Column("a", "app in the worker", ["-m", "local.host.inprocess", "--app", str(app)]),
        Column("b", "app, local host", ["-m", "local.host", "--app", str(app), "--port", str(_free_port())]),
        Column("c", "bare relay", ["-m", "bench.relay.bare", "--upstream", upstream]),
    ]


def environment(upstream: str, folder: Path) -> dict[str, str]:
    """The environment of all programs; `folder` takes the fleet file."""
    fleet = folder / "fleet.json"
    fleet.write_text(json.dumps(bench_fleet()))
    others = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
    return others | {
        "ROUTER_FLEET": str(fleet),
        "ROUTER_ENDPOINTS": json.dumps(dict.fromkeys(RESOURCES, upstream)),
        "ROUTER_PROVIDER_KEYS": json.dumps(dict.fromkeys(RESOURCES, "bench")),
        "ROUTER_REGION": REGION,
        "ROUTER_KEYS": f"bench:{KEY_HASH}",
    }


def bench_fleet() -> Mapping[str, Any]:
    """One model, deployed twice, so that every request has a choice to make; its prior is the light load's truth."""
    prior = {"ttft_ms": 22, "ttft_p90_ms": 25, "ttft_p99_ms": 30, "tokens_per_second": 200, "p95_total_ms": 200}
    model = {
        "id": "bench",
        "vendor": "openai",
        "quality_tier": 3,
        "price_in": 1,
        "price_out": 4,
        "context_window": 128_000,
        "default_max_tokens": 1024,
        "max_output_tokens": 16_384,
        "latency": prior,
    }
    place = {"provider": "azure_openai", "model": "bench", "region": REGION, "type": "Standard", "concurrency": 10_000}
    quota = {"tokens_per_minute": WITHOUT_LIMIT, "requests_per_minute": WITHOUT_LIMIT}
    region = {"id": REGION, "geography": "us", "latitude": 37.37, "longitude": -79.82}
    deployments = [{"id": resource, "resource": resource, **place, **quota} for resource in RESOURCES]
    return {"models": [model], "regions": [region], "deployments": deployments}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port

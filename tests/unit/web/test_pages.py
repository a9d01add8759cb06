"""The small routes: what `readyz` says, and what no page says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from routing.engine.router import LatencyRouter
from routing.latency.tracker import LatencyTracker
from routing.ports import Override
from routing.settings import Settings
from routing.store.memory import MemoryStore
from routing.web import pages
from routing.web.auth import Keys
from routing.web.edge import Edge
from tests.unit.fleets import equal

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "path_params": {"id": "m"}})


def edge_of(*providers: Any, warnings: tuple[str, ...] = ()) -> Edge:
    router = LatencyRouter(LatencyTracker(equal(len(providers))), providers=providers)
    settings = Settings(fleet=Path("fleet.json"), region="eastus", endpoints={})
    return Edge(router, settings, Keys({}), MemoryStore(), list(warnings))


@pytest.mark.parametrize(
    ("providers", "warnings", "status", "said"),
    [
        ((object(), None), (), 200, "ready"),
        ((object(), None), ("a model retires",), 200, "degraded"),
        ((None, None), (), 503, "no_deployment"),
        ((None, None), ("a model retires",), 503, "no_deployment"),
    ],
)
def test_an_instance_is_ready_while_one_deployment_has_an_endpoint(
    providers: tuple[Any, ...], warnings: tuple[str, ...], status: int, said: str
) -> None:
    answer = pages.readyz(edge_of(*providers, warnings=warnings), REQUEST)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["status"], body["warnings"]) == (status, said, list(warnings))


@pytest.mark.parametrize("page", [pages.models, pages.model, pages.latency_profiles, pages.metrics])
def test_no_page_but_the_dry_run_names_the_author_of_an_order(page: Any) -> None:
    edge = edge_of(object(), object())
    edge.router.view.obey({d: Override(f"d{d}", "alice@corp.example", 4e9, "disable") for d in (0, 1)})
    assert "alice" not in repr(page(edge, REQUEST, b""))

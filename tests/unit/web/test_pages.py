"""The small routes: what `readyz` says, and what no page says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from routing.engine.router import LatencyRouter
from routing.errors import StoreUnavailable
from routing.latency.last_mile import FEWEST
from routing.latency.tracker import LatencyTracker
from routing.ports import Override
from routing.settings import Settings
from routing.store.memory import MemoryStore
from routing.web import pages
from routing.web.auth import Keys
from routing.web.edge import Edge
from tests.unit.fleets import equal

KEY = "sk-test"
HEADERS = [(b"api-key", KEY.encode())]
REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": HEADERS, "path_params": {"id": "m"}})


def edge_of(*providers: Any, warnings: tuple[str, ...] = ()) -> Edge:
    router = LatencyRouter(LatencyTracker(equal(len(providers))), providers=providers)
    settings = Settings(fleet=Path("fleet.json"), region="", endpoints={})
    keys = Keys({hashlib.sha256(KEY.encode()).hexdigest(): "tester"})
    return Edge(router, settings, keys, MemoryStore(), list(warnings))


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


def test_the_region_is_the_one_that_the_router_learns_for_also_where_no_setting_names_it() -> None:
    edge = edge_of(object())
    assert edge.settings.region == ""
    ready = json.loads(bytes(pages.readyz(edge, REQUEST).body))
    assert ready["region"] == pages.latency_profiles(edge, REQUEST, b"")["origin_region"] == edge.router.tracker.origin


def test_a_caller_sees_its_own_last_mile_only() -> None:
    edge = edge_of(object())
    now = edge.router.clock.now()
    for _ in range(FEWEST):
        edge.router.last_mile.add("tester", "eastus", 0.05, now)
        edge.router.last_mile.add("another", "westus", 0.07, now)
    assert pages.latency_profiles(edge, REQUEST, b"")["last_mile_ms"] == {"eastus": 50.0}


class Refusing(MemoryStore):
    """Fails as its `fault` says, while there is one."""

    fault: Exception | None = None

    async def overrides(self, now: float) -> list[Override]:
        """Of no deployment."""
        if self.fault is not None:
            raise self.fault
        return await super().overrides(now)


OF_THE_STORE = "the shared store does not answer: requests are served from memory, and nothing is shared"
OF_OURS = "sharing fails by a fault of ours (orders): the log has it"


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([], []),
        ([StoreUnavailable("away")], [OF_THE_STORE]),
        ([KeyError("ours")], [OF_OURS]),
        ([StoreUnavailable("away"), None], []),
        ([KeyError("ours"), None], []),
        ([StoreUnavailable("away"), None, KeyError("ours")], [OF_OURS]),
        ([KeyError("ours"), None, StoreUnavailable("away")], [OF_THE_STORE]),
    ],
)
async def test_a_fault_of_our_own_is_not_told_as_the_stores(faults: list[Exception | None], said: list[str]) -> None:
    edge = edge_of(object())
    edge.sync.store = store = Refusing()
    for store.fault in faults:
        await edge.sync.ordering.beat()
    assert edge.troubles() == said

"""The seed's promises, asked of `POST /v1/route`: priorities, tiers, capacity, load, home, distance, requirements."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from routing.fleet import Fleet
from routing.outcome import LatencyMeasurement
from tests.harness.served import KEY, Served

REGIONS = [
    {"id": "eastus", "aliases": ["us-east"], "geography": "us", "latitude": 37.37, "longitude": -79.82},
    {"id": "westeurope", "aliases": ["eu-west"], "geography": "eu", "latitude": 52.37, "longitude": 4.9},
]


def prior(ttft_ms: float, tokens_per_second: float) -> dict[str, float]:
    """A narrow prior."""
    return {
        "ttft_ms": ttft_ms, "ttft_p90_ms": 1.2 * ttft_ms, "ttft_p99_ms": 1.4 * ttft_ms,
        "tokens_per_second": tokens_per_second, "p95_total_ms": 2 * ttft_ms,
    }  # fmt: skip


def fleet(*rows: Mapping[str, Any]) -> Fleet:
    """A fleet of one model a row; a row changes a deployment, and its `tier` and `latency` the model."""
    models, deployments = [], []
    for row in rows:
        changes = dict(row)
        models.append(
            {
                "id": changes["id"],
                "vendor": "openai",
                "quality_tier": changes.pop("tier", 3),
                "price_in": 1.0,
                "price_out": 4.0,
                "context_window": 128_000,
                "default_max_tokens": 256,
                "max_output_tokens": 4096,
                "latency": changes.pop("latency"),
            }
        )
        deployments.append(
            {
                "provider": "azure_openai",
                "resource": "one",
                "model": changes["id"],
                "region": "eastus",
                "type": "Standard",
                "concurrency": 20,
                "tokens_per_minute": 60_000_000,
                "requests_per_minute": 600_000,
                **changes,
            }
        )
    return Fleet.model_validate_json(json.dumps({"regions": REGIONS, "models": models, "deployments": deployments}))


class Router:
    """Asks for decisions."""

    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        self.served, self._session = served, session

    async def route(self, **routing: Any) -> tuple[int, dict[str, Any]]:
        """(status, decision or error) for these hints."""
        url, headers = f"{self.served.url}/v1/route", {"authorization": f"Bearer {KEY}"}
        async with self._session.post(url, json={"routing": routing}, headers=headers) as response:
            return response.status, await response.json()

    def measure(self, deployment: str, ttft_ms: float, times: int = 30) -> None:
        """As if so many requests had seen this time to first token."""
        router = self.served.edge.router
        network = 1000 * router.tracker.net_s[router.tracker.index[deployment]]
        for _ in range(times):
            router.tracker.record(deployment, _measured(ttft_ms, network), router.clock.now())

    async def chosen(self, times: int = 40, **routing: Any) -> Counter[str]:
        """How often each deployment is chosen."""
        return Counter([(await self.route(**routing))[1]["deployment"] for _ in range(times)])


@asynccontextmanager
async def routing(*rows: Mapping[str, Any]) -> AsyncIterator[Router]:
    """A router over these deployments. Its endpoint does not exist: a decision calls no provider."""
    async with (
        Served(fleet(*rows), {"one": "http://127.0.0.1:9"}) as served,
        aiohttp.ClientSession() as session,
    ):
        yield Router(served, session)


async def test_the_three_priorities_choose_three_deployments() -> None:
    async with routing(
        {"id": "prompt", "latency": prior(100, 10)},
        {"id": "even", "latency": prior(600, 100)},
        {"id": "steady", "latency": prior(3000, 600)},
    ) as router:
        streaming = await router.chosen(priority="streaming")
        total = await router.chosen(priority="total")
        throughput = await router.chosen(priority="throughput")
        assert [c.most_common(1)[0][0] for c in (streaming, total, throughput)] == ["prompt", "even", "steady"]


async def test_a_minimum_tier_is_never_gone_below() -> None:
    async with routing(
        {"id": "simple", "tier": 3, "latency": prior(100, 200)}, {"id": "best", "tier": 5, "latency": prior(2000, 20)}
    ) as router:
        assert set(await router.chosen(min_quality_tier=5)) == {"best"}
        _, decision = await router.route(min_quality_tier=5)
        assert decision["excluded"]["simple"] == "quality_tier"


async def test_at_95_percent_of_its_slots_a_deployment_is_excluded() -> None:
    async with routing(
        {"id": "busy", "latency": prior(100, 200)}, {"id": "idle", "latency": prior(900, 200)}
    ) as router:
        slots = router.served.edge.router.view.slots
        leases = [slots.lease(0) for _ in range(18)]
        assert "busy" in await router.chosen(max_ttft_ms=2000)
        leases.append(slots.lease(0))  # 19 of 20
        _, decision = await router.route(max_ttft_ms=2000)
        assert (decision["deployment"], decision["excluded"]["busy"]) == ("idle", "at_capacity")
        assert all(leases)


async def test_load_adds_predicted_queue_time() -> None:
    async with routing({"id": "busy", "latency": prior(500, 50)}, {"id": "idle", "latency": prior(500, 50)}) as router:
        slots = router.served.edge.router.view.slots
        leases = [slots.lease(0) for _ in range(18)]
        _, decision = await router.route(max_ttft_ms=600)
        by_name = {c["deployment"]: c for c in decision["candidates"]}
        assert by_name["busy"]["queue_ms"] > 100
        assert by_name["idle"]["queue_ms"] == 0
        assert by_name["busy"]["predicted_ttft_ms"] > by_name["idle"]["predicted_ttft_ms"] + 100
        assert set(await router.chosen(max_ttft_ms=600)) == {"idle"}
        assert all(leases)


async def test_a_prediction_comes_with_its_quantiles_interval_evidence_and_age() -> None:
    async with routing(
        {"id": "known", "latency": prior(500, 50)}, {"id": "unknown", "latency": prior(500, 50)}
    ) as router:
        for _ in range(30):
            router.measure("known", 500)
        _, decision = await router.route(max_ttft_ms=600)
        known, unknown = sorted(decision["candidates"], key=lambda c: c["deployment"])
        for candidate in known, unknown:
            low, high = candidate["predicted_ttft_interval_ms"]
            assert low < candidate["predicted_ttft_ms"] < high
            assert (
                candidate["predicted_ttft_ms"] < candidate["predicted_ttft_p95_ms"] < candidate["predicted_ttft_p99_ms"]
            )
        widths = [c["predicted_ttft_interval_ms"][1] / c["predicted_ttft_interval_ms"][0] for c in (known, unknown)]
        assert widths[0] < widths[1]
        assert (known["samples"] > 20, unknown["samples"]) == (True, 0)
        assert (known["age_s"] < 60, unknown["age_s"]) == (True, None)


async def test_a_user_stays_at_home_until_that_costs_more_than_the_allowance() -> None:
    rows = (
        {"id": "near", "latency": prior(500, 50)},
        {"id": "far", "region": "westeurope", "latency": prior(450, 50)},
    )
    async with routing(*rows) as router:
        edge = router.served.edge.router
        user = {"user_id": "someone", "max_ttft_ms": 3000}
        key = _user_key("someone")
        edge.affinity.settle(key, "westeurope")
        for _ in range(20):
            _, decision = await router.route(**user)
            assert (decision["deployment"], decision["reason"]) == ("far", "sticky")
        router.measure("far", 2000)
        _, decision = await router.route(**user)
        assert (decision["deployment"], decision["reason"]) == ("near", "left_home")


async def test_a_nearer_region_wins_at_equal_model_latency() -> None:
    async with routing(
        {"id": "near", "latency": prior(300, 50)}, {"id": "far", "region": "westeurope", "latency": prior(300, 50)}
    ) as router:
        router.measure("near", 302)
        router.measure("far", 302 + 112)
        chosen = await router.chosen(max_ttft_ms=380)
        assert chosen["near"] > 9 * chosen["far"]
        _, decision = await router.route(max_ttft_ms=380)
        network = {c["deployment"]: c["network_ms"] for c in decision["candidates"]}
        assert network["far"] > network["near"] + 50


async def test_what_cannot_be_met_is_refused_where_it_is_required() -> None:
    async with routing({"id": "slow", "latency": prior(3000, 20)}) as router:
        status, error = await router.route(max_ttft_ms=500, require=True)
        assert (status, error["error"]["code"]) == (503, "slo_unattainable")
        status, decision = await router.route(max_ttft_ms=500)
        assert (status, decision["deployment"]) == (200, "slow")


async def test_residency_is_judged_by_where_inference_may_run() -> None:
    async with routing(
        {"id": "regional", "region": "westeurope", "type": "Standard", "latency": prior(900, 50)},
        {"id": "zonal", "region": "westeurope", "type": "DataZoneStandard", "latency": prior(900, 50)},
        {"id": "global", "region": "westeurope", "type": "GlobalStandard", "latency": prior(100, 50)},
        {"id": "american", "region": "eastus", "type": "Standard", "latency": prior(100, 50)},
    ) as router:
        assert set(await router.chosen(allowed_regions=["eu"])) == {"regional", "zonal"}
        assert set(await router.chosen(allowed_regions=["eu-west"])) == {"regional"}
        _, decision = await router.route(allowed_regions=["eu"])
        assert decision["excluded"] == {"global": "residency", "american": "residency"}


async def test_measured_latency_replaces_the_prior() -> None:
    async with routing(
        {"id": "praised", "latency": prior(200, 100)}, {"id": "honest", "latency": prior(600, 100)}
    ) as router:
        assert set(await router.chosen(max_ttft_ms=800)) == {"praised", "honest"}
        router.measure("praised", 1500)
        router.measure("honest", 600)
        assert set(await router.chosen(max_ttft_ms=800)) == {"honest"}


def _measured(ttft_ms: float, network_ms: float) -> LatencyMeasurement:
    return LatencyMeasurement(
        network_ms=network_ms,
        queue_ms=0,
        ttft_ms=ttft_ms,
        generation_ms=1000,
        total_ms=ttft_ms + 1000,
        tokens_generated=50,
    )


def _user_key(user: str) -> str:
    from routing.web.asking import user_key

    key = user_key("tester", user)
    assert key is not None
    return key

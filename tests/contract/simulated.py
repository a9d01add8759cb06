"""A running simulator for tests: a small calm fleet with tiny latencies, its clients, and its own account of itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from anthropic import AsyncAnthropic, AsyncAnthropicFoundry
from openai import AsyncAzureOpenAI, AsyncOpenAI

from local.simulator.app import serving
from local.simulator.world import World
from routing.fleet import Fleet

FAST = {"ttft_ms": 2.0, "ttft_p90_ms": 3.0, "ttft_p99_ms": 4.0, "tokens_per_second": 9_000.0, "p95_total_ms": 100.0}
ENDLESS = {**FAST, "tokens_per_second": 0.5}  # its second token comes after about two seconds, its last after minutes
PLENTY = {"concurrency": 100, "tokens_per_minute": 100_000_000, "requests_per_minute": 1_000_000}
GIVE_UP_S = 30  # nothing here takes a second: a guard against waiting for ever, not a limit under test
UNSUPPORTED = ["max_tokens", "temperature"]


def model(name: str, **fields: object) -> dict[str, Any]:
    """A model of the fleet."""
    facts = {"vendor": "other", "quality_tier": 3, "price_in": 1, "price_out": 1, "context_window": 10_000}
    return {"id": name, "default_max_tokens": 400, "max_output_tokens": 5_000, "latency": FAST, **facts, **fields}


def deployment(provider: str, resource: str, model_id: str, name: str = "", **fields: object) -> dict[str, Any]:
    """A deployment in the home region, with capacity to spare; its id is the resource's and its own name."""
    facts = {"region": "eastus", "type": "Standard", **PLENTY}
    own = name or model_id
    address = {"id": f"{resource}-{own}", "provider": provider, "resource": resource, "model": model_id, "name": name}
    return {**address, **facts, **fields}


DEPLOYMENTS = [
    deployment("azure_openai", "azure", "gpt"),
    deployment("azure_openai", "azure", "gpt", "renamed"),
    deployment("azure_openai", "azure", "reasoner"),
    deployment("azure_openai", "azure", "gpt", "endless", latency=ENDLESS),
    deployment("azure_openai", "azure", "gpt", "narrow", latency=ENDLESS, concurrency=1),
    deployment("azure_openai", "azure", "gpt", "one-call", requests_per_minute=1),
    deployment("azure_openai", "azure", "gpt", "few-tokens", tokens_per_minute=6_000),
    deployment("azure_openai", "far", "gpt", region="westeurope"),
    deployment("openai", "plain", "gpt"),
    deployment("openai_compatible", "compatible", "gpt"),
    deployment("claude_foundry", "foundry", "claude"),
    deployment("claude_foundry", "foundry", "claude", "endless", latency=ENDLESS),
    deployment("claude_foundry", "foundry", "claude", "narrow", latency=ENDLESS, concurrency=1),
    deployment("claude_foundry", "foundry", "claude", "one-call", requests_per_minute=1),
    deployment("anthropic", "direct", "claude"),
]
FLEET = {
    "models": [
        model("gpt", version="2026-01-01"),
        model("reasoner", unsupported_parameters=UNSUPPORTED),
        model("claude"),
    ],
    "regions": [
        {"id": "eastus", "aliases": ["us-east"], "geography": "us", "latitude": 37.4, "longitude": -79.8},
        {"id": "westeurope", "aliases": ["eu-west"], "geography": "eu", "latitude": 52.4, "longitude": 4.9},
    ],
    "deployments": DEPLOYMENTS,
}


def fleet() -> Fleet:
    """The fleet above."""
    return Fleet.model_validate_json(json.dumps(FLEET))


class Simulated:
    """A running simulator."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url, self.http = url, http

    def at(self, resource: str, path: str, origin: str = "us-east") -> str:
        """URL of a path at a resource, seen from a region."""
        return f"{self.url}/from/{origin}/to/{resource}/{path}"

    def openai(self, resource: str = "azure", origin: str = "us-east") -> AsyncOpenAI:
        """The openai SDK at a resource, as it is pointed at Azure's or OpenAI's v1 surface."""
        base = "v1" if resource in ("plain", "compatible") else "openai/v1"
        return AsyncOpenAI(base_url=self.at(resource, base, origin), api_key="any", max_retries=0)

    def azure(self) -> AsyncAzureOpenAI:
        """The openai SDK's Azure client, which calls by deployment."""
        endpoint = self.at("azure", "").rstrip("/")
        return AsyncAzureOpenAI(azure_endpoint=endpoint, api_key="any", api_version="2024-10-21", max_retries=0)

    def foundry(self) -> AsyncAnthropicFoundry:
        """The anthropic SDK at Foundry."""
        return AsyncAnthropicFoundry(base_url=self.at("foundry", "anthropic/"), api_key="any", max_retries=0)

    def anthropic(self) -> AsyncAnthropic:
        """The anthropic SDK at Anthropic."""
        return AsyncAnthropic(base_url=self.at("direct", ""), api_key="any", max_retries=0)

    async def deployment(self, name: str) -> dict[str, Any]:
        """What the simulator says of a deployment."""
        listed = (await self.http.get(f"{self.url}/deployments")).json()
        return next(d for d in listed if d["id"] == name)

    async def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for a deployment until `holds` is true of it; TimeoutError where that never comes."""
        async with asyncio.timeout(GIVE_UP_S):
            while not holds(seen := await self.deployment(name)):
                pass
        return seen

    async def fault(self, **order: object) -> httpx2.Response:
        """Give an order."""
        return await self.http.put(f"{self.url}/faults", json=order)


@asynccontextmanager
async def simulated(seed: int = 0) -> AsyncIterator[Simulated]:
    """Run a calm simulator of the fleet above."""
    async with serving(World(fleet(), seed, calm=True), 0) as url, httpx2.AsyncClient() as http:
        yield Simulated(url, http)

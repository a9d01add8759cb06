"""The app in the real Functions runtime, behind the local host, before simulated models: as a caller sees it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.host.program import ROOT, Program

KEY = "sk-canary-of-the-host-tests"
MESSAGES: Any = [{"role": "user", "content": "Tell me about the sea."}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PRIOR = {"ttft_ms": 40, "ttft_p90_ms": 60, "ttft_p99_ms": 90, "tokens_per_second": 400, "p95_total_ms": 900}
STEADY = {"ttft_ms": 400, "ttft_p90_ms": 440, "ttft_p99_ms": 480, "tokens_per_second": 60, "p95_total_ms": 2000}
OPENAI_MODELS = ("gpt", "gpt-dead", "gpt-500", "gpt-429")  # one for each fault: what is learned stays
REGIONS = [
    {"id": "eastus", "geography": "us", "latitude": 37.37, "longitude": -79.82},
    {"id": "westus", "geography": "us", "latitude": 37.78, "longitude": -122.42},
]


def fleet() -> dict[str, Any]:
    """Two regions with two models each: quick, so that the tests are."""
    model = {
        "quality_tier": 3, "price_in": 1, "price_out": 4, "context_window": 128_000, "default_max_tokens": 256,
        "max_output_tokens": 4096, "latency": PRIOR, "capabilities": ["tools"],
    }  # fmt: skip
    models = [
        *({"id": name, "vendor": "openai", **model} for name in OPENAI_MODELS),
        {"id": "claude", "vendor": "anthropic", **model, "capabilities": []},
        {"id": "steady", "vendor": "anthropic", **model, "capabilities": [], "latency": STEADY},
    ]
    limits = {"concurrency": 50, "tokens_per_minute": 60_000_000, "requests_per_minute": 60_000, "type": "Standard"}
    deployments = [
        {
            "id": f"{r['id']}-{m}",
            "provider": provider,
            "resource": f"{m}-{r['id']}",
            "model": m,
            "region": r["id"],
            **limits,
        }
        for r in REGIONS
        for m, provider in (
            *((name, "azure_openai") for name in OPENAI_MODELS),
            ("claude", "claude_foundry"),
            ("steady", "claude_foundry"),
        )
    ]
    return {"regions": REGIONS, "models": models, "deployments": deployments}


class World:
    """The simulated models, seen and steered from outside."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def deployments(self) -> dict[str, dict[str, Any]]:
        async with self._session.get("/deployments") as response:
            found = await response.json()
        rows = found["deployments"] if isinstance(found, dict) else found
        return {row["id"]: row for row in rows}

    async def hits(self) -> int:
        return sum(row["hits"] for row in (await self.deployments()).values())

    async def fault(self, **fault: Any) -> None:
        async with self._session.put("/faults", json={"for_s": 60, **fault}) as response:
            assert response.status == 200, await response.text()

    async def calm(self) -> None:
        async with self._session.delete("/faults") as response:
            assert response.status in (200, 204)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "fleet.json").write_text(json.dumps(fleet()))
    return folder


@pytest.fixture(scope="module")
def simulator(folder: Path) -> Iterator[str]:
    arguments = ("--port", "0", "--fleet", str(folder / "fleet.json"), "--seed", "7", "--calm")
    with Program("local.simulator", *arguments, errors=folder / "simulator.err") as program:
        yield program.line("listening ")


@pytest.fixture(scope="module")
def environment(folder: Path, simulator: str) -> dict[str, str]:
    resources = [d["resource"] for d in fleet()["deployments"]]
    return {
        "ROUTER_FLEET": str(folder / "fleet.json"),
        "ROUTER_REGION": "eastus",
        "ROUTER_ENDPOINTS": json.dumps({r: f"{simulator}/from/eastus/to/{r}" for r in resources}),
        "ROUTER_PROVIDER_KEYS": json.dumps(dict.fromkeys(resources, "simulated")),
        "ROUTER_KEYS": f"tester:{hashlib.sha256(KEY.encode()).hexdigest()}",
        "AzureWebJobs.probe.Disabled": "true",  # it would hold calls and learn from the faults that tests set
    }


@pytest.fixture(scope="module")
def url(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    with instance(folder / "host.err", environment) as program:
        yield program.line("listening ")
        assert program.stop() == 0


@pytest.fixture
def sister(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Another instance of the same app."""
    with instance(folder / "sister.err", environment) as program:
        yield program.line("listening ")


def instance(errors: Path, environment: dict[str, str]) -> Program:
    return Program("local.host", "--app", str(ROOT), "--port", "0", errors=errors, environment=environment)


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def http(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url, headers={"authorization": f"Bearer {KEY}"}) as session:
        yield session


@pytest.fixture
async def world(simulator: str) -> AsyncIterator[World]:
    async with aiohttp.ClientSession(simulator) as session:
        world = World(session)
        yield world
        await world.calm()


# ---------------------------------------------------------------------- the official client
async def test_the_official_client_streams(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, max_completion_tokens=40
    )
    words, finish, usage, ids = 0, None, None, set()
    async for chunk in stream:
        ids.add(chunk.id or "")
        usage = chunk.usage or usage
        for choice in chunk.choices:
            words += bool(choice.delta.content)
            finish = choice.finish_reason or finish
    assert words > 5
    assert finish in ("stop", "length")
    assert usage is not None
    assert usage.completion_tokens == words
    assert len(ids - {""}) == 1, "one id for the whole stream"


async def test_the_official_client_gets_a_whole_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.with_raw_response.create(model="gpt", messages=MESSAGES, max_tokens=40)
    parsed = answer.parse()
    assert parsed.choices[0].message.content
    assert parsed.usage is not None
    assert answer.headers["x-router-model"] == "gpt"
    assert answer.headers["x-router-region"] in ("eastus", "westus")


@pytest.mark.parametrize("stream", [True, False])
async def test_claude_answers_an_openai_client(client: openai.AsyncOpenAI, stream: bool) -> None:
    if stream:
        chunks = await client.chat.completions.create(
            model="claude", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, max_tokens=40
        )
        seen = [chunk async for chunk in chunks]
        text = "".join(c.choices[0].delta.content or "" for c in seen if c.choices)
        usage = seen[-1].usage
        assert {c.model for c in seen} == {"claude"}
    else:
        answer = await client.chat.completions.create(model="claude", messages=MESSAGES, max_tokens=40)
        text, usage = answer.choices[0].message.content or "", answer.usage
        assert answer.choices[0].finish_reason in ("stop", "length")
    assert len(text.split()) > 5
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0


async def test_tools_are_called_in_their_own_dialect(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="auto", messages=MESSAGES, tools=TOOLS, tool_choice="required", stream=True
    )
    name, arguments = "", ""
    async for chunk in stream:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "get_weather"
    assert "city" in json.loads(arguments)


async def test_a_request_with_tools_is_kept_from_deployments_of_another_dialect(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/route", json={"model": "auto", "messages": MESSAGES, "tools": TOOLS}) as response:
        decision = await response.json()
    assert decision["excluded"]["eastus-claude"] == "dialect: tools"


async def test_azure_clients_find_their_paths(url: str) -> None:
    client = openai.AsyncAzureOpenAI(azure_endpoint=url, api_key=KEY, api_version="2025-01-01", max_retries=0)
    async with client:
        answer = await client.chat.completions.create(model="gpt", messages=MESSAGES, max_tokens=10)
        assert answer.choices[0].message.content
        assert "gpt" in {model.id for model in (await client.models.list()).data}


# ---------------------------------------------------------------------- routes
async def test_a_dry_run_explains_and_calls_no_provider(http: aiohttp.ClientSession, world: World) -> None:
    before = await world.hits()
    async with http.post("/v1/route", json={"routing": {"max_ttft_ms": 400}}) as response:
        assert response.status == 200
        decision = await response.json()
    assert decision["deployment"] in {c["deployment"] for c in decision["candidates"]}
    assert {"probability", "predicted_ttft_ms", "network_ms", "samples"} <= set(decision["candidates"][0])
    assert await world.hits() == before


async def test_an_unknown_model_is_a_404_and_a_bad_hint_a_400_that_names_it(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-unheard-of", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(
            model="auto", messages=MESSAGES, extra_body={"routing": {"max_ttft_ms": "soon"}}
        )
    assert bad.value.param == "routing.max_ttft_ms"


async def test_models_and_profiles_are_listed(client: openai.AsyncOpenAI, http: aiohttp.ClientSession) -> None:
    assert {model.id for model in (await client.models.list()).data} == {*OPENAI_MODELS, "claude", "steady", "auto"}
    assert (await client.models.retrieve("claude")).id == "claude"
    async with http.get("/v1/profiles") as response:
        rows = (await response.json())["data"]
    assert {row["deployment"] for row in rows} == {d["id"] for d in fleet()["deployments"]}


ROUTES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/openai/v1/chat/completions"),
    ("POST", "/openai/deployments/gpt/chat/completions"),
    ("POST", "/v1/route"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/gpt"),
    ("GET", "/openai/models"),
    ("GET", "/openai/v1/models"),
    ("GET", "/v1/profiles"),
    ("POST", "/v1/measurements"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"api-key": ""}], ids=["none", "wrong", "empty"]
)
async def test_every_route_but_health_asks_for_a_key(url: str, method: str, path: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession(url) as session, session.request(method, path, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("name", ["authorization", "api-key", "x-api-key"])
async def test_a_key_may_come_in_any_of_three_headers(url: str, name: str) -> None:
    value = f"Bearer {KEY}" if name == "authorization" else KEY
    async with aiohttp.ClientSession(url) as session, session.get("/v1/models", headers={name: value}) as response:
        assert response.status == 200


async def test_health_needs_no_key(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        async with session.head("/healthz") as response:
            assert response.status == 200
        async with session.get("/readyz") as response:
            assert response.status == 200
            assert (await response.json())["status"] == "ready"


async def test_no_route_is_hidden_by_the_web_framework(http: aiohttp.ClientSession) -> None:
    """FastAPI answers /docs, /redoc and /openapi.json before any function: none of ours may be one of them."""
    framework = {"/docs", "/redoc", "/openapi.json"}
    assert not framework & {path for _, path in ROUTES}


async def test_what_frontends_measure_is_the_last_mile_of_their_users(http: aiohttp.ClientSession, sister: str) -> None:
    """The frontend waited 80 ms longer than the router, and reports it to an instance that did not answer."""
    body = {"model": "gpt", "messages": MESSAGES, "max_tokens": 5, "routing": {"user_region": "westus"}}
    async with aiohttp.ClientSession(sister, headers={"authorization": f"Bearer {KEY}"}) as other:
        for n in range(5):
            async with http.post("/v1/chat/completions", json=body | {"stream": n % 2 == 0}) as response:
                receipt, ttft_ms = response.headers["x-router-receipt"], float(response.headers["x-router-ttft-ms"])
                request_id = response.headers["x-request-id"]
                await response.read()
            report = {"receipt": receipt, "ttft_ms": ttft_ms + 80, "total_ms": ttft_ms + 500}
            async with other.post("/v1/measurements", json=report) as response:
                assert response.status == 200
                told = await response.json()
                assert (told["recorded"], told["request_id"]) == (True, request_id)
        async with other.get("/v1/profiles") as response:
            assert (await response.json())["last_mile_ms"] == {"westus": pytest.approx(80, abs=1)}
    for wrong in (5, "made up"):
        async with http.post("/v1/measurements", json={"receipt": wrong, "ttft_ms": 80}) as response:
            assert response.status == 400
            assert (await response.json())["error"]["param"] == "receipt"
    async with http.post("/v1/measurements", data=b"x" * 70_000) as response:
        assert response.status == 413


async def test_metrics_are_prometheus_text(client: openai.AsyncOpenAI, http: aiohttp.ClientSession) -> None:
    await client.chat.completions.create(model="gpt", messages=MESSAGES, max_tokens=5)
    async with http.get("/metrics") as response:
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    assert re.search(r'^router_requests_total\{status="200",outcome="ok"\} [1-9]', text, re.MULTILINE)
    assert re.search(r"^router_overhead_seconds_count [1-9]", text, re.MULTILINE)
    assert KEY not in text


# ---------------------------------------------------------------------- what is learned, and what is avoided
async def test_profiles_agree_with_what_the_models_really_did(
    client: openai.AsyncOpenAI, http: aiohttp.ClientSession, world: World
) -> None:
    """After 24 requests, within a tenth: the histogram's own error is a twentieth. Of a model that is slow enough for a
    busy machine's delays not to matter."""

    async def several() -> None:
        for _ in range(4):
            stream = await client.chat.completions.create(
                model="steady", messages=MESSAGES, stream=True, max_tokens=60, extra_body={"routing": {"hedge": "off"}}
            )
            async for _chunk in stream:
                pass

    await asyncio.gather(*(several() for _ in range(6)))
    async with http.get("/v1/profiles") as response:
        profiles = {row["deployment"]: row for row in (await response.json())["data"]}
    truth = await world.deployments()
    served = [name for name, row in truth.items() if row["completed"] >= 10 and "steady" in name]
    assert served
    for name in served:
        assert profiles[name]["ttft_p50_ms"] == pytest.approx(truth[name]["median_ttft_ms"], rel=0.1)
        assert profiles[name]["tokens_per_second"] == pytest.approx(truth[name]["median_tokens_per_second"], rel=0.1)


@pytest.mark.parametrize(
    "fault", [{"mode": "429", "retry_after_s": 30}, {"mode": "dead"}, {"mode": "500"}], ids=["429", "dead", "500"]
)
async def test_a_region_that_fails_is_left_and_the_explanation_says_why(
    http: aiohttp.ClientSession, world: World, fault: dict[str, Any]
) -> None:
    model = f"gpt-{fault['mode']}"
    await world.fault(deployment=f"eastus-{model}", **fault)
    body = {"model": model, "messages": MESSAGES, "max_tokens": 5, "routing": {"max_total_ms": 3000}}
    why = ""
    for _ in range(20):
        async with http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
            assert response.headers["x-router-region"] == "westus"
        why = why or await _why_not(http, f"eastus-{model}", body)
    assert why.startswith("rate_limited for" if fault["mode"] == "429" else "failing")


async def _why_not(http: aiohttp.ClientSession, deployment: str, body: dict[str, Any]) -> str:
    """What the explanation says against a deployment; empty for nothing."""
    async with http.post("/v1/route", json=body) as response:
        decision = await response.json()
    failing = {c["deployment"]: c["failing"] for c in decision["candidates"]}.get(deployment, 0.0)
    ejected = decision["excluded"].get(deployment, "").replace("ejected", "failing")
    return f"failing {failing}" if failing > 0.05 else ejected


async def test_a_region_that_hangs_is_answered_elsewhere_within_the_limit(
    http: aiohttp.ClientSession, world: World
) -> None:
    await world.fault(region="westus", mode="hang")
    await world.fault(region="eastus", mode="ok")
    body = {"model": "auto", "messages": MESSAGES, "max_tokens": 5, "stream": True, "routing": {"max_total_ms": 3000}}
    for _ in range(5):
        async with http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
            assert response.headers["x-router-region"] == "eastus"


async def test_a_slow_region_is_noticed_and_avoided(http: aiohttp.ClientSession, world: World) -> None:
    await world.fault(region="eastus", mode="slow", factor=30)
    body = {"model": "gpt", "messages": MESSAGES, "max_tokens": 5, "stream": True, "routing": {"max_ttft_ms": 500}}
    regions = []
    for _ in range(12):
        async with http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
            regions.append(response.headers["x-router-region"])
            await response.read()
    assert regions[-4:] == ["westus"] * 4


@pytest.mark.parametrize("after_first_token", [False, True], ids=["before", "after"])
async def test_a_caller_who_leaves_stops_the_model(
    http: aiohttp.ClientSession, world: World, after_first_token: bool
) -> None:
    if not after_first_token:
        await world.fault(region="eastus", mode="hang")
        await world.fault(region="westus", mode="hang")
    before = sum(row["aborts"] for row in (await world.deployments()).values())
    body = {"model": "gpt", "messages": MESSAGES, "max_tokens": 4000, "stream": True}
    if after_first_token:
        async with http.post("/v1/chat/completions", json=body) as response:
            await response.content.readany()
            response.close()
    else:
        hits = await world.hits()
        asking = asyncio.ensure_future(http.post("/v1/chat/completions", json=body))
        await until(world.hits, lambda count: count > hits)
        asking.cancel()
    assert await until(lambda: _aborts(world), lambda count: count > before) > before
    assert await until(lambda: _in_flight(http), lambda count: count == 0) == 0


async def _aborts(world: World) -> int:
    return sum(row["aborts"] for row in (await world.deployments()).values())


async def _in_flight(http: aiohttp.ClientSession) -> int:
    async with http.post("/v1/route", json={"routing": {}}) as response:
        return sum(c["in_flight"] for c in (await response.json())["candidates"])


async def until(read: Callable[[], Awaitable[int]], good: Callable[[int], bool]) -> int:
    """Ask again until the answer is good; the guard only bounds a failing test."""
    async with asyncio.timeout(5):
        while not good(value := await read()):  # noqa: ASYNC110  # what is waited for is in other processes
            await asyncio.sleep(0.02)
    return value

"""What the simulator refuses, in each vendor's words as the SDKs read them; and what it has no capacity for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.simulated import Simulated, simulated

HELLO: list[Any] = [{"role": "user", "content": "Hello, who are you?"}]
LONG: list[Any] = [{"role": "user", "content": "x" * 40_000}]  # the whole context window
NO_SCHEMA: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": 5}}}
BROKEN = {"model": "gpt", "messages": HELLO, "tools": [NO_SCHEMA], "tool_choice": "required"}
KEY = {"api-key": "any"}
CHAT = "openai/v1/chat/completions"


@pytest.fixture
async def sim() -> AsyncIterator[Simulated]:
    async with simulated() as running:
        yield running


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"model": "gpt", "messages": []}, 400, "messages", None),
        ({"model": "gpt", "messages": [{"role": "bob", "content": "x"}]}, 400, "messages[0].role", None),
        (BROKEN, 400, "tools", "invalid_function_parameters"),
        ({"model": "gpt", "messages": HELLO, "n": 2}, 400, "n", "invalid_value"),
        ({"model": "gpt", "messages": HELLO, "stream": "yes"}, 400, "stream", None),
        ({"model": "gpt", "messages": HELLO, "tool_choice": "required"}, 400, "tool_choice", None),
        ({"model": "gpt", "messages": HELLO, "stream_options": {"include_usage": True}}, 400, "stream_options", None),
        ({"model": "gpt", "messages": HELLO, "max_tokens": 9_999}, 400, "max_tokens", "invalid_value"),
        ({"model": "gpt", "messages": LONG}, 400, "messages", "context_length_exceeded"),
        ({"model": "reasoner", "messages": HELLO, "temperature": 0.5}, 400, "temperature", "unsupported_parameter"),
        ({"model": "reasoner", "messages": HELLO, "max_tokens": 5}, 400, "max_tokens", "unsupported_parameter"),
        ({"model": "gpt-9", "messages": HELLO}, 404, None, "DeploymentNotFound"),
        ({"model": "claude", "messages": HELLO}, 404, None, "DeploymentNotFound"),
    ],
)  # fmt: skip
async def test_azure_refuses_in_its_own_words(
    sim: Simulated, body: dict[str, Any], status: int, param: str | None, code: str | None
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        async with sim.openai() as client:
            await client.post("/chat/completions", body=body, cast_to=object)
    assert (caught.value.status_code, caught.value.param, caught.value.code) == (status, param, code)
    assert caught.value.request_id


async def test_parameters_a_model_does_not_know_are_named_by_null_as_if_absent(sim: Simulated) -> None:
    response = await sim.http.post(
        sim.at("azure", CHAT), headers=KEY, json={"model": "reasoner", "messages": HELLO, "temperature": None}
    )
    assert response.status_code == 200


async def test_openai_does_not_know_a_model(sim: Simulated) -> None:
    async with sim.openai("plain") as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "claude", "messages": HELLO}, "max_tokens: Field required"),
        ({"model": "claude", "messages": [], "max_tokens": 5}, "messages: List"),
        ({"model": "claude", "messages": [{"role": "bob", "content": ""}], "max_tokens": 5}, r"messages\.0\.role: "),
        ({"model": "claude", "messages": HELLO, "max_tokens": 9_999}, "max_tokens: 9999 > 5000"),
        ({"model": "claude", "messages": LONG, "max_tokens": 5}, "too long"),
    ],
)
async def test_anthropic_refuses_in_its_own_words(sim: Simulated, body: dict[str, Any], message: str) -> None:
    async with sim.foundry() as client:
        with pytest.raises(anthropic.BadRequestError, match=message) as caught:
            await client.post("/v1/messages", body=body, cast_to=object)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert caught.value.body["request_id"] == caught.value.request_id


async def test_anthropic_does_not_know_a_model(sim: Simulated) -> None:
    async with sim.foundry() as client:
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="gpt", messages=HELLO, max_tokens=5)


async def test_anthropic_wants_its_version(sim: Simulated) -> None:
    response = await sim.http.post(sim.at("foundry", "anthropic/v1/messages"), headers={"x-api-key": "any"}, json={})
    assert (response.status_code, response.json()["error"]["message"]) == (400, "anthropic-version: header is required")


@pytest.mark.parametrize("headers", [{}, {"api-key": ""}, {"authorization": "Bearer"}, {"authorization": "Basic x"}])
async def test_without_a_key_it_is_401_in_each_vendors_form(sim: Simulated, headers: dict[str, str]) -> None:
    azure = await sim.http.post(sim.at("azure", CHAT), headers=headers, json={})
    assert (azure.status_code, azure.json()["error"]["code"]) == (401, "401")
    claude = await sim.http.post(sim.at("direct", "v1/messages"), headers=headers, json={})
    assert (claude.status_code, claude.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("headers", [{"api-key": "k"}, {"x-api-key": "k"}, {"authorization": "Bearer k"}])
async def test_any_key_will_do(sim: Simulated, headers: dict[str, str]) -> None:
    response = await sim.http.post(sim.at("azure", CHAT), headers=headers, json={"model": "gpt", "messages": HELLO})
    assert response.status_code == 200


async def test_an_unknown_origin_region_is_404(sim: Simulated) -> None:
    response = await sim.http.post(sim.at("azure", CHAT, origin="mars"), headers=KEY, json={})
    assert (response.status_code, response.json()["error"]["field"]) == (404, "from")


async def test_calls_over_the_rate_are_429_and_say_when_to_come_back(sim: Simulated) -> None:
    async with sim.openai() as client:
        await client.chat.completions.create(model="one-call", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="one-call", messages=HELLO)
    told = refused.value.response.headers
    assert refused.value.code == "429"
    assert 1 < int(told["retry-after-ms"]) <= 60_000
    assert int(told["retry-after"]) == -(-int(told["retry-after-ms"]) // 1_000)
    async with sim.foundry() as claude:
        await claude.messages.create(model="one-call", messages=HELLO, max_tokens=5)
        with pytest.raises(anthropic.RateLimitError) as throttled:
            await claude.messages.create(model="one-call", messages=HELLO, max_tokens=5)
    assert throttled.value.response.headers["retry-after"]


@pytest.mark.parametrize("demand", [{"max_tokens": 4_000}, {}])  # 4,005 and 405 of 500 tokens of burst
async def test_a_call_counts_with_its_limit_or_the_models_own(sim: Simulated, demand: dict[str, int]) -> None:
    async with sim.openai() as client:
        await client.chat.completions.create(model="few-tokens", messages=HELLO, extra_body=demand)
        with pytest.raises(openai.RateLimitError, match="token rate limit"):
            await client.chat.completions.create(model="few-tokens", messages=HELLO, extra_body=demand)


@pytest.mark.parametrize(("resource", "status"), [("azure", 503), ("foundry", 529)])
async def test_over_its_concurrency_calls_queue_and_over_the_queue_they_are_refused(
    sim: Simulated, resource: str, status: int
) -> None:
    path = CHAT if resource == "azure" else "anthropic/v1/messages"
    headers = {**KEY, "anthropic-version": "2023-06-01"}
    body = {"model": "narrow", "messages": HELLO, "max_tokens": 1_000, "stream": True}

    async def call() -> int:
        return (await sim.http.post(sim.at(resource, path), headers=headers, json=body)).status_code

    calls = {asyncio.create_task(call()) for _ in range(3)}  # one runs, one waits, one is too many
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [status]
    assert len(waiting) == 2
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    seen = await sim.until(f"{resource}-narrow", lambda d: d["in_flight"] == 0)
    assert (seen["hits"], seen["aborts"]) == (3, 2)


async def test_the_wait_in_line_is_in_the_processing_time(sim: Simulated) -> None:
    async with sim.openai() as client:
        first = await client.chat.completions.create(model="narrow", messages=HELLO, stream=True)
        raw = client.chat.completions.with_raw_response
        second = asyncio.ensure_future(raw.create(model="narrow", messages=HELLO, max_tokens=1))
        await sim.until("azure-narrow", lambda d: d["in_flight"] == 2)
        since = time.monotonic()
        for _ in range(30):
            await sim.deployment("azure-narrow")
        waited_ms = (time.monotonic() - since) * 1000
        await first.close()
        told = (await second).headers
    assert int(told["openai-processing-ms"]) >= waited_ms - 2  # it may still have been on its way

"""The simulator as the vendors' own SDKs see it: answers, streams, usage, tools; and clients that leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.simulated import Simulated, simulated

HELLO: list[Any] = [{"role": "user", "content": "Hello, who are you?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TOOL: Any = {"name": "get_weather", "input_schema": PARAMETERS}
KEY = {"api-key": "any"}
CHAT = "openai/v1/chat/completions"


@pytest.fixture
async def sim() -> AsyncIterator[Simulated]:
    async with simulated() as running:
        yield running


@pytest.mark.parametrize("resource", ["azure", "plain", "compatible"])
async def test_openai_gives_a_whole_answer_with_true_usage(sim: Simulated, resource: str) -> None:
    async with sim.openai(resource) as client:
        answer = await client.chat.completions.create(model="gpt", messages=HELLO)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.content or "").endswith(".")
    assert answer.model == "gpt-2026-01-01"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5  # 19 bytes
    assert answer.usage.total_tokens == 5 + answer.usage.completion_tokens


async def test_openai_streams_the_same_answer_token_by_token(sim: Simulated) -> None:
    async with sim.openai() as client:
        whole = await client.chat.completions.create(model="gpt", messages=HELLO)
        stream = await client.chat.completions.create(
            model="gpt", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    tokens = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(tokens) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(tokens)
    assert {chunk.id for chunk in chunks[1:]} == {chunks[1].id}


async def test_azure_streams_begin_with_an_empty_chunk_and_a_role(sim: Simulated) -> None:
    async with sim.http.stream(
        "POST", sim.at("azure", CHAT), headers=KEY, json={"model": "gpt", "messages": HELLO, "stream": True}
    ) as response:
        lines = [line async for line in response.aiter_lines() if line]
    first, second, third = (json.loads(line.removeprefix("data: ")) for line in lines[:3])
    assert first["choices"] == []
    assert first["prompt_filter_results"]
    assert second["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert third["choices"][0]["delta"]["content"]
    assert lines[-1] == "data: [DONE]"
    assert "usage" not in third


async def test_plain_openai_has_no_azure_extras(sim: Simulated) -> None:
    response = await sim.http.post(
        sim.at("plain", "v1/chat/completions"), headers=KEY, json={"model": "gpt", "messages": HELLO, "stream": True}
    )
    assert "filter" not in response.text
    assert "x-ms-region" not in response.headers


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_openai_obeys_its_limits(sim: Simulated, limit: str) -> None:
    async with sim.openai() as client:
        answer = await client.chat.completions.create(model="gpt", messages=HELLO, extra_body={limit: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_azure_is_called_by_deployment_too(sim: Simulated) -> None:
    async with sim.azure() as client:
        await client.chat.completions.create(model="renamed", messages=HELLO)
    assert (await sim.deployment("azure-renamed"))["completed"] == 1


async def test_openai_headers_tell_time_place_and_what_is_left(sim: Simulated) -> None:
    async with sim.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(model="few-tokens", messages=HELLO, max_tokens=245)
    told = raw.headers
    assert int(told["openai-processing-ms"]) >= 1
    assert (told["x-ms-region"], told["azureml-model-session"]) == ("eastus", "simulated-eastus")
    assert told["apim-request-id"] == told["x-request-id"]
    assert (told["x-ratelimit-limit-tokens"], told["x-ratelimit-remaining-tokens"]) == ("6000", "3000")
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("1000000", "999988")


@pytest.mark.parametrize(
    ("choice", "words"), [("required", "Hello"), (FUNCTION, "Hello"), ("auto", "Use get_weather for Paris")]
)
async def test_openai_calls_a_tool_and_streams_its_arguments(sim: Simulated, choice: Any, words: str) -> None:
    ask: Any = {"model": "gpt", "messages": [{"role": "user", "content": words}], "tools": [FUNCTION]}
    async with sim.openai() as client:
        whole = await client.chat.completions.create(**ask, tool_choice=choice)
        chunks = [c async for c in await client.chat.completions.create(**ask, tool_choice=choice, stream=True)]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.tool_calls
    called = whole.choices[0].message.tool_calls[0]
    assert called.type == "function"
    assert called.function.name == "get_weather"
    assert list(json.loads(called.function.arguments)) == ["city"]
    deltas = [t for c in chunks if c.choices for t in c.choices[0].delta.tool_calls or ()]
    assert (deltas[0].id, deltas[0].function and deltas[0].function.name) == (deltas[0].id, "get_weather")
    pieces = [t.function.arguments for t in deltas if t.function and t.function.arguments]
    assert len(pieces) > 1
    assert "".join(pieces) == called.function.arguments


async def test_tools_that_nobody_asks_for_are_not_called(sim: Simulated) -> None:
    turns: Any = [{"role": "user", "content": "Use get_weather"}, {"role": "tool", "tool_call_id": "1", "content": "9"}]
    async with sim.openai() as client:
        for messages in (HELLO, turns):
            answer = await client.chat.completions.create(model="gpt", messages=messages, tools=[FUNCTION])
            assert answer.choices[0].finish_reason == "stop"


async def test_a_tools_result_is_answered_in_words(sim: Simulated) -> None:
    result: Any = {"type": "tool_result", "tool_use_id": "1", "content": "get_weather says 9"}
    async with sim.foundry() as client:
        answer = await client.messages.create(
            model="claude", messages=[{"role": "user", "content": [result]}], max_tokens=500, tools=[TOOL]
        )
    assert answer.stop_reason == "end_turn"


async def test_openai_answers_by_a_schema(sim: Simulated) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": PARAMETERS}}
    async with sim.openai() as client:
        answer = await client.chat.completions.create(model="gpt", messages=HELLO, response_format=wanted)
    assert list(json.loads(answer.choices[0].message.content or "")) == ["city"]


@pytest.mark.parametrize("client_of", [Simulated.foundry, Simulated.anthropic])
async def test_anthropic_streams_the_answer_it_gives_whole(sim: Simulated, client_of: Any) -> None:
    async with client_of(sim) as client:
        whole = await client.messages.create(model="claude", messages=HELLO, max_tokens=1_000)
        events = [e async for e in await client.messages.create(
            model="claude", messages=HELLO, max_tokens=1_000, stream=True
        )]  # fmt: skip
    kinds = [event.type for event in events]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[2:-3] == ["content_block_delta"] * len(deltas)
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(deltas) == whole.content[0].text
    assert events[0].message.usage.input_tokens == whole.usage.input_tokens == 5
    assert events[-2].usage.output_tokens == whole.usage.output_tokens == len(deltas)
    assert events[-2].delta.stop_reason == whole.stop_reason == "end_turn"


async def test_anthropic_pings_and_tells_what_is_left(sim: Simulated) -> None:
    response = await sim.http.post(
        sim.at("foundry", "anthropic/v1/messages?beta=true"),
        headers={"x-api-key": "any", "anthropic-version": "2023-06-01"},
        json={"model": "claude", "messages": HELLO, "max_tokens": 5, "stream": True},
    )
    assert 'event: ping\ndata: {"type":"ping"}\n\n' in response.text
    assert response.headers["request-id"]
    assert response.headers["anthropic-ratelimit-tokens-limit"] == "100000000"
    assert response.headers["anthropic-ratelimit-requests-remaining"] == "999988"
    assert response.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


async def test_anthropic_says_why_it_stops(sim: Simulated) -> None:
    async with sim.foundry() as client:
        whole = await client.messages.create(model="claude", messages=HELLO, max_tokens=1_000)
        limited = await client.messages.create(model="claude", messages=HELLO, max_tokens=4)
        assert whole.content[0].type == "text"
        word = whole.content[0].text.split()[2]
        stopped = await client.messages.create(
            model="claude", messages=HELLO, max_tokens=1_000, stop_sequences=["\0", word]
        )
    assert (limited.stop_reason, limited.usage.output_tokens) == ("max_tokens", 4)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    assert stopped.content[0].type == "text"
    assert word not in stopped.content[0].text


async def test_anthropic_calls_a_tool_and_streams_its_input(sim: Simulated) -> None:
    ask: Any = {
        "model": "claude",
        "messages": HELLO,
        "max_tokens": 500,
        "tools": [TOOL],
        "tool_choice": {"type": "any"},
    }
    async with sim.foundry() as client:
        whole = await client.messages.create(**ask)
        async with client.messages.stream(**ask) as stream:
            streamed = await stream.get_final_message()
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert whole.content[0].type == streamed.content[0].type == "tool_use"
    assert list(whole.content[0].input) == ["city"]
    assert streamed.content[0].input == whole.content[0].input


async def test_the_network_is_in_what_the_origin_sees_and_not_in_the_processing_time(sim: Simulated) -> None:
    rtt_ms = 100  # eastus to westeurope is 114
    since = time.monotonic()
    async with sim.openai("far") as client:
        async for _ in await client.chat.completions.create(model="gpt", messages=HELLO, stream=True):
            pass
    assert (time.monotonic() - since) * 1000 > rtt_ms
    assert (await sim.deployment("far-gpt"))["median_ttft_ms"] > rtt_ms


@pytest.mark.parametrize("client_of", [Simulated.openai, Simulated.foundry])
async def test_a_client_that_leaves_ends_its_generation(sim: Simulated, client_of: Any) -> None:
    async with client_of(sim) as client:
        create = client.messages.create if hasattr(client, "messages") else client.chat.completions.create
        stream = await create(model="endless", messages=HELLO, max_tokens=1_000, stream=True)
        async for _ in stream:
            break
        await stream.close()
    name = "foundry-endless" if hasattr(client, "messages") else "azure-endless"
    seen = await sim.until(name, lambda d: d["in_flight"] == 0)
    assert (seen["hits"], seen["aborts"], seen["completed"]) == (1, 1, 0)


async def test_a_client_that_leaves_before_the_answer_counts_too(sim: Simulated) -> None:
    async with sim.openai() as client:
        call = asyncio.create_task(client.chat.completions.create(model="endless", messages=HELLO))
        await sim.until("azure-endless", lambda d: d["in_flight"] == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert (await sim.until("azure-endless", lambda d: d["in_flight"] == 0))["aborts"] == 1


async def test_another_seed_gives_other_answers(sim: Simulated) -> None:
    async with simulated(seed=1) as other, sim.openai() as here, other.openai() as there:
        ours = await here.chat.completions.create(model="gpt", messages=HELLO)
        theirs = await there.chat.completions.create(model="gpt", messages=HELLO)
    assert ours.choices[0].message.content != theirs.choices[0].message.content

"""The simulator steered from outside, and as a program of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.contract.simulated import FLEET, GIVE_UP_S, Simulated, simulated

HELLO: list[Any] = [{"role": "user", "content": "Hello, who are you?"}]
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def sim() -> AsyncIterator[Simulated]:
    async with simulated() as running:
        yield running


async def openai_call(sim: Simulated) -> Any:
    async with sim.openai() as client:
        return await client.chat.completions.with_raw_response.create(model="gpt", messages=HELLO)


async def anthropic_call(sim: Simulated) -> Any:
    async with sim.foundry() as client:
        return await client.messages.create(model="claude", messages=HELLO, max_tokens=1_000)


@pytest.mark.parametrize("stream", [False, True])
async def test_slow_multiplies_the_time_to_the_first_token(sim: Simulated, stream: bool) -> None:
    await sim.fault(deployment="azure-gpt", mode="slow", factor=100)  # of 2 ms, and never less than half of it
    async with sim.openai() as client:
        raw = client.chat.completions.with_raw_response
        told = (await raw.create(model="gpt", messages=HELLO, max_tokens=1, stream=stream)).headers
    assert int(told["openai-processing-ms"]) > 50


async def test_dead_closes_without_an_answer(sim: Simulated) -> None:
    await sim.fault(region="us-east", mode="dead")
    with pytest.raises(openai.APIConnectionError):
        await openai_call(sim)
    with pytest.raises(anthropic.APIConnectionError):
        await anthropic_call(sim)
    seen = await sim.deployment("azure-gpt")
    assert (seen["hits"], seen["aborts"], seen["completed"], seen["in_flight"]) == (1, 0, 0, 0)


async def test_a_hang_ends_with_a_close_when_its_time_is_over(sim: Simulated) -> None:
    await sim.fault(deployment="azure-gpt", mode="hang", for_s=0.2)
    with pytest.raises(openai.APIConnectionError):
        await openai_call(sim)
    seen = await sim.deployment("azure-gpt")
    assert (seen["hits"], seen["aborts"], seen["fault"]) == (1, 0, None)


async def test_a_hang_without_a_time_lasts_until_the_client_leaves(sim: Simulated) -> None:
    await sim.fault(deployment="azure-gpt", mode="hang")
    call = asyncio.create_task(openai_call(sim))
    await sim.until("azure-gpt", lambda d: d["in_flight"] == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await sim.until("azure-gpt", lambda d: d["in_flight"] == 0))["aborts"] == 1


async def test_429_says_when_to_come_back(sim: Simulated) -> None:
    await sim.fault(region="eastus", mode="429", retry_after_s=1.25)
    with pytest.raises(openai.RateLimitError) as refused:
        await openai_call(sim)
    with pytest.raises(anthropic.RateLimitError) as throttled:
        await anthropic_call(sim)
    for told in (refused.value.response.headers, throttled.value.response.headers):
        assert (told["retry-after-ms"], told["retry-after"]) == ("1250", "2")


async def test_500_is_the_vendors(sim: Simulated) -> None:
    await sim.fault(region="eastus", mode="500")
    with pytest.raises(openai.InternalServerError) as broken:
        await openai_call(sim)
    assert broken.value.code == "500"
    with pytest.raises(anthropic.InternalServerError) as failed:
        await anthropic_call(sim)
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["error"]["type"] == "api_error"


async def collect(events: AsyncIterator[Any], into: list[Any]) -> None:
    async for event in events:
        into.append(event)


async def test_cut_resets_a_stream_after_5_to_20_tokens(sim: Simulated) -> None:
    await sim.fault(region="eastus", mode="cut")
    chunks: list[Any] = []
    events: list[Any] = []
    async with sim.openai() as client:
        stream = await client.chat.completions.create(model="gpt", messages=HELLO, stream=True)
        with pytest.raises(openai.APIConnectionError):
            await collect(aiter(stream), chunks)
    async with sim.foundry() as claude:
        messages = await claude.messages.create(model="claude", messages=HELLO, max_tokens=1_000, stream=True)
        with pytest.raises(httpx2.TransportError):
            await collect(aiter(messages), events)
    assert 5 <= len([c for c in chunks if c.choices and c.choices[0].delta.content]) <= 20
    assert 5 <= len([e for e in events if e.type == "content_block_delta"]) <= 20
    seen = await sim.deployment("azure-gpt")
    assert (seen["aborts"], seen["completed"], seen["in_flight"]) == (0, 0, 0)


async def test_cut_breaks_a_whole_answer_in_the_middle(sim: Simulated) -> None:
    await sim.fault(deployment="azure-gpt", mode="cut")
    with pytest.raises(openai.APIConnectionError):
        await openai_call(sim)


async def assert_reset(sim: Simulated) -> None:
    await sim.fault(deployment="azure-gpt", mode="cut")
    body = json.dumps({"model": "gpt", "messages": HELLO, "stream": True}).encode()
    url = httpx2.URL(sim.at("azure", "openai/v1/chat/completions"))
    head = f"POST {url.path} HTTP/1.1\r\nhost: x\r\napi-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode() + body)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_cut_shows_as_a_reset_and_not_as_an_end(sim: Simulated) -> None:
    await assert_reset(sim)


async def test_ok_and_delete_lift_faults(sim: Simulated) -> None:
    await sim.fault(region="eastus", mode="500")
    listed = (await sim.fault(deployment="azure-gpt", mode="ok")).json()
    assert "azure-gpt" not in {fault["deployment"] for fault in listed}
    assert (await openai_call(sim)).status_code == 200
    assert (await sim.http.delete(f"{sim.url}/faults")).json() == []
    assert (await sim.http.get(f"{sim.url}/faults")).json() == []
    await anthropic_call(sim)


async def test_a_deployment_shows_its_counters_and_its_fault(sim: Simulated) -> None:
    await sim.fault(deployment="foundry-claude", mode="slow", factor=2, for_s=60)
    async with sim.foundry() as client, client.messages.stream(
        model="claude", messages=HELLO, max_tokens=100
    ) as stream:  # fmt: skip
        await stream.get_final_message()
    seen = await sim.deployment("foundry-claude")
    assert {name: seen[name] for name in ("region", "model", "provider")} == {
        "region": "eastus",
        "model": "claude",
        "provider": "claude_foundry",
    }
    assert [seen[name] for name in ("hits", "aborts", "in_flight", "completed")] == [1, 0, 0, 1]
    assert seen["median_ttft_ms"] > 0
    assert seen["median_tokens_per_second"] > 0
    assert (seen["fault"]["mode"], seen["fault"]["factor"]) == ("slow", 2)
    assert 0 < seen["fault"]["remaining_s"] <= 60


async def test_a_wrong_order_is_400_and_names_the_field(sim: Simulated) -> None:
    response = await sim.fault(region="eastus", mode="slow", factor=0)
    assert response.status_code == 400
    assert response.json()["error"]["field"] == "factor"
    assert "greater than or equal to 1" in response.json()["error"]["message"]
    assert (await sim.http.get(f"{sim.url}/faults")).json() == []


async def test_it_is_healthy(sim: Simulated) -> None:
    assert (await sim.http.get(f"{sim.url}/healthz")).json() == {"status": "ok"}


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "local.simulator", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(GIVE_UP_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_program_says_where_it_listens_and_ends_at_a_signal(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text(json.dumps(FLEET))
    arguments = ("--port", "0", "--fleet", str(tmp_path / "fleet.json"), "--seed", "3", "--calm")
    async with program(*arguments) as running, httpx2.AsyncClient() as http:
        assert running.stdout is not None
        said = (await running.stdout.readline()).decode()
        assert said.startswith("listening http://127.0.0.1:")
        sim = Simulated(said.split()[1], http)
        assert (await openai_call(sim)).status_code == 200
        await assert_reset(sim)  # on its own event loop too
        running.send_signal(signal.SIGTERM)
        assert await running.communicate() == (b"", b"")
        assert running.returncode == 0


async def test_a_wrong_fleet_is_a_plain_message(tmp_path: Path) -> None:
    async with program("--port", "0", "--fleet", str(tmp_path / "none.json")) as running:
        _, err = await running.communicate()
        assert running.returncode == 2
    assert err.decode().startswith(f"simulator: {tmp_path}/none.json: No such file or directory")


async def test_a_taken_port_is_a_plain_message(sim: Simulated) -> None:
    async with program("--port", sim.url.rpartition(":")[2]) as running:
        _, err = await running.communicate()
        assert running.returncode == 2
    assert b"address already in use" in err
    assert b"Traceback" not in err

"""Receipts between instances: one answers, another takes the report."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from routing.latency.last_mile import FEWEST
from tests.harness.openai_wire import Chat, error
from tests.harness.served import KEY, Served, fleet
from tests.harness.upstream import Upstream

HEADERS = {"authorization": f"Bearer {KEY}"}
AT_HOME = {"user_region": "eastus"}


def chat(url: str, model: str, stream: bool, routing: dict[str, Any]) -> Any:
    """The call as an aiohttp context manager."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "."}], "routing": routing}
    return aiohttp.request("POST", f"{url}/v1/chat/completions", json=body, headers=HEADERS)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_instance_takes_the_receipts_of_another(stream: bool) -> None:
    """The frontend waited 80 ms longer than the router; the one that answered has remembered nothing of it."""
    answer = Chat("A").stream(3) if stream else Chat("A").answer(3)
    async with (
        Upstream(answer) as upstream,
        Served(fleet("a"), {"a": upstream.url}) as here,
        Served(fleet("a"), {"a": upstream.url}) as there,
    ):
        for _ in range(FEWEST):
            async with chat(here.url, "a", stream, AT_HOME) as response:
                receipt, ttft_ms = response.headers["x-router-receipt"], int(response.headers["x-router-ttft-ms"])
                request_id = response.headers["x-request-id"]
                await response.read()
            report = {"receipt": receipt, "ttft_ms": ttft_ms + 80, "total_ms": ttft_ms + 500}
            async with aiohttp.request(
                "POST", f"{there.url}/v1/measurements", json=report, headers=HEADERS
            ) as response:
                told = await response.json()
            assert (told["recorded"], told["request_id"]) == (True, request_id)
        now = there.edge.router.clock.now()
        assert there.edge.router.last_mile.known("tester", now) == {"eastus": pytest.approx(80, abs=1)}
        assert here.edge.router.last_mile.known("tester", now) == {}


async def test_there_is_no_receipt_where_a_report_would_teach_nothing() -> None:
    """The user may be anywhere, or there was no answer."""
    async with (
        Upstream(Chat("A").stream(3)) as upstream,
        Upstream(error(400, "bad")) as refusing,
        Served(fleet("a", "b"), {"a": upstream.url, "b": refusing.url}) as router,
    ):
        for model, routing, status in (("a", {}, 200), ("b", AT_HOME, 400), ("a", AT_HOME, 200)):
            async with chat(router.url, model, True, routing) as response:
                assert response.status == status
                assert ("x-router-receipt" in response.headers) is (status == 200 and routing == AT_HOME)

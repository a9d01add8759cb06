"""The worker keeps a pair of objects of every HTTP call; `forget` takes it out."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from azure_functions_runtime import http_v2

from routing.web.coordinator import INVOCATION_ID, forget
from tests.harness.served import Served, fleet

http_coordinator: Any = http_v2.http_coordinator  # untyped, and not public


async def _call(invocation: str) -> None:
    """What the worker does for one call, in its own words."""
    http_coordinator.set_http_request(invocation, object())
    await http_coordinator.get_http_request_async(invocation)
    http_coordinator.set_http_response(invocation, object())
    await http_coordinator.await_http_response_async(invocation)


async def test_the_worker_still_keeps_every_call_for_ever() -> None:
    """When this fails, the worker was mended: routing/web/coordinator.py and its two calls can go."""
    await _call("kept")
    assert "kept" in http_coordinator._context_references
    forget({INVOCATION_ID: "kept"})


async def test_forget_takes_out_its_own_call_and_no_other() -> None:
    await _call("mine")
    await _call("another")
    forget({INVOCATION_ID: "mine"})
    assert "mine" not in http_coordinator._context_references
    assert "another" in http_coordinator._context_references
    forget({INVOCATION_ID: "another"})
    forget({})
    forget({INVOCATION_ID: "never seen"})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/healthz"])
async def test_every_kind_of_answer_takes_its_call_out(path: str) -> None:
    """Chat, page and sign of life, whatever they answer."""
    invocation = f"call of {path}"
    await _call(invocation)
    async with Served(fleet("a"), {"a": "http://127.0.0.1:9"}) as router, aiohttp.ClientSession() as session:
        async with session.post(router.url + path, headers={INVOCATION_ID: invocation}) as response:
            assert response.status in (200, 401)
        assert invocation not in http_coordinator._context_references

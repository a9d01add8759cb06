"""The worker keeps a pair of objects of every HTTP call; `forget` takes it out."""

from __future__ import annotations

from typing import Any

from azure_functions_runtime import http_v2

from routing.web.coordinator import INVOCATION_ID, forget

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

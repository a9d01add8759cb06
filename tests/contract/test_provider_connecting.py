"""No connection to the model: whatever the reason, it is known that the model has taken no byte."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp.connector
import pytest

from routing.errors import ConnectFailed
from routing.ports import Way
from tests.contract.endpoints import endpoint, whole
from tests.harness import ports
from tests.harness.eventually import eventually
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.tls import Authority
from tests.harness.upstream import Upstream

A = Chat("A")
kinds = pytest.mark.parametrize("kind", ["azure_openai", "claude_foundry"])


async def not_connected(url: str, kind: str = "azure_openai") -> ConnectFailed:
    async with no_leaks(), endpoint(kind, url) as asked:
        with pytest.raises(ConnectFailed) as failure:
            await asked.open()
    assert not failure.value.accepted, "no byte was accepted, so even what must not run twice may be sent elsewhere"
    return failure.value


@kinds
async def test_a_port_that_refuses_is_a_failed_connection(kind: str) -> None:
    with ports.refused() as port:
        await not_connected(f"http://127.0.0.1:{port}", kind)


@kinds
async def test_a_name_that_does_not_resolve_is_a_failed_connection(kind: str) -> None:
    await not_connected("http://resource.invalid", kind)


async def test_a_port_that_does_not_accept_is_a_failed_connection_after_the_connect_timeout() -> None:
    """In real time: the only thing that ends it is the transport's own limit of one second."""
    with ports.full_backlog() as port:
        failure = await not_connected(f"http://127.0.0.1:{port}")
    assert isinstance(failure.__cause__, aiohttp.ConnectionTimeoutError)


async def test_a_call_tells_whether_it_is_still_connecting() -> None:
    """So that whoever gives it up knows that the model was never asked."""
    with ports.full_backlog() as port:
        async with endpoint("azure_openai", f"http://127.0.0.1:{port}") as asked:
            way = Way()
            opening = asyncio.create_task(asked.open(way=way))
            await eventually(lambda: way.connecting)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
    async with Upstream(A.stream(2)) as upstream, endpoint("azure_openai", upstream.url) as asked:
        way = Way()
        assert (await whole(await asked.open(way=way))).content == 2
        assert not way.connecting


@kinds
async def test_tls_to_a_plain_port_is_a_failed_connection(kind: str) -> None:
    async with Upstream() as upstream:
        await not_connected(upstream.url.replace("http://", "https://"), kind)


async def test_a_certificate_of_an_unknown_authority_is_a_failed_connection() -> None:
    async with Upstream(tls=Authority().server()) as upstream:
        await not_connected(upstream.url)
        assert not upstream.hits


@pytest.mark.parametrize("fault", [{"address": "127.0.0.2"}, {"expired": True}], ids=["wrong-name", "expired"])
async def test_a_bad_certificate_of_a_known_authority_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    authority = Authority()
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.client())
    async with Upstream(tls=authority.server(**fault)) as upstream:
        await not_connected(upstream.url)
        assert (len(upstream.hits), upstream.connections <= 1) == (0, True), "never tried again, with or without TLS"


async def test_a_good_certificate_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this one, the two above could fail for any reason."""
    authority = Authority()
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.client())
    async with Upstream(A.stream(2), tls=authority.server()) as upstream, endpoint("azure_openai", upstream.url) as it:
        answer = await it.open()
        assert (await whole(answer)).content == 2
        assert answer.signals.connect_ms is not None

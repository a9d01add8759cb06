"""The fault proxy: what it passes on, and each of its faults, between a real client and the scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.harness import ports
from tests.harness.eventually import eventually
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.proxy import FaultProxy
from tests.harness.script import HANG, RESET, end
from tests.harness.upstream import Upstream
from tests.harness.wire import LAST_CHUNK, chunk, stream_head, whole

HEAD = stream_head()
# A failing test ends instead of hanging.
GUARD = aiohttp.ClientTimeout(total=20)
# By so much a timer may be early: event loops round.
TICK_S = 0.002
BEFORE = [HEAD, chunk(b"before")]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream([whole(200, b"{}")]) as served:
        yield served


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(upstream.port) as between:
        yield between


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=GUARD) as opened:
        yield opened


async def begun(session: aiohttp.ClientSession, proxy: FaultProxy) -> aiohttp.ClientResponse:
    """A call through the proxy whose first bytes are there."""
    response = await session.post(proxy.url)
    assert await response.content.readany() == b"before"
    return response


async def test_without_a_fault_every_byte_passes_both_ways_and_nothing_stays(upstream: Upstream) -> None:
    body, events = bytes(range(256)) * 4_000, Chat("A").events(50)
    async with no_leaks(), FaultProxy(upstream.port) as proxy, aiohttp.ClientSession() as session:
        upstream.then([HEAD, *map(chunk, events), LAST_CHUNK])
        async with session.post(proxy.url, data=body) as response:
            assert await response.read() == b"".join(events)
        assert upstream.hits[0].body == body


async def test_latency_is_added_to_each_direction(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    proxy.latency_s = 0.05
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with session.post(proxy.url) as response:
        await response.read()
    assert upstream.hits[0].received_at - start >= 0.05 - TICK_S
    assert loop.time() - start >= 0.1 - TICK_S


async def test_latency_delays_pieces_and_does_not_add_up_over_them(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    gate = asyncio.Event()
    upstream.then([*BEFORE, gate, *[chunk(b"x")] * 500, LAST_CHUNK])
    response = await begun(session, proxy)
    proxy.latency_s = 0.2
    loop = asyncio.get_running_loop()
    start = loop.time()
    gate.set()
    assert await response.read() == b"x" * 500
    # One after the other they would take 100 s.
    assert 0.2 - TICK_S <= loop.time() - start < 50


@pytest.mark.parametrize("kept", [0, 40])
async def test_a_cut_loses_the_rest_of_an_answer_whose_request_was_served(
    upstream: Upstream, proxy: FaultProxy, kept: int
) -> None:
    proxy.cut_after = kept
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
    answer = whole(200, b"{}")
    assert await reader.read() == answer[:kept]
    writer.close()
    assert upstream.hits[0].body == b"{}"


async def test_a_reset_of_the_proxy_reaches_both_sides(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    upstream.then([*BEFORE, HANG])
    response = await begun(session, proxy)
    await proxy.reset()
    with pytest.raises(aiohttp.ClientPayloadError, match="ConnectionResetError"):
        await response.read()
    await eventually(upstream.hits[0].aborted.is_set)


async def test_a_reset_of_the_upstream_passes_as_a_reset(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    gate = asyncio.Event()
    upstream.then([*BEFORE, gate, RESET])
    response = await begun(session, proxy)
    gate.set()
    with pytest.raises(aiohttp.ClientPayloadError, match="ConnectionResetError"):
        await response.read()


async def test_a_client_that_leaves_is_seen_through_the_proxy(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    upstream.then([*BEFORE, HANG])
    response = await begun(session, proxy)
    response.close()
    await eventually(upstream.hits[0].aborted.is_set)


async def test_a_client_that_resets_is_seen_through_the_proxy(upstream: Upstream, proxy: FaultProxy) -> None:
    upstream.then([HANG])
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
    hit = await upstream.hit(0)
    end(writer, RESET)
    await eventually(hit.aborted.is_set)


async def test_a_black_hole_takes_the_request_and_passes_nothing_on(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    proxy.blackhole = True
    call = asyncio.create_task(session.post(proxy.url))
    await eventually(lambda: upstream.open_connections == 1)
    with pytest.raises(AssertionError, match="call 0 reaches the upstream"):
        await upstream.hit(0, guard_s=0.05)
    call.cancel()
    await eventually(lambda: upstream.open_connections == 0)


async def test_down_refuses_and_up_serves_on_the_same_port(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    upstream.then([*BEFORE, HANG])
    response, port = await begun(session, proxy), proxy.port
    await proxy.down()
    with pytest.raises(aiohttp.ClientPayloadError, match="ConnectionResetError"):
        await response.read()
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.post(proxy.url)
    await proxy.up()
    assert proxy.port == port
    assert (await session.post(proxy.url)).status == 200


async def test_a_target_that_refuses_resets_the_client(session: aiohttp.ClientSession) -> None:
    with ports.refused() as port:
        async with FaultProxy(port) as proxy:
            with pytest.raises(aiohttp.ClientOSError):
                await session.post(proxy.url)

"""The fake upstream and the load generator's client, over a socket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bench.relay.client import Connection, Request, request
from bench.relay.tokens import FIRST_TOKEN, BadAnswer, check, timing
from bench.relay.upstream import CALLS_PATH, FIRST_TOKEN_S, PATH, Upstream


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """A client's connection to an upstream."""
    loop = asyncio.get_running_loop()
    calls: Counter[bytes] = Counter()
    server = await loop.create_server(lambda: Upstream(calls), "127.0.0.1", 0)
    transport, made = await loop.create_connection(Connection, "127.0.0.1", server.sockets[0].getsockname()[1])
    yield made
    transport.close()
    server.close()
    server.close_clients()
    await server.wait_closed()


def asked(mode: str, *, stream: bool, path: bytes = PATH) -> Request:
    """A request as a program under test sends it on."""
    sent = request(mode, stream=stream)
    return Request(sent.before.replace(b"/v1/chat/completions", path), sent.after)


@pytest.mark.parametrize(("mode", "stream"), [("light", True), ("peak", True), ("peak", False)])
async def test_answers_are_whole_and_the_connection_serves_again(
    connection: Connection, mode: str, *, stream: bool
) -> None:
    for _ in range(2):
        pieces = await connection.ask(asked(mode, stream=stream))
        check(b"".join(data for _, data in pieces), stream=stream)
        assert connection.fresh


async def test_light_stream_tells_its_own_wait_for_the_first_token(connection: Connection) -> None:
    seen = timing(await connection.ask(asked("light", stream=True)))
    assert seen.upstream_wait >= 1e9 * FIRST_TOKEN_S - 1e6  # timers are a millisecond coarse
    assert min(seen.lags) >= 0


async def test_held_stream_gives_its_first_token_and_no_more(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.relay.upstream.FIRST_TOKEN_S", 0)
    monkeypatch.setattr("bench.relay.upstream.BETWEEN_TOKENS_S", 0)
    pieces = await connection.ask(asked("held", stream=True), until=FIRST_TOKEN)
    for _ in range(200):  # turns of the loop, in which a stream that is not held would go on
        await asyncio.sleep(0)
    assert b"".join(data for _, data in pieces).count(b"~") == 1
    assert connection.open


async def test_answer_that_ends_where_one_was_to_be_held_is_refused(connection: Connection) -> None:
    with pytest.raises(BadAnswer, match="held open"):
        await connection.ask(asked("peak", stream=True), until=b"never there")


async def test_upstream_counts_the_chat_requests(connection: Connection) -> None:
    for _ in range(3):
        await connection.ask(asked("peak", stream=True))
    pieces = await connection.ask(asked("peak", stream=True, path=CALLS_PATH))
    assert b"".join(data for _, data in pieces) == b"3"


async def test_status_of_a_refusal_is_told(connection: Connection) -> None:
    with pytest.raises(BadAnswer, match="status 404"):
        await connection.ask(request("peak", stream=True))


async def test_connection_cut_in_the_middle_is_told(connection: Connection) -> None:
    answer = asyncio.ensure_future(connection.ask(asked("held", stream=True)))
    await asyncio.sleep(0)
    connection.close()
    with pytest.raises(BadAnswer, match="closed before"):
        await answer


def test_every_request_has_an_invocation_id_of_its_own() -> None:
    sent = request("peak", stream=True)
    ids = {sent.numbered().split(b"x-ms-invocation-id: ")[1].split(b"\r\n")[0] for _ in range(100)}
    assert len(ids) == 100
    assert {len(i) for i in ids} == {36}

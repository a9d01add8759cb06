"""One chat request at the ASGI seam: callers who stop reading, refusals, faults of our own, slow uploads, and what the
metrics say of each."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from routing.dialects import openai_chat
from routing.engine.clock import Clock
from routing.engine.router import LatencyRouter
from routing.errors import RouterError
from routing.latency.tracker import LatencyTracker
from routing.outcome import Signals
from routing.ports import Override, Piece
from routing.settings import Settings
from routing.store.memory import MemoryStore
from routing.web import chat, heading, wire
from routing.web.auth import Keys
from routing.web.chat import ChatResponse
from routing.web.edge import Edge
from tests.harness.eventually import eventually
from tests.unit.fleets import equal

KEY = "sk-test"
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "."}], "routing": {"max_ttft_ms": 900}}
WORD = Piece(raw=b'data: {"choices": []}\n\n', content=1)
END = Piece(raw=b'data: {"choices": []}\n\n', finish="stop", last=True)
WHOLE = Piece(raw=b'{"choices": []}', content=1, finish="stop", last=True)
KEEP_ALIVE = b": keep-alive\n\n"
GUARD_S = 5.0  # bounds a failing test


class Model:
    """A deployment that says its pieces; before an event among them it waits. It is provider and answer in one."""

    dialect = "openai"

    def __init__(self, *said: Piece | asyncio.Event, processing_ms: float | None = None) -> None:
        self._said, self.signals = said, Signals(processing_ms)
        self._left: Iterator[Piece | asyncio.Event] = iter(())

    async def open(self, *_: object) -> Model:
        self._left = iter(self._said)
        return self

    async def read(self) -> Piece | None:
        said = next(self._left, None)
        if isinstance(said, asyncio.Event):
            await said.wait()
            return await self.read()
        return said and Piece(said.raw, said.content, finish=said.finish, last=said.last)

    def abort(self, error: RouterError) -> None:
        """There is no connection."""

    async def warm(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        """There is no connection."""


class HandClock(Clock):
    """Stands still until it is moved."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 1e9

    def now(self) -> float:
        return self.at


class Call:
    """A caller's end of one request: what it sends, what it reads, and when it stops."""

    def __init__(self, edge: Edge, key: str = KEY, parts: int = 1, **changes: Any) -> None:
        self._edge, self._body = edge, json.dumps({**BODY, **changes}).encode()
        size = -(-len(self._body) // parts)
        self._parts = [self._body[at : at + size] for at in range(0, len(self._body), size)]
        self._headers = [(b"authorization", f"Bearer {key}".encode())]
        self.read: list[Message] = []
        self._received = 0
        self.stops: Callable[[Message], bool] = lambda _: False  # at which message it stops reading
        self.waits: Callable[[], None] = lambda: None  # what happens before each part
        self.leaves_after = self.pauses_after = -1  # so many parts

    async def run(self) -> None:
        """The whole exchange."""
        scope = {"type": "http", "method": "POST", "path": "/", "headers": self._headers, "path_params": {}}
        async with asyncio.timeout(GUARD_S):
            await ChatResponse(self._edge, Request(scope))(scope, self._receive, self._send)

    @property
    def status(self) -> int | None:
        return self.read[0]["status"] if self.read else None

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.read)

    def header(self, name: str) -> str:
        headers: Mapping[bytes, bytes] = dict(self.read[0]["headers"])
        return headers[name.encode()].decode()

    async def _receive(self) -> Message:
        self.waits()
        if self._received == self.leaves_after:
            return {"type": "http.disconnect"}
        if not self._parts or self._received == self.pauses_after:
            await asyncio.Event().wait()
        self._received += 1
        return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}

    async def _send(self, message: Message) -> None:
        self.read.append(message)
        if self.stops(message):
            await asyncio.Event().wait()


def edge_of(*models: Model, clock: Clock | None = None) -> Edge:
    """One instance in front of these."""
    router = LatencyRouter(LatencyTracker(equal(len(models))), providers=models, clock=clock)
    keys = Keys({hashlib.sha256(KEY.encode()).hexdigest(): "tester"})
    return Edge(router, Settings(fleet=Path("fleet.json"), region="eastus", endpoints={}), keys, MemoryStore(), [])


def requests(edge: Edge) -> list[str]:
    """What the metrics count, as `status outcome`, and of targets as `slo`."""
    text = edge.metrics.text(edge.sync, {})
    counted = [
        line for line in text.splitlines() if line.startswith(("router_requests_total{", "router_targets_total{"))
    ]
    return [line.partition("_total")[2] for line in counted]


def is_free(edge: Edge) -> bool:
    """Neither leases nor bytes of bodies are held."""
    return not any(edge.router.view.slots.in_flight) and edge.bodies._held == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not read at the first look is stalled."""
    monkeypatch.setattr(chat, "STALLED_S", 0.0)
    monkeypatch.setattr(chat, "LOOK_S", 0.001)


# ---------------------------------------------------------------------- callers who stop reading
@pytest.mark.parametrize(
    ("stream", "at"),
    [(True, "head"), (True, "first"), (True, "last"), (False, "head"), (False, "last")],
)
@pytest.mark.usefixtures("impatient")
async def test_a_caller_who_stops_reading_at_any_write_is_let_go(stream: bool, at: str) -> None:
    edge = edge_of(Model(WORD, WORD, END) if stream else Model(WHOLE))
    call = Call(edge, stream=stream)
    places = {
        "head": lambda message: message["type"] == "http.response.start",
        "first": lambda message: bool(message.get("more_body")),
        "last": lambda message: message["type"] == "http.response.body" and not message.get("more_body"),
    }
    call.stops = places[at]
    await call.run()
    assert is_free(edge)
    assert requests(edge) == ['{status="200",outcome="caller_stalled"} 1', '{slo="unanswered"} 1']


@pytest.mark.usefixtures("impatient")
async def test_a_caller_who_does_not_read_its_refusal_is_let_go() -> None:
    edge = edge_of(Model(WORD, END))
    call = Call(edge, key="wrong")
    call.stops = lambda _: True
    await call.run()
    assert is_free(edge)
    assert requests(edge) == ['{status="401",outcome="invalid_api_key"} 1']


async def test_one_keep_alive_at_a_time_is_under_way_and_one_that_is_not_read_ends_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "LOOK_S", 0.001)
    monkeypatch.setattr(chat, "KEEP_ALIVE_S", 0.001)
    monkeypatch.setattr(chat, "STALLED_S", 0.05)
    edge = edge_of(Model(WORD, asyncio.Event()))
    call = Call(edge)
    call.stops = lambda message: message.get("body") == KEEP_ALIVE
    await call.run()
    assert [message.get("body") for message in call.read].count(KEEP_ALIVE) == 1
    assert is_free(edge)
    assert requests(edge) == ['{status="200",outcome="caller_stalled"} 1', '{slo="unanswered"} 1']


async def test_a_silent_stream_is_kept_open_as_long_as_its_keep_alives_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "LOOK_S", 0.001)
    monkeypatch.setattr(chat, "KEEP_ALIVE_S", 0.001)
    silence = asyncio.Event()
    edge = edge_of(Model(WORD, silence, END))
    call = Call(edge)
    running = asyncio.get_running_loop().create_task(call.run())
    await eventually(lambda: call.body.count(KEEP_ALIVE) >= 3, what="keep-alives come")
    silence.set()
    await running
    assert call.body.endswith(b"data: [DONE]\n\n")
    assert requests(edge) == ['{status="200",outcome="ok"} 1', '{slo="met"} 1']


async def test_nothing_is_sent_after_the_end_however_long_the_connection_to_the_model_takes_to_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "LOOK_S", 0.001)
    monkeypatch.setattr(chat, "KEEP_ALIVE_S", 0.001)

    class Slow(Model):
        async def close(self) -> None:
            """Several looks at the caller come before this is over."""
            closed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.02, closed.set)
            await closed.wait()

    call = Call(edge_of(Slow(WORD, END)))
    await call.run()
    assert not call.read[-1].get("more_body")
    assert KEEP_ALIVE not in call.body


# ---------------------------------------------------------------------- what is refused, and what is ours
@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"key": "wrong"}, '{status="401",outcome="invalid_api_key"} 1'),
        ({"model": "unheard-of"}, '{status="404",outcome="model_not_found"} 1'),
        ({"routing": {"nonsense": 1}}, '{status="400",outcome="invalid_request"} 1'),
        ({"messages": [{"role": "user", "content": "x" * 20 * 2**20}]}, '{status="413",outcome="request_too_large"} 1'),
    ],
    ids=["key", "model", "hint", "size"],
)
async def test_what_is_refused_before_routing_is_counted(changes: dict[str, Any], counted: str) -> None:
    edge = edge_of(Model(WORD, END))
    call = Call(edge, **changes)
    await call.run()
    assert requests(edge) == [counted]
    assert f'"{call.status}"' in counted
    assert is_free(edge)


async def test_a_caller_who_leaves_within_its_request_is_told_nothing_and_counted_as_such() -> None:
    edge = edge_of(Model(WORD, END))
    call = Call(edge, parts=3)
    call.leaves_after = 2
    await call.run()
    assert call.read == []
    assert requests(edge) == ['{status="499",outcome="caller_left"} 1']
    assert is_free(edge)


async def test_a_request_that_stops_coming_is_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PART_S", 0.0)
    edge = edge_of(Model(WORD, END))
    call = Call(edge, parts=3)
    call.pauses_after = 2
    await call.run()
    assert (call.status, json.loads(call.body)["error"]["code"]) == (408, "upload_timeout")
    assert call.header("x-should-retry") == "false"
    assert requests(edge) == ['{status="408",outcome="upload_timeout"} 1']
    assert is_free(edge)


async def test_a_fault_of_our_own_before_routing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "parse", lambda _: 1 / 0)
    edge = edge_of(Model(WORD, END))
    call = Call(edge)
    await call.run()
    assert call.status == 500
    assert requests(edge) == ['{status="500",outcome="internal_error"} 1']


async def test_a_fault_of_our_own_in_the_head_is_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is counted once, as what the caller got."""
    monkeypatch.setattr(heading, "of", lambda *_: 1 / 0)
    edge = edge_of(Model(WORD, END))
    call = Call(edge)
    await call.run()
    assert (call.status, json.loads(call.body)["error"]["code"]) == (500, "internal_error")
    assert json.loads(call.body)["error"]["router"]["request_id"] == call.header("x-request-id")
    assert requests(edge) == ['{status="500",outcome="internal_error"} 1', '{slo="unanswered"} 1']
    assert is_free(edge)


async def test_a_server_that_stops_is_not_held_up_and_its_answers_are_not_counted_as_whole() -> None:
    edge = edge_of(Model(WORD, asyncio.Event()))
    call = Call(edge)
    running = asyncio.get_running_loop().create_task(call.run())
    await eventually(lambda: WORD.raw in call.body, what="the stream runs")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert is_free(edge)
    assert requests(edge) == ['{status="200",outcome="internal_error"} 1', '{slo="unanswered"} 1']


async def test_a_caller_is_not_told_which_operator_has_disabled_everything() -> None:
    edge = edge_of(Model(WORD, END), Model(WORD, END))
    orders = {d: Override(f"d{d}", "alice@corp.example", 4e9, "disable", reason="canary") for d in (0, 1)}
    edge.router.view.obey(orders)
    call = Call(edge)
    await call.run()
    assert call.status == 503
    told = repr(call.read)
    assert "alice" not in told
    assert "canary" not in told


# ---------------------------------------------------------------------- what is told of an answer
@pytest.mark.parametrize(("processing_ms", "estimated"), [(None, True), (0.0, False)])
async def test_an_explanation_says_whether_the_provider_told_its_queue(
    processing_ms: float | None, estimated: bool
) -> None:
    call = Call(edge_of(Model(WHOLE, processing_ms=processing_ms)), stream=False, routing={"explain": True})
    await call.run()
    assert json.loads(call.body)["router"]["queue_estimated"] is estimated


async def test_the_time_of_a_slow_upload_is_neither_overhead_nor_counted_against_the_target() -> None:
    clock = HandClock()
    edge = edge_of(Model(WORD, END), clock=clock)
    call = Call(edge, parts=3)
    steps = itertools.chain([0.0, 5.0, 5.0], itertools.repeat(0.0))

    def wait() -> None:
        clock.at += next(steps)

    call.waits = wait
    await call.run()
    assert clock.at == 1e9 + 10
    assert (call.header("x-router-slo"), call.header("x-router-ttft-ms")) == ("met", "0")
    assert call.header("x-router-overhead-ms") == "0.00"
    assert requests(edge) == ['{status="200",outcome="ok"} 1', '{slo="met"} 1']

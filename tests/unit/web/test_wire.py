"""Request bodies: each bounded, all together bounded, and nothing stays counted that is no longer held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive

from routing.errors import CallerLeft, Overloaded, RequestTooLarge, RouterError, UploadTimeout
from routing.web import wire
from routing.web.wire import Bodies
from tests.harness.eventually import eventually

LIMIT, ALL = 100, 250
LEFT: dict[str, Any] = {"type": "http.disconnect"}


class Upload:
    """A caller's body, part by part; after the last that is given, it pauses for ever."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.pauses = False

    async def receive(self) -> dict[str, Any]:
        if not self._messages:
            self.pauses = True
            await asyncio.Event().wait()
        return self._messages.pop(0)


def part(size: int, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


def read(bodies: Bodies, receive: Receive, **headers: str) -> asyncio.Task[bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.get_running_loop().create_task(bodies.read(receive, named, LIMIT))


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> Bodies:
    monkeypatch.setattr(wire, "ALL_BYTES", ALL)
    return Bodies()


async def _all_is_free(bodies: Bodies) -> None:
    """As many bytes as there may be are taken, and given back."""
    for size in (LIMIT, LIMIT, ALL - 2 * LIMIT):
        assert len(await read(bodies, Upload(part(size, more=False)).receive)) == size
    with pytest.raises(Overloaded):
        await read(bodies, Upload(part(1, more=False)).receive)
    bodies.release(ALL)


async def test_a_body_in_parts_is_put_together(bodies: Bodies) -> None:
    first = {"type": "http.request", "body": b"ab", "more_body": True}
    last = {"type": "http.request", "body": b"c"}
    assert await read(bodies, Upload(first, {"type": "http.request", "more_body": True}, last).receive) == b"abc"
    bodies.release(3)
    await _all_is_free(bodies)


async def test_bodies_that_are_still_coming_in_count(bodies: Bodies) -> None:
    """Callers who pause within their bodies hold what they have sent; who comes too much is told to come later."""
    slow = [Upload(part(90)), Upload(part(90))]
    reading = [read(bodies, upload.receive) for upload in slow]
    await eventually(lambda: all(upload.pauses for upload in slow), what="both pause")
    with pytest.raises(Overloaded):
        await read(bodies, Upload(part(50), part(50, more=False)).receive)
    assert len(await read(bodies, Upload(part(70, more=False)).receive)) == 70, "the refused one's are free again"
    bodies.release(70)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await _all_is_free(bodies)


@pytest.mark.parametrize(
    ("messages", "refused"),
    [((part(60), part(60)), RequestTooLarge), ((part(60), LEFT), CallerLeft)],
    ids=["too-large", "caller-left"],
)
async def test_a_body_that_fails_gives_back_what_it_held(
    bodies: Bodies, messages: tuple[dict[str, Any], ...], refused: type[RouterError]
) -> None:
    for _ in range(5):
        with pytest.raises(refused):
            await read(bodies, Upload(*messages).receive)
    await _all_is_free(bodies)


async def test_a_refused_body_is_not_kept_by_its_error(bodies: Bodies) -> None:
    """Its answer may take long to send, and the error lives as long."""
    with pytest.raises(RequestTooLarge) as raised:
        await read(bodies, Upload(part(60), part(60)).receive)
    bodies_kept = [entry.locals["body"] for entry in raised.traceback if "body" in entry.locals]
    assert bodies_kept == [b"", b""]


async def test_a_body_that_is_declared_too_large_is_not_read(bodies: Bodies) -> None:
    unread: Callable[[], Any] = Upload().receive
    with pytest.raises(RequestTooLarge):
        await read(bodies, unread, content_length=str(LIMIT + 1))
    await _all_is_free(bodies)


async def test_a_body_that_falls_silent_is_given_up_and_gives_back_what_it_held(
    bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PART_S", 0.0)
    for upload in (Upload(), Upload(part(60)), Upload(part(30), part(30))):
        with pytest.raises(UploadTimeout) as refused:
            await read(bodies, upload.receive)
        assert refused.value.status == 408
        assert upload.pauses
    await _all_is_free(bodies)


class Slowly:
    """Receives part after part, and the loop's time moves by most of the longest pause before each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *parts: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        self._real, self._passed, self._upload = loop.time, 0.0, Upload(*parts)
        monkeypatch.setattr(loop, "time", lambda: self._real() + self._passed)

    async def receive(self) -> dict[str, Any]:
        self._passed += 0.8 * wire.PART_S
        await asyncio.sleep(0)
        return await self._upload.receive()


async def test_a_body_may_pause_between_any_two_of_its_parts(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly = Slowly(monkeypatch, part(10), part(10), part(10), part(10, more=False))
    assert len(await read(bodies, slowly.receive)) == 40
    bodies.release(40)
    await _all_is_free(bodies)


async def test_a_body_that_trickles_is_given_up(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly = Slowly(monkeypatch, *[part(1)] * 50, part(1, more=False))
    with pytest.raises(UploadTimeout):
        await read(bodies, slowly.receive)
    await _all_is_free(bodies)

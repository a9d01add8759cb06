"""The invariants: each holds for a clean run and fails, by its name, for the fault it is there to find."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.harness.answers import Answer, one_voice, typed_error
from tests.harness.canaries import no_canary, quiet_logs
from tests.harness.invariants import Evidence, attempts_bounded, invariants, losers_aborted, released
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.script import HANG
from tests.harness.upstream import Upstream
from tests.harness.wire import voice, words

KEY = "canary-of-the-key"
VOICES = {"A": voice("A", 12), "B": voice("B", 12)}
FAILED = {"message": "no deployment answered", "type": "api_error", "param": None, "code": "all_deployments_failed"}


def failed(status: int = 502, headers: tuple[tuple[str, str], ...] = (), **told: Any) -> Answer:
    """An error in OpenAI's dialect, with these members in place of good ones."""
    return Answer(status, headers, json.dumps({"error": {**FAILED, **told}}).encode())


async def test_a_clean_run_breaks_no_invariant() -> None:
    answers: list[Answer] = []
    times: list[float] = []
    async with Upstream(Chat("A").stream(3)) as upstream:
        evidence = Evidence(
            upstreams=[upstream], requests=lambda: times, reserve=0, voices=VOICES, canaries=[KEY],
            answers=lambda: answers, in_flight=lambda: {"a": 0}, total=lambda: 0, texts=lambda: ["a span"],
        )  # fmt: skip
        async with invariants(evidence), aiohttp.ClientSession() as session:
            times.append(asyncio.get_running_loop().time())
            async with session.post(upstream.url, headers={"api-key": KEY}) as response:
                answers.append(Answer(200, (), await response.read(), voice("A", 3)))
            answers.append(failed())
    assert len(upstream.hits) == 1


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (Evidence(in_flight=lambda: {"a": 1, "b": -1}), "I1: .*'a': 1, 'b': -1"),
        (Evidence(total=lambda: 1), "I1: .*'total': 1"),
        (Evidence(voices=VOICES, answers=lambda: [Answer(200, text="A1 B1 ")]), "I2: 'A1 B1 ' begins none"),
        (Evidence(answers=lambda: [Answer(502, body=b"oops")]), "I9: 502 without a JSON object"),
        (Evidence(canaries=[KEY], answers=lambda: [Answer(200, (("x-key", KEY),))]), "I7: canary"),
        (Evidence(canaries=[KEY], answers=lambda: [Answer(200, body=KEY.encode())]), "I7: canary"),
        (Evidence(canaries=[KEY], texts=lambda: [f"a label {KEY}"]), "I7: canary"),
    ],
)
async def test_a_broken_invariant_is_named(broken: Evidence, name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        async with invariants(broken, guard_s=0.02):
            pass


async def test_a_failing_test_tells_its_own_failure() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with invariants(Evidence(in_flight=lambda: {"a": 1})):
            raise KeyError("mine")


async def test_i1_waits_for_leases_that_are_just_being_closed() -> None:
    counts = iter([2, 2, 1, 1])
    await released(lambda: {"a": next(counts, 0)}, lambda: 0)


@pytest.mark.parametrize(("text", "owner"), [("", None), ("A1 ", "A"), ("B1 B", "B"), (VOICES["A"], "A")])
def test_i2_accepts_any_beginning_of_one_voice(text: str, owner: str | None) -> None:
    assert one_voice(text, VOICES) == owner


@pytest.mark.parametrize(
    "text",
    ["A1 A1 ", "A1 A3 ", "A2 ", "A1 B2 ", "A1 A2 B1 ", VOICES["A"] + "A13 ", "A10 "],
    ids=["twice", "left-out", "beginning-lost", "mixed", "second-voice", "too-much", "other-number"],
)
def test_i2_finds_what_no_single_upstream_said(text: str) -> None:
    with pytest.raises(AssertionError, match="I2"):
        one_voice(text, VOICES)


def test_i2_finds_two_upstreams_that_say_the_same() -> None:
    with pytest.raises(AssertionError, match="I2"):
        one_voice("A1 ", {"one": voice("A", 1), "two": voice("A", 2)})
    assert words("A", 2) == ["A1 ", "A2 "]


def test_i3_counts_attempts_in_each_window() -> None:
    requests = [float(second) for second in range(100)]
    attempts_bounded(requests * 1 + requests[::5], requests, reserve=0)
    burst = [*requests, *([50.0] * 3)]
    attempts_bounded(burst, requests, extra_ratio=0.2, reserve=1)
    with pytest.raises(AssertionError, match=r"I3: 13 attempts for 10 requests in 10 s from 41 s on"):
        attempts_bounded(burst, requests, extra_ratio=0.2, reserve=0)


@pytest.mark.parametrize("requests", [[], [2.0]])
def test_i3_finds_an_attempt_that_no_client_asked_for(requests: list[float]) -> None:
    with pytest.raises(AssertionError, match="I3: an attempt at 1 s before the first request"):
        attempts_bounded([1.0], requests)


async def test_i3_takes_its_attempts_from_the_upstreams() -> None:
    loop = asyncio.get_running_loop()
    async with Upstream(Chat("A").answer(1)) as upstream, aiohttp.ClientSession() as session:
        start = loop.time()
        await session.post(upstream.url)
        await session.post(upstream.url)
        with pytest.raises(AssertionError, match="I3: 2 attempts for 1 requests"):
            async with invariants(Evidence(upstreams=[upstream], requests=lambda: [start], reserve=0)):
                pass


async def test_i5_waits_for_the_abort_of_a_cancelled_attempt_and_finds_one_that_goes_on() -> None:
    async with Upstream([HANG]) as upstream, aiohttp.ClientSession() as session:
        call = asyncio.create_task(session.post(upstream.url + "/loser"))
        hit = await upstream.hit(0)
        with pytest.raises(AssertionError, match="I5: POST /loser"):
            await losers_aborted([hit], guard_s=0.02)
        call.cancel()
        await losers_aborted([hit])
        assert hit.aborted.is_set()


async def leave_a_task() -> object:
    return asyncio.create_task(asyncio.Event().wait(), name="left")


async def leave_a_socket() -> object:
    return socket.socket()


async def leave_a_pipe() -> object:
    return os.pipe()


@pytest.mark.parametrize(
    ("leave", "name"),
    [
        (leave_a_task, "I6: every task .*\n.*name='left'"),
        (leave_a_socket, "I6: every descriptor .*\nsocket:"),
        (leave_a_pipe, "I6: every descriptor .*\npipe:"),
    ],
)
async def test_i6_finds_what_is_still_there(leave: Callable[[], Any], name: str) -> None:
    left: Any = None
    with pytest.raises(AssertionError, match=name):
        async with no_leaks(guard_s=0.02):
            left = await leave()
    if isinstance(left, asyncio.Task):
        left.cancel()
    elif isinstance(left, socket.socket):
        left.close()
    else:
        for descriptor in left:
            os.close(descriptor)


async def test_i6_waits_for_a_task_that_is_ending_and_puts_every_hook_back() -> None:
    loop = asyncio.get_running_loop()
    before = sys.unraisablehook, loop.get_exception_handler()
    async with no_leaks():
        ending = loop.create_task(asyncio.sleep(0.01))
        assert sys.unraisablehook is not before[0]
    assert ending.done()
    assert (sys.unraisablehook, loop.get_exception_handler()) == before


async def test_i6_blames_no_block_for_earlier_garbage() -> None:
    cycle: list[Any] = [asyncio.create_task(fail())]
    cycle.append(cycle)
    await asyncio.wait(cycle[:1])
    del cycle
    async with no_leaks():
        pass


async def fail() -> None:
    raise KeyError("nobody looks")


async def drop_a_coroutine() -> None:
    asyncio.sleep(0)  # type: ignore[unused-coroutine]


async def drop_a_socket() -> None:
    cycle: list[Any] = [socket.socket()]
    cycle.append(cycle)  # only the garbage collector finds it


async def drop_a_session() -> None:
    aiohttp.ClientSession()


async def drop_a_failure() -> None:
    await asyncio.wait([asyncio.create_task(fail())])


async def drop_a_pending_task() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    asyncio.create_task(wait_for_nothing())  # noqa: RUF006  nobody keeps it: that is the fault
    await asyncio.sleep(0)
    gc.collect()


@pytest.mark.parametrize(
    ("drop", "name"),
    [
        (drop_a_coroutine, "never awaited"),
        (drop_a_socket, "unclosed <socket"),
        (drop_a_session, "Unclosed client session"),
        (drop_a_failure, "never retrieved: KeyError"),
        (drop_a_pending_task, "destroyed but it is pending"),
    ],
)
async def test_i6_finds_what_python_only_prints_whatever_the_filters_say(drop: Callable[[], Any], name: str) -> None:
    expected = f"I6: Python complained:\n.*{name}"
    with pytest.raises(AssertionError, match=expected), warnings.catch_warnings(action="ignore"):
        async with no_leaks():
            await drop()


@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
def test_i7_hears_loggers_that_are_closed_to_others(level: int) -> None:
    proud = logging.getLogger("tests.proud")
    proud.propagate = False
    proud.setLevel(logging.CRITICAL)
    expected = r"I7: in the logs: tests\.proud: canary 'canary-of-the-key'"
    with pytest.raises(AssertionError, match=expected), quiet_logs([KEY]):
        proud.log(level, "it is %s", KEY)
    assert (proud.level, proud.handlers) == (logging.CRITICAL, [])
    proud.propagate = True


def test_i7_reads_tracebacks() -> None:
    secret = ValueError(KEY)
    with pytest.raises(AssertionError, match=r"I7: in the logs: tests\.quiet"), quiet_logs([KEY]):
        logging.getLogger("tests.quiet").debug("failed", exc_info=secret)


@pytest.mark.parametrize("canary", ["short", "with spaces in it", "with/slashes-in-it"])
def test_i7_refuses_a_canary_that_proves_nothing(canary: str) -> None:
    with pytest.raises(ValueError, match="at least 12 letters, digits and dashes"):
        no_canary([canary], [])


def test_i9_accepts_the_schema_of_both_dialects() -> None:
    anthropic = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}, "request_id": "r"}
    assert typed_error(failed()) == "all_deployments_failed"
    assert typed_error(failed(param="routing.max_ttft_ms"), ["all_deployments_failed"]) == "all_deployments_failed"
    assert typed_error(Answer(503, (), json.dumps(anthropic).encode())) == "overloaded_error"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, body=b""),
        Answer(502, body=b"<html>Bad gateway</html>"),
        Answer(502, body=b'["error"]'),
        Answer(502, body=b'{"detail": "Not Found"}'),
        Answer(502, body=b'{"type": "error", "error": {"message": "no type"}}'),
        failed(message=""),
        failed(code=None),
        failed(code="Error 17"),
        failed(param=3),
        failed(message='Traceback (most recent call last):\n  File "x.py", line 3'),
        failed(message="cannot reach https://contoso.example/openai"),
        failed(message="cannot reach contoso.openai.azure.com"),
        failed(message="cannot connect to 10.0.0.4"),
        failed(message="wrong key sk-123"),
        failed(message="<routing.Attempt object at 0x7f00>"),
        failed(headers=(("x-router-deployment", "https://contoso"),)),
    ],
)
def test_i9_finds_an_error_without_type_or_with_our_inside(answer: Answer) -> None:
    with pytest.raises(AssertionError, match="I9: "):
        typed_error(answer)


def test_i9_knows_only_the_codes_there_are() -> None:
    with pytest.raises(AssertionError, match="I9: no stable code: 'all_deployments_failed'"):
        typed_error(failed(), ["overloaded"])

"""One request through the edge, the engine and the real transport: what the caller gets, whatever the models do."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from routing.web import chat
from tests.harness.answers import Answer
from tests.harness.clients import openai_client
from tests.harness.eventually import eventually
from tests.harness.incoming import Hit
from tests.harness.invariants import Evidence, invariants
from tests.harness.openai_wire import DONE, Chat, error
from tests.harness.script import CLOSE, HANG, RESET, Delay, Script, Step
from tests.harness.served import FAST, KEY, PROVIDER_KEY, Served, fleet
from tests.harness.upstream import Upstream
from tests.harness.wire import LAST_CHUNK, chunk, chunked, stream, stream_head, voice, words

SLOWER = {
    "ttft_ms": 3000.0,
    "ttft_p90_ms": 4000.0,
    "ttft_p99_ms": 5000.0,
    "tokens_per_second": 200.0,
    "p95_total_ms": 9000.0,
}
PROMPT = "canary-prompt-of-the-caller"
TOKENS = 5
A, B = Chat("A"), Chat("B")
BODY = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
HINTS = {"max_ttft_ms": 1000}


class Caller:
    """Calls the router as a frontend does, and keeps what it got."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self.answers: list[Answer] = []

    async def chat(self, **changes: Any) -> Answer:
        """One whole exchange."""
        async with self.open(**changes) as response:
            body = await response.read()
        return self.keep(response, body)

    def open(self, path: str = "/v1/chat/completions", key: str = KEY, **changes: Any) -> Any:
        """The call as an aiohttp context manager."""
        body = {**BODY, "routing": HINTS, **changes}
        return self._session.post(self._url + path, json=body, headers={"authorization": f"Bearer {key}"})

    def keep(self, response: aiohttp.ClientResponse, body: bytes) -> Answer:
        """Keep an answer for the invariants."""
        words = (
            [part.split(b'"')[0].decode() for part in body.split(b'"content":"')[1:]] if response.status == 200 else []
        )
        headers = tuple(response.headers.items())
        answer = Answer(response.status, headers, body, "".join(words))
        self.answers.append(answer)
        return answer


@asynccontextmanager
async def two(
    a: Upstream, b: Upstream, second: Mapping[str, Any] = SLOWER, first: Mapping[str, Any] = FAST
) -> AsyncIterator[tuple[Served, Caller]]:
    """A router in front of `a`, which is fast by its prior, and `b`, which is slow: `a` is the first choice.

    After the block every invariant is checked.
    """
    served: list[Served] = []
    caller: list[Caller] = []
    evidence = Evidence(
        upstreams=[a, b],
        in_flight=lambda: served[0].in_flight(),  # noqa: PLW0108  # there is none yet
        answers=lambda: caller[0].answers,
        voices={"a": voice("A", TOKENS), "b": voice("B", TOKENS)},
        canaries=[KEY, PROVIDER_KEY, PROMPT],
    )
    of = fleet("a", "b", a={"latency": first}, b={"latency": second})
    async with (
        invariants(evidence),
        Served(of, {"a": a.url, "b": b.url}) as router,
        aiohttp.ClientSession() as session,
    ):
        served.append(router)
        caller.append(Caller(session, router.url))
        yield router, caller[0]


def header(answer: Answer, name: str) -> str:
    """A header of the router's, by the end of its name."""
    return _lower(answer)[f"x-router-{name}"]


def _lower(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers}


async def test_a_stream_passes_through_as_it_came_and_says_who_answered() -> None:
    async with Upstream(A.stream(TOKENS)) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat()
        assert (answer.status, answer.text) == (200, voice("A", TOKENS))
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert (header(answer, "deployment"), header(answer, "region")) == ("a", "eastus")
        assert (header(answer, "attempts"), header(answer, "slo"), header(answer, "hedged")) == ("1", "met", "false")


@pytest.mark.parametrize(
    "fault",
    [
        error(500),
        error(503),
        error(404, code="DeploymentNotFound"),
        error(401),
        error(429, headers=[("retry-after-ms", "250")]),
        [RESET],
        [CLOSE],
        [stream_head(), chunk(A.role()), RESET],
        [stream_head(), *chunked(A.opening()), LAST_CHUNK],
        [stream_head(), chunk(b'data: {"id": \n\n'), HANG],
    ],
    ids=["500", "503", "404", "401", "429", "reset", "closed", "reset-after-role", "ended-after-role", "bad-json"],
)
async def test_before_the_first_token_another_deployment_answers(fault: list[Any]) -> None:
    async with Upstream(fault) as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (_, caller):
        answer = await caller.chat()
        assert (answer.status, answer.text) == (200, voice("B", TOKENS))
        assert (header(answer, "attempts"), header(answer, "reason")) == ("2", "fallback")


async def test_what_is_told_as_predicted_is_of_the_deployment_that_answered() -> None:
    async with Upstream(error(500)) as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={"explain": True})
        assert header(answer, "deployment") == "b"
        assert 1000 < float(header(answer, "predicted-ttft-ms")) < 4000, "b's prior"


async def test_a_target_that_is_required_and_out_of_reach_is_refused_once() -> None:
    """No client should wait a second and be refused again."""
    async with Upstream() as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={"max_ttft_ms": 1, "require": True})
        assert answer.status == 503
        assert _lower(answer)["x-should-retry"] == "false"


@pytest.mark.parametrize("ending", [RESET, CLOSE], ids=["reset", "closed"])
async def test_after_the_first_token_a_cut_stream_is_an_error_and_never_a_clean_end(ending: Any) -> None:
    cut = [stream_head(), *chunked([*A.opening(), *A.contents(3)]), ending]
    async with Upstream(cut) as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (router, caller):
        answer = await caller.chat()
        assert (answer.status, answer.text) == (200, voice("A", 3))
        assert b"[DONE]" not in answer.body
        assert not b.hits, "nothing is tried again after the commit"
        client = openai_client(router.url, api_key=KEY)
        stream = await client.chat.completions.create(
            model="auto", stream=True, messages=[{"role": "user", "content": PROMPT}], extra_body={"routing": HINTS}
        )
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
        await client.close()


async def test_a_stream_that_ends_without_its_finish_is_an_error() -> None:
    cut = [stream_head(), *chunked([*A.opening(), *A.contents(3)]), LAST_CHUNK]
    async with Upstream(cut) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat()
        assert b'"code":"protocol_error"' in answer.body
        assert b"[DONE]" not in answer.body


async def test_a_hung_first_choice_is_answered_elsewhere_within_the_limit() -> None:
    async with (
        Upstream([HANG]) as a,
        Upstream(B.stream(TOKENS)) as b,
        two(a, b, {**SLOWER, "ttft_ms": 300.0}) as (_, caller),
    ):
        answer = await caller.chat(routing={"max_total_ms": 2000})
        assert (answer.status, answer.text) == (200, voice("B", TOKENS))
        assert header(answer, "attempts") == "2"


async def test_when_everything_hangs_the_deadline_is_the_end() -> None:
    async with Upstream([HANG]) as a, Upstream([HANG]) as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={"max_total_ms": 300})
        assert answer.status == 504
        assert b'"code":"total_timeout"' in answer.body


async def test_the_total_deadline_ends_a_stream_that_is_under_way_with_an_error() -> None:
    slow: list[Step] = [stream_head(), *chunked([*A.opening(), *A.contents(2)]), HANG]
    async with Upstream(slow) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={"max_total_ms": 300, "expected_tokens": 5})
        assert (answer.status, answer.text) == (200, voice("A", 2))
        assert b'"code":"total_timeout"' in answer.body


async def test_when_all_are_rate_limited_the_caller_hears_when_to_come_back() -> None:
    async with (
        Upstream(error(429, headers=[("retry-after", "30")])) as a,
        Upstream(error(429, headers=[("retry-after", "7")])) as b,
        two(a, b) as (_, caller),
    ):
        answer = await caller.chat()
        assert answer.status == 429
        assert 7 <= int(_lower(answer)["retry-after"]) <= 11
        again = await caller.chat()
        assert (again.status, len(a.hits), len(b.hits)) == (429, 1, 1), "nobody is asked before the time is over"


async def test_a_rate_limited_deployment_is_left_alone_and_the_explanation_says_so() -> None:
    limited = error(429, headers=[("retry-after", "60")])
    async with Upstream(limited) as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (_, caller):
        await caller.chat()
        await caller.chat()
        assert len(a.hits) == 1
        async with caller.open("/v1/route") as response:
            decision = await response.json()
        assert decision["deployment"] == "b"
        assert decision["excluded"]["a"].startswith("rate_limited for ")


async def test_a_request_that_the_provider_rejects_is_passed_on_and_tried_nowhere_else() -> None:
    rejected = error(400, "bad temperature", code="invalid_value", param="temperature")
    async with Upstream(rejected) as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (_, caller):
        answer = await caller.chat()
        assert answer.status == 400
        assert b'"code":"invalid_value"' in answer.body
        assert b'"param":"temperature"' in answer.body
        assert not b.hits


@pytest.mark.parametrize("tokens", [0, 2], ids=["before-content", "mid-stream"])
async def test_a_caller_who_leaves_frees_the_lease_and_stops_the_model(tokens: int) -> None:
    begun: list[Step] = [stream_head(), *chunked([*A.opening(), *A.contents(tokens)]), HANG]
    async with Upstream(begun) as a, Upstream([HANG]) as b, two(a, b) as (router, caller):
        asking = asyncio.ensure_future(_read_a_little(caller, tokens))
        hit = await a.hit()
        if tokens:
            await asking
        else:
            await eventually(lambda: router.in_flight()["a"] == 1, what="the lease is taken")
            asking.cancel()
        await asyncio.wait_for(hit.aborted.wait(), 5)
        await eventually(lambda: not any(router.in_flight().values()), what="the lease is back")


async def _read_a_little(caller: Caller, tokens: int) -> None:
    async with caller.open() as response:
        if tokens:
            await response.content.readany()
            response.close()


async def test_a_silent_first_choice_is_hedged_and_loses() -> None:
    asked: list[str] = []

    def script(name: str, chat: Chat) -> Callable[[Hit], Script]:
        """Whoever is asked first says nothing."""

        def choose(_: Hit) -> Script:
            asked.append(name)
            return [HANG] if len(asked) == 1 else chat.stream(TOKENS)

        return choose

    uneven = {**FAST, "ttft_p90_ms": 400.0, "ttft_p99_ms": 3000.0}
    async with Upstream(script("a", A)) as a, Upstream(script("b", B)) as b, two(a, b, uneven, uneven) as (_, caller):
        answer = await caller.chat(routing={"max_ttft_ms": 600})
        assert answer.status == 200
        assert (header(answer, "hedged"), header(answer, "reason")) == ("true", "hedge_won")
        assert header(answer, "deployment") == asked[1]
        loser = (a if asked[0] == "a" else b).hits[0]
        await asyncio.wait_for(loser.aborted.wait(), 5)


async def test_unstreamed_answers_come_whole() -> None:
    async with Upstream(A.answer(TOKENS)) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(stream=False)
        assert (answer.status, answer.text) == (200, voice("A", TOKENS))
        assert header(answer, "deployment") == "a"


async def test_usage_reaches_only_the_caller_who_asked_for_it() -> None:
    async with Upstream(A.stream(TOKENS)) as a, Upstream() as b, two(a, b) as (_, caller):
        without = await caller.chat()
        asked = await caller.chat(stream_options={"include_usage": True})
        assert b'"usage":{' not in without.body
        assert asked.body.count(b'"completion_tokens":5') == 1
        assert a.hits[0].json()["stream_options"] == {"include_usage": True}


async def test_an_explanation_comes_with_the_usage_where_it_was_asked_for() -> None:
    async with Upstream(A.stream(TOKENS)) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={**HINTS, "explain": True})
        assert b'"router":{"request_id":' in answer.body
        assert b'"deployment":"a"' in answer.body


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"model": "gpt-unheard-of"}, 404, b'"model_not_found"'),
        ({"routing": {"max_ttft_ms": "soon"}}, 400, b'"param":"routing.max_ttft_ms"'),
        ({"routing": {"fastest": True}}, 400, b'"param":"routing.fastest"'),
        ({"messages": []}, 400, b'"param":"messages"'),
        ({"api_base": "http://169.254.169.254"}, 400, b'"param":"api_base"'),
        ({"routing": {"min_quality_tier": 5}}, 400, b'"no_eligible_deployment"'),
        ({"routing": {"max_ttft_ms": 1, "require": True}}, 503, b'"slo_unattainable"'),
        ({"key": "sk-wrong"}, 401, b'"invalid_api_key"'),
    ],
    ids=["model", "hint-value", "hint", "messages", "endpoint", "tier", "require", "key"],
)
async def test_a_wrong_request_is_told_what_is_wrong_and_reaches_no_model(
    changes: dict[str, Any], status: int, words: bytes
) -> None:
    async with Upstream() as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(**changes)
        assert answer.status == status
        assert words in answer.body
        assert not a.hits
        assert not b.hits


async def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    async with Upstream() as a, Upstream() as b, two(a, b) as (router, caller):
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
            b"content-length: 99999999\r\n\r\n"
        )
        status = await reader.readline()
        assert b"413" in status
        writer.close()
        await writer.wait_closed()
        assert not caller.answers


async def test_a_stream_that_is_cut_at_its_deadline_has_shown_how_slow_it_is() -> None:
    """A word each 0.2 s where a thousand a second were expected: the next caller with a deadline goes elsewhere."""
    crawl: list[Step] = [
        stream_head(),
        chunk(A.role()),
        *(s for c in A.contents(TOKENS) for s in (chunk(c), Delay(0.2))),
    ]
    quick = {"tokens_per_second": 1000.0}
    async with (
        Upstream(crawl) as a,
        Upstream(B.stream(TOKENS)) as b,
        two(a, b, first={**FAST, **quick}, second={**SLOWER, **quick}) as (router, caller),
    ):
        answer = await caller.chat(routing={"max_total_ms": 600, "hedge": "off"})
        assert b"total_timeout" in answer.body
        assert router.edge.router.tracker.beliefs[0].pace > 0.01, "ten times slower after one stream"
        answer = await caller.chat(routing={"max_total_ms": 600, "hedge": "off"})
        assert (answer.status, header(answer, "deployment")) == (200, "b")


@pytest.mark.parametrize(("answers", "whole"), [(4, True), (1, False)])
async def test_each_of_several_answers_may_be_as_long_as_the_models_longest(answers: int, whole: bool) -> None:
    """Sixty words each of a model that writes a hundred; of one answer they are too many."""
    spoken = [A.chunk([{"index": n % 4, "delta": {"content": w}}]) for n, w in enumerate(words("A", 240))]
    said = [stream_head(), *chunked([A.role(), *spoken, A.delta("stop"), DONE]), LAST_CHUNK]
    of = fleet("a", model={"max_output_tokens": 100})
    async with Upstream(said) as a, Served(of, {"a": a.url}) as router, aiohttp.ClientSession() as session:
        answer = await Caller(session, router.url).chat(n=answers, max_tokens=100)
        assert (b"[DONE]" in answer.body) is whole
        assert (b"protocol_error" in answer.body) is not whole


async def test_a_target_whose_time_is_over_is_missed_whatever_was_predicted() -> None:
    late: list[Step] = [Delay(0.4), *error(500)]
    async with Upstream(late) as a, Upstream(late) as b, two(a, b, second=FAST) as (_, caller):
        answer = await caller.chat(routing={"max_ttft_ms": 300, "hedge": "off"})
        assert (answer.status, header(answer, "slo")) == (502, "missed")


async def test_a_caller_who_leaves_a_quick_stream_makes_nobody_slow() -> None:
    """Too early for the pace to have been told: what was seen until then counts, and not the time since the first word
    as if it had been one word's."""
    quick = [step for word in A.contents(20) for step in (chunk(word), Delay(0.001))]
    said: list[Step] = [stream_head(), chunk(A.role()), *quick, HANG]
    slow = {**FAST, "tokens_per_second": 50.0}
    async with Upstream(said) as a, Upstream() as b, two(a, b, first=slow) as (router, caller):
        async with caller.open() as response:
            await response.content.readuntil(b"A20")
        await eventually(lambda: not any(router.in_flight().values()))
        assert router.edge.router.tracker.beliefs[0].pace < 0.9 / 50


async def test_a_call_that_is_cancelled_from_inside_is_answered_elsewhere_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a library may do whose own time is up: the request does not wait out its patience."""

    async def cancelled(*_: Any) -> Any:
        raise asyncio.CancelledError

    async with Upstream() as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (router, caller):
        monkeypatch.setattr(router.edge.router.providers[0], "open", cancelled)
        answer = await caller.chat(routing={"hedge": "off"})
        assert (answer.status, answer.text) == (200, voice("B", TOKENS))


@pytest.mark.parametrize(("wait_s", "slo"), [(0.0, "met"), (0.5, "missed")])
async def test_a_rate_that_was_asked_for_is_held_against_the_answers_own_tokens(wait_s: float, slo: str) -> None:
    """Five tokens in half a second are no forty a second, however long the answer was expected to be."""
    async with Upstream([Delay(wait_s), *A.answer(TOKENS)]) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(stream=False, routing={"min_tokens_per_second": 40, "hedge": "off"})
        assert (answer.status, header(answer, "slo")) == (200, slo)


async def test_a_fault_of_our_own_in_asking_one_provider_is_answered_by_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from routing.providers.openai import OpenAIProvider

    original = OpenAIProvider.open

    async def broken(self: OpenAIProvider, deployment: Any, *of: Any) -> Any:
        return 1 / 0 if deployment.id == "a" else await original(self, deployment, *of)

    monkeypatch.setattr(OpenAIProvider, "open", broken)
    async with Upstream() as a, Upstream(B.stream(TOKENS)) as b, two(a, b) as (_, caller):
        answer = await caller.chat()
        assert (answer.status, answer.text) == (200, voice("B", TOKENS))
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("event", ["FirstContent", "Tick", "Failed"])
async def test_a_fault_of_our_own_in_deciding_ends_the_request(monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """What a timer or a task calls is awaited by nobody: the caller would wait for ever."""
    from routing.plan import Plan

    original = Plan.on

    def broken(self: Plan, happened: Any, now: float) -> Any:
        return 1 / 0 if type(happened).__name__ == event else original(self, happened, now)

    monkeypatch.setattr(Plan, "on", broken)
    steps: dict[str, list[Any]] = {"FirstContent": A.stream(TOKENS), "Tick": [HANG], "Failed": error(500)}
    async with Upstream(steps[event]) as a, Upstream() as b, two(a, b) as (_, caller):
        answer = await caller.chat(routing={"max_total_ms": 300})
        assert answer.status == 500
        assert b'"code":"internal_error"' in answer.body


async def test_a_fault_of_our_own_ends_a_stream_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from routing.dialects.openai_answer import OpenAIAnswer

    gated = asyncio.Event()
    begun: list[Step] = [stream_head(), *chunked([*A.opening(), *A.contents(2)]), gated, *chunked(A.contents(2)), HANG]
    async with Upstream(begun) as a, Upstream() as b, two(a, b) as (_, caller):
        async with caller.open() as response:
            first = await response.content.readany()
            monkeypatch.setattr(OpenAIAnswer, "piece", lambda *_: 1 / 0)
            gated.set()
            rest = await response.read()
        answer = caller.keep(response, first + rest)
        assert b'"code":"internal_error"' in answer.body
        assert b"[DONE]" not in answer.body


async def test_c3_a_caller_who_stops_reading_for_ever_loses_the_stream_and_its_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the upstream sees its connection close. The words are large, so that the sockets' buffers fill at once."""
    monkeypatch.setattr(chat, "STALLED_S", 0.2)
    monkeypatch.setattr(chat, "LOOK_S", 0.05)
    words = chunk(A.delta(content="A1 " * 20_000))
    endless = itertools.chain([stream_head(), chunk(A.role())], itertools.repeat(words))
    async with Upstream(endless) as a, Served(fleet("a"), {"a": a.url}) as router:
        body = orjson.dumps(BODY)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        with socket.create_connection(("127.0.0.1", router.port)) as deaf:
            deaf.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await eventually(lambda: router.in_flight()["a"] == 1, what="the stream runs")
            await eventually(lambda: router.in_flight()["a"] == 0, what="the lease is back")
            await eventually(a.hits[0].aborted.is_set, what="the upstream saw the end")


@pytest.mark.parametrize("shown", [True, False], ids=["streamed", "silent"])
async def test_reasoning_is_counted_where_it_is_waited_for(shown: bool) -> None:
    """Streamed reasoning is a part of the answer; silent reasoning is a part of the wait for it."""
    thoughts = [A.delta(reasoning_content="hm ") for _ in range(30)] if shown else []
    told = {"prompt_tokens": 7, "completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 30}}
    events = [A.role(), *thoughts, *A.contents(10), A.delta("stop"), A.chunk([], usage=told), DONE]
    async with Upstream(stream(events)) as a, Served(fleet("a"), {"a": a.url}) as router:
        async with aiohttp.ClientSession() as session:
            await Caller(session, router.url).chat()
        tracker, lengths = router.edge.router.tracker, router.edge.router.lengths
        assert tracker.tokens_per_event[0] == pytest.approx(1.0)
        assert lengths.answer("auto", None) == pytest.approx(200 * ((40 if shown else 10) / 200) ** 0.05)

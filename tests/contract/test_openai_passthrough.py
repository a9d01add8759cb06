"""OpenAI's answers as a caller of its own dialect gets them: the provider's bytes, and the real openai SDK's view."""

from __future__ import annotations

from collections.abc import Iterable

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from routing.dialects.openai_answer import OpenAIAnswer
from routing.errors import AttemptError, AttemptTimedOut, ConnectionLost, RouterError
from tests.contract import sdk_reading
from tests.contract.endpoints import endpoint, pieces
from tests.harness.openai_wire import DONE, Chat
from tests.harness.script import RESET, Script
from tests.harness.upstream import Upstream
from tests.harness.wire import chunked, comment, event, stream, stream_head, voice, whole

A, AZURE = Chat("A"), Chat("A", azure=True)


def writer(include_usage: bool = False) -> OpenAIAnswer:
    return OpenAIAnswer("request", "gpt-4o", 1_790_000_001, include_usage, "openai")


async def relayed(script: Script, include_usage: bool = False, failure: RouterError | None = None) -> bytes:
    """The body that the caller gets for this upstream; a stream that breaks ends in its failure."""
    answer, body = writer(include_usage), b""
    async with Upstream(script) as upstream, endpoint("azure_openai", upstream.url) as asked:
        opened = await asked.open()
        try:
            while (piece := await opened.read()) is not None:
                body += answer.piece(piece)
        except AttemptError as error:
            failure = error
        await opened.close()
    return body + (answer.end(None) if failure is None else answer.failure(failure, {"attempts": []}))


def named(chunks: Iterable[ChatCompletionChunk]) -> set[tuple[str, int, str]]:
    return {(chunk.id, chunk.created, chunk.model) for chunk in chunks}


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("chat", [A, AZURE], ids=["openai", "azure"])
@pytest.mark.parametrize("answer", ["events", "tool_events"], ids=["text", "tools"])
async def test_a_stream_passes_byte_for_byte_but_for_usage_that_was_not_asked_for(
    chat: Chat, answer: str, include_usage: bool
) -> None:
    events = chat.events(3) if answer == "events" else chat.tool_events("f", ['{"a":', "1}"])
    *others, usage, done = events
    assert done == DONE
    expected = b"".join(others) + (usage if include_usage else b"") + done
    assert await relayed(stream(events), include_usage) == expected


async def test_comments_and_names_of_events_are_the_only_other_bytes_that_go() -> None:
    first, *rest = A.events(2)
    noisy = [comment("hello"), b"event: message\n" + first, b"id: 7\n\nretry: 1\n\n", *rest]
    assert await relayed(stream(noisy), True) == b"".join(A.events(2))


async def test_the_sdk_reads_what_passes_as_it_reads_the_provider_itself() -> None:
    for chat in (A, AZURE):
        direct = await sdk_reading.stream(b"".join(chat.events(3)))
        through = await sdk_reading.stream(await relayed(stream(chat.events(3)), True))
        assert through == direct
        assert sdk_reading.text(through) == voice("A", 3)


async def test_words_after_the_finish_do_not_pass() -> None:
    late = [*A.events(2)[:-1], A.contents(3)[2], A.usage(9, 9), DONE]
    chunks = await sdk_reading.stream(await relayed(stream(late)))
    assert sdk_reading.text(chunks) == voice("A", 2)


async def test_a_stream_that_breaks_is_an_error_for_the_sdk_in_the_same_stream() -> None:
    script: Script = [stream_head(), *chunked([*AZURE.opening(), *AZURE.contents(2)]), RESET]
    body = await relayed(script)
    assert body.startswith(b"".join([*AZURE.opening(), *AZURE.contents(2)]))
    assert b"[DONE]" not in body
    with pytest.raises(openai.APIError) as failure:
        await sdk_reading.stream(body)
    assert isinstance(failure.value.body, dict)
    assert failure.value.body["code"] == ConnectionLost.code


@pytest.mark.parametrize(
    "events", [[], A.opening(), AZURE.opening(), [AZURE.prompt_filter()], [*A.opening(), *A.contents(2)]]
)
async def test_a_failure_is_read_as_one_wherever_it_comes(events: list[bytes]) -> None:
    """Never a clean end, whatever the caller has seen before."""
    answer, body = writer(), b""
    async with Upstream(stream([*events, DONE])) as upstream, endpoint("openai", upstream.url) as asked:
        opened = await asked.open()
        for piece in await pieces(opened):
            body += answer.piece(piece)
        await opened.close()
    body += answer.failure(AttemptTimedOut("late"), {})
    with pytest.raises(openai.APIError, match="late"):
        await sdk_reading.stream(body)


async def test_the_failure_bears_the_names_of_its_stream() -> None:
    """An application that looks at ids must not take it for another answer's."""
    failed = await relayed([stream_head(), *chunked([*A.opening(), *A.contents(1)]), RESET])
    without = failed.replace(b'"error":{', b'"was_error":{')  # so that the SDK shows the chunk instead of raising
    chunks = await sdk_reading.stream(without)
    assert len(named(chunks)) == 1
    assert str(chunks[-1].choices[0].finish_reason) == "error"


async def test_a_whole_answer_passes_byte_for_byte() -> None:
    body = b'{ "choices": [ {"finish_reason": "stop", "index": 0, "message": {"content": "x"}} ],\n "new": 1.50 }'
    async with Upstream([whole(200, body)]) as upstream, endpoint("openai", upstream.url) as asked:
        opened = await asked.open(stream=False)
        (piece,) = await pieces(opened)
        await opened.close()
    assert writer().whole(piece, None) == body
    assert (await sdk_reading.whole(body)).choices[0].message.content == "x"


async def test_an_explanation_does_not_disturb_the_sdk() -> None:
    answer = writer()
    body = b"".join(A.events(2)[:-2]) + answer.end({"reason": "fastest"})
    *chunks, last = await sdk_reading.stream(body)
    assert sdk_reading.text(chunks) == voice("A", 2)
    assert last.model_dump()["router"] == {"reason": "fastest"}


async def test_an_event_that_is_no_chunk_passes_for_the_sdk_to_judge() -> None:
    """Providers add fields and kinds of events; the router is no gate for them."""
    strange = event('{"choices":[],"invented":{"later":true}}')
    assert strange in await relayed(stream([strange, *A.events(1)]))

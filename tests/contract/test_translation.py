"""Claude's answers as a caller of OpenAI's dialect gets them: from the provider's bytes to the real openai SDK."""

from __future__ import annotations

from collections.abc import Iterable

import openai
import pytest

from routing.dialects.openai_answer import KEEP_ALIVE, OpenAIAnswer
from routing.errors import AttemptTimedOut, RouterError
from tests.contract import sdk_reading
from tests.contract.endpoints import endpoint, pieces
from tests.harness import anthropic_wire
from tests.harness.anthropic_wire import Message
from tests.harness.upstream import Upstream
from tests.harness.wire import comment, stream, voice

B = Message("B")
CREATED = 1_790_000_000


def writer(include_usage: bool = False) -> OpenAIAnswer:
    return OpenAIAnswer("request", "claude-sonnet-5", CREATED, include_usage, "anthropic")


async def relayed(
    events: Iterable[bytes], include_usage: bool = False, failure: RouterError | None = None, keep_alive: bool = False
) -> bytes:
    """The body that the caller gets for a stream of Claude's."""
    answer, body = writer(include_usage), b""
    async with Upstream(stream(events)) as upstream, endpoint("claude_foundry", upstream.url) as asked:
        opened = await asked.open()
        for piece in await pieces(opened):
            body += answer.piece(piece) + (KEEP_ALIVE if keep_alive else b"")
        await opened.close()
    return body + (answer.end(None) if failure is None else answer.failure(failure, {"request_id": "request"}))


async def answered(script: list[bytes]) -> bytes:
    """The body that the caller gets for a whole answer of Claude's."""
    async with Upstream(script) as upstream, endpoint("claude_foundry", upstream.url) as asked:
        opened = await asked.open(stream=False)
        (piece,) = await pieces(opened)
        await opened.close()
    return writer().whole(piece, None)


# ---------------------------------------------------------------------- streams
async def test_a_stream_of_text_is_one_stream_of_chunks() -> None:
    chunks = await sdk_reading.stream(await relayed(B.events(3)))
    assert sdk_reading.text(chunks) == voice("B", 3)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        ("chatcmpl-request", CREATED, "claude-sonnet-5", "chat.completion.chunk")
    }
    assert all(chunk.usage is None for chunk in chunks)


async def test_thoughts_come_before_words_and_apart_from_them() -> None:
    chunks = await sdk_reading.stream(await relayed(B.thinking_events(["hm, ", "so"], 2)))
    assert sdk_reading.text(chunks, "reasoning_content") == "hm, so"
    assert sdk_reading.text(chunks) == voice("B", 2)


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


@pytest.mark.parametrize(("reason", "finish"), list(REASONS.items()))
async def test_a_reason_to_stop_is_the_reason_to_finish(reason: str, finish: str) -> None:
    chunks = await sdk_reading.stream(await relayed(B.events(1, reason)))
    assert chunks[-1].choices[0].finish_reason == finish
    assert (await sdk_reading.whole(await answered(B.answer(1, stop_reason=reason)))).choices[0].finish_reason == finish


async def test_usage_is_the_last_chunk_where_it_was_asked_for() -> None:
    """`prompt_tokens` is what was new, what was written to the cache and what was read from it."""
    events = [B.start(7, cache_creation=20, cache_read=100), *B.events(3)[1:]]
    *chunks, last = await sdk_reading.stream(await relayed(events, include_usage=True))
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (127, 3, 130)
    assert last.usage.prompt_tokens_details is not None
    assert last.usage.prompt_tokens_details.cached_tokens == 100
    assert (last.id, last.created, last.model) == (chunks[0].id, chunks[0].created, chunks[0].model)
    assert all(chunk.usage is None for chunk in chunks)


async def test_words_of_every_kind_arrive_as_they_were_said() -> None:
    said = ['"quoted"', "line\nend\r\n", "\\", "é 东京 🙂", "\u2028\u2029", "\x7f\t", "data: [DONE]\n\n"]
    events = [*B.opening(), *(anthropic_wire.text_delta(words) for words in said), *B.closing(7)]
    assert sdk_reading.text(await sdk_reading.stream(await relayed(events))) == "".join(said)


async def test_an_answer_without_words_is_a_stream_with_its_role_and_its_finish() -> None:
    chunks = await sdk_reading.stream(await relayed([*B.opening(), *B.closing(0)]))
    assert sdk_reading.text(chunks) == ""
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"


async def test_pings_and_comments_of_the_provider_and_our_own_disturb_no_reader() -> None:
    start, *rest = B.events(2)
    events = [comment("hello"), start, anthropic_wire.ping(), *rest[:-1], comment("bye"), rest[-1]]
    chunks = await sdk_reading.stream(await relayed(events, keep_alive=True))
    assert sdk_reading.text(chunks) == voice("B", 2)


async def test_a_stream_that_breaks_is_an_error_for_the_sdk_after_the_words_that_came() -> None:
    """A bare end would look like success: the SDK does not miss the end mark."""
    body = await relayed(B.events(2), failure=AttemptTimedOut("the stream fell silent"))
    assert b"[DONE]" not in body
    with pytest.raises(openai.APIError, match="the stream fell silent") as failure:
        await sdk_reading.stream(body)
    assert isinstance(failure.value.body, dict)
    assert failure.value.body["code"] == "attempt_timed_out"
    assert failure.value.body["router"] == {"request_id": "request"}


# ---------------------------------------------------------------------- whole answers
async def test_a_whole_answer_is_a_chat_completion() -> None:
    told = await sdk_reading.whole(await answered(B.answer(3)))
    assert (told.id, told.created, told.model, told.object) == (
        "chatcmpl-request", CREATED, "claude-sonnet-5", "chat.completion"
    )  # fmt: skip
    (choice,) = told.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", voice("B", 3))
    assert choice.message.tool_calls is None
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens, told.usage.total_tokens) == (7, 3, 10)


async def test_the_thoughts_of_a_whole_answer_are_beside_its_words() -> None:
    body = (
        b'{"type":"message","content":[{"type":"thinking","thinking":"hm","signature":"x"},'
        b'{"type":"text","text":"yes"}],"stop_reason":"end_turn"}'
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    told = await sdk_reading.whole(await answered([head + body]))
    message = told.choices[0].message.model_dump()
    assert (message["content"], message["reasoning_content"]) == ("yes", "hm")
    assert told.usage is None

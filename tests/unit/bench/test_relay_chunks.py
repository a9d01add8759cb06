"""The fake upstream's bytes are an Azure OpenAI answer."""

import orjson

from bench.relay import chunks
from bench.relay.tokens import TOKENS, check, stamp

TEXTS = [stamp(i, 7, None if i else 5) for i in range(TOKENS)]


def events(body: bytes) -> list[bytes]:
    return [block.removeprefix(b"data: ") for block in body.split(b"\n\n") if block]


def unframed(body: bytes) -> bytes:
    """Chunked transfer coding taken off, up to and without the last chunk."""
    found = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not (length := int(size, 16)):
            assert body == b"\r\n"
            return found
        found, body = found + body[:length], body[length + 2 :]


def test_stream_opens_with_an_event_without_choices_then_a_role_without_text() -> None:
    first, role = (orjson.loads(event) for event in events(b"".join(chunks.OPENING)))
    assert first["choices"] == []
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_token_event_carries_the_text_as_its_delta() -> None:
    (event,) = events(chunks.token(b"~00:1:2;"))
    assert orjson.loads(event)["choices"][0]["delta"] == {"content": "~00:1:2;"}


def test_framed_stream_is_whole_and_ends_with_finish_usage_and_end_mark() -> None:
    body = unframed(chunks.framed(map(chunks.token, TEXTS)) + chunks.closing(usage=True))
    check(body, stream=True)
    finish, usage, done = events(body)[-3:]
    assert orjson.loads(finish)["choices"][0]["finish_reason"] == "stop"
    assert orjson.loads(usage)["usage"]["completion_tokens"] == TOKENS
    assert done == b"[DONE]"


def test_usage_comes_only_when_asked_for() -> None:
    assert b'"usage"' in chunks.closing(usage=True)
    assert b'"usage"' not in chunks.closing(usage=False)


def test_unstreamed_answer_is_one_json_body_of_the_announced_length() -> None:
    head, _, body = chunks.whole(b"".join(TEXTS)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
    check(orjson.loads(body)["choices"][0]["message"]["content"].encode(), stream=False)

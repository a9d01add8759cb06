"""A provider's error statuses, on either wire: each is the one AttemptError that says it, and is told at once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from routing.errors import AttemptError, ContextTooLong, Misconfigured, RateLimited, RequestRejected, ServerError
from routing.providers import transport
from tests.contract.endpoints import endpoint
from tests.contract.wires import Wire, both, refused
from tests.harness import anthropic_wire, openai_wire
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import azure_error, content_filtered
from tests.harness.script import HANG, Script
from tests.harness.upstream import Upstream
from tests.harness.wire import BAD_RETRY_HINTS, JSON, RETRY_HINTS, Header, head, whole

HTML: Header = ("content-type", "text/html; charset=utf-8")


@both
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RequestRejected),
        (401, Misconfigured),
        (402, Misconfigured),  # the bill is ours, not the caller's
        (403, Misconfigured),
        (404, Misconfigured),
        (405, Misconfigured),
        (408, ServerError),
        (409, ServerError),
        (413, RequestRejected),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (529, ServerError),
    ],
)
async def test_a_status_is_the_error_that_it_says(wire: Wire, status: int, expected: type[AttemptError]) -> None:
    failure = await refused(wire.kind, wire.error(status))
    assert type(failure) is expected
    assert failure.accepted == (expected not in (Misconfigured, RateLimited)), "those were refused before any work"


@both
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b"null", b'{"error": "words"}', b'{"error": {"message": 5, "code": []}}', b"\xff"],
)
async def test_a_status_counts_whatever_its_body_is(wire: Wire, status: int, body: bytes) -> None:
    expected = {400: RequestRejected, 429: RateLimited, 500: ServerError}[status]
    for kind in (JSON, HTML):
        assert type(await refused(wire.kind, [whole(status, body, kind=kind)])) is expected


@both
async def test_an_error_is_the_same_for_an_unstreamed_request(wire: Wire) -> None:
    assert type(await refused(wire.kind, wire.error(503), stream=False)) is ServerError


async def test_a_rejected_request_bears_the_providers_words_code_and_field() -> None:
    script = openai_wire.error(400, "`temperature` is too hot", param="temperature", code="invalid_value")
    failure = await refused("openai", script)
    assert isinstance(failure, RequestRejected)
    assert (failure.status, failure.message) == (400, "`temperature` is too hot")
    assert (failure.param, failure.vendor_code) == ("temperature", "invalid_value")


async def test_a_rejected_request_to_claude_bears_its_words_and_type() -> None:
    failure = await refused("anthropic", anthropic_wire.error(400, "invalid_request_error", "max_tokens: too many"))
    assert isinstance(failure, RequestRejected)
    assert (failure.status, failure.message) == (400, "max_tokens: too many")
    assert (failure.param, failure.vendor_code) == (None, "invalid_request_error")


async def test_a_content_filter_is_a_rejected_request_with_that_code() -> None:
    failure = await refused("azure_openai", content_filtered())
    assert isinstance(failure, RequestRejected)
    assert (failure.status, failure.vendor_code, failure.param) == (400, "content_filter", "prompt")


async def test_a_code_that_repeats_the_status_is_no_code() -> None:
    """Azure's gateway writes it as text, vLLM as a number."""
    by_gateway = await refused("azure_openai", azure_error(400, "no"))
    body = b'{"object":"error","message":"no","type":"BadRequestError","param":null,"code":400}'
    by_vllm = await refused("openai_compatible", [whole(400, body)])
    assert isinstance(by_gateway, RequestRejected)
    assert isinstance(by_vllm, RequestRejected)
    assert (by_gateway.message, by_gateway.vendor_code) == ("no", "invalid_request")
    assert (by_vllm.message, by_vllm.vendor_code) == ("no", "BadRequestError")


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("azure_openai", openai_wire.error(400, "too many tokens", code="context_length_exceeded")),
        (
            "openai_compatible",
            [whole(400, b'{"message":"This model\'s maximum context length is 8192 tokens.","code":400}')],
        ),
        (
            "openai_compatible",
            openai_wire.error(400, "the request exceeds the available context size", kind="exceed_context_size_error"),
        ),
        ("claude_foundry", anthropic_wire.error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8")),
        (
            "anthropic",
            anthropic_wire.error(
                400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 9 + 9 > 10"
            ),
        ),
    ],
)
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(kind: str, script: Script) -> None:
    failure = await refused(kind, script)
    assert type(failure) is ContextTooLong
    assert failure.retriable


@both
async def test_only_errors_of_the_request_say_more_than_their_status(wire: Wire) -> None:
    """A provider's words may name its endpoint or our deployment, which are no caller's business."""
    for status in (401, 403, 404, 429, 500, 503):
        assert (
            "secret-endpoint" not in (await refused(wire.kind, wire.error(status, message="secret-endpoint"))).message
        )


@both
async def test_a_providers_words_are_bounded_and_can_be_encoded(wire: Wire) -> None:
    body = b'{"error":{"message":"\\ud83d' + b"x" * 5000 + b'","type":"invalid_request_error"}}'
    failure = await refused(wire.kind, [whole(400, body)])
    assert failure.message.startswith("?xxx")
    assert len(failure.message) == 1000


@both
async def test_header_bytes_that_are_no_text_do_no_harm(wire: Wire) -> None:
    headers: list[Header] = [("x-strange", "\xff\xfe"), ("retry-after", "\xff")]
    failure = await refused(wire.kind, wire.error(429, headers=headers))
    assert isinstance(failure, RateLimited)


# ---------------------------------------------------------------------- 429
@both
@pytest.mark.parametrize(("headers", "seconds"), list(RETRY_HINTS.values()), ids=list(RETRY_HINTS))
async def test_a_hint_to_come_back_is_heard(wire: Wire, headers: Iterable[Header], seconds: float) -> None:
    failure = await refused(wire.kind, wire.error(429, headers=headers))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s == seconds


@both
async def test_a_date_to_come_back_counts_from_the_responses_own_date(wire: Wire) -> None:
    headers = [("date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 10:00:07 GMT")]
    failure = await refused(wire.kind, wire.error(429, headers=headers))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s == 7.0


@both
@pytest.mark.parametrize("headers", list(BAD_RETRY_HINTS.values()), ids=list(BAD_RETRY_HINTS))
async def test_a_hint_that_makes_no_sense_is_the_default_or_the_cap(wire: Wire, headers: Iterable[Header]) -> None:
    failure = await refused(wire.kind, wire.error(429, headers=headers))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s in (5.0, 120.0)


@both
async def test_without_a_hint_there_is_none(wire: Wire) -> None:
    failure = await refused(wire.kind, wire.error(429))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s is None


@both
async def test_a_refusal_keeps_its_connection_for_the_next_request(wire: Wire) -> None:
    async with Upstream(wire.error(429)) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        for _ in range(3):
            with pytest.raises(RateLimited):
                await asked.open()
        assert (len(upstream.hits), upstream.connections) == (3, 1)


@both
async def test_a_refusal_whose_body_never_comes_is_known_by_its_status(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ERROR_S", 0.01)
    script: Script = [head(429, [JSON, ("content-length", "100"), ("retry-after", "3")]), HANG]
    async with Upstream(script) as upstream, no_leaks(), endpoint(wire.kind, upstream.url) as asked:
        with pytest.raises(RateLimited) as failure:
            await asked.open()
        assert failure.value.retry_after_s == 3.0
        await (await upstream.hit()).aborted.wait()

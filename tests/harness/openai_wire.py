"""OpenAI chat completions as bytes, and Azure's differences: streams, whole answers, errors, headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.harness.wire import Header, encode, event, stream, voice, whole, words

DONE: Final = event("[DONE]")
CREATED: Final = 1_790_000_000
SAFE: Final = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}


@dataclass(frozen=True, slots=True)
class Chat:
    """One upstream's way of answering: its tokens are `A1 A2 …` for the alphabet A."""

    alphabet: str = "A"
    model: str = "gpt-4o-2024-11-20"
    azure: bool = False

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """An event with these choices, and whatever else it holds."""
        shared = {"id": f"chatcmpl-{self.alphabet}", "object": "chat.completion.chunk", "created": CREATED}
        return event({**shared, "model": self.model, "system_fingerprint": "fp_harness", "choices": choices, **more})

    def delta(self, finish_reason: str | None = None, **delta: Any) -> bytes:
        """An event whose only choice has this delta."""
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self.azure:
            choice["content_filter_results"] = SAFE if delta.get("content") else {}
        return self.chunk([choice])

    def prompt_filter(self) -> bytes:
        """Azure's first event: no choices, only what its filter thinks of the prompt."""
        results = [{"prompt_index": 0, "content_filter_results": SAFE}]
        shell = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        return event({**shell, "prompt_filter_results": results})

    def role(self) -> bytes:
        """The role, without content: not the first token."""
        return self.delta(role="assistant", content="", refusal=None)

    def tool_start(self, name: str, index: int = 0) -> bytes:
        """The first delta of a tool call, with its id and name."""
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": f"call_{self.alphabet}{index}", "type": "function", "function": function}
        return self.delta(tool_calls=[call])

    def arguments(self, piece: str, index: int = 0) -> bytes:
        """A piece of a tool call's arguments."""
        return self.delta(tool_calls=[{"index": index, "function": {"arguments": piece}}])

    def usage(self, prompt: int, completion: int) -> bytes:
        """The event with usage and no choices, the last before the end mark."""
        return self.chunk([], usage=_usage(prompt, completion))

    def opening(self) -> list[bytes]:
        """What comes before the first token."""
        return [self.prompt_filter(), self.role()] if self.azure else [self.role()]

    def contents(self, count: int) -> list[bytes]:
        """The tokens."""
        return [self.delta(content=word) for word in words(self.alphabet, count)]

    def closing(self, count: int, finish_reason: str = "stop", *, prompt: int = 7) -> list[bytes]:
        """What comes after the last of `count` tokens: finish reason, usage, end mark."""
        return [self.delta(finish_reason), self.usage(prompt, count), DONE]

    def events(self, count: int, finish_reason: str = "stop") -> list[bytes]:
        """A whole text answer."""
        return [*self.opening(), *self.contents(count), *self.closing(count, finish_reason)]

    def tool_events(self, name: str, pieces: Sequence[str]) -> list[bytes]:
        """A whole answer that calls one tool, with its arguments in these pieces."""
        calls = [self.tool_start(name), *(self.arguments(piece) for piece in pieces)]
        return [*self.opening(), *calls, *self.closing(len(pieces), "tool_calls")]

    def stream(self, count: int, headers: Iterable[Header] = ()) -> list[bytes]:
        """The script of a whole streamed text answer."""
        return stream(self.events(count), headers)

    def answer(self, count: int, headers: Iterable[Header] = (), finish_reason: str = "stop") -> list[bytes]:
        """The script of an answer in one body."""
        message = {"role": "assistant", "content": voice(self.alphabet, count), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        shared = {"id": f"chatcmpl-{self.alphabet}", "object": "chat.completion", "created": CREATED}
        body = {**shared, "model": self.model, "choices": [choice], "usage": _usage(7, count)}
        return [whole(200, encode(body), headers)]


def error(
    status: int,
    message: str = "scripted",
    *,
    kind: str | None = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Iterable[Header] = (),
) -> list[bytes]:
    """The script of an error as OpenAI writes it."""
    told = {"message": message, "type": kind, "param": param, "code": code}
    return [whole(status, encode({"error": told}), headers)]


def azure_error(status: int, message: str = "scripted", headers: Iterable[Header] = ()) -> list[bytes]:
    """The script of an error of Azure's gateway: only a code, which repeats the status, and a message."""
    return [whole(status, encode({"error": {"code": str(status), "message": message}}), headers)]


def content_filtered(headers: Iterable[Header] = ()) -> list[bytes]:
    """The script of Azure's refusal of a prompt."""
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {**SAFE, "violence": {"filtered": True, "severity": "medium"}},
    }
    told = {"message": "The response was filtered.", "type": None, "param": "prompt", "code": "content_filter"}
    return [whole(400, encode({"error": {**told, "status": 400, "innererror": inner}}), headers)]


def failure(message: str = "scripted", code: str = "server_error") -> bytes:
    """The event of an error within a stream whose status was 200."""
    return event({"error": {"message": message, "type": "server_error", "param": None, "code": code}})


def azure_headers(
    region: str = "Sweden Central",
    *,
    processing_ms: int = 41,
    remaining_requests: int = 99,
    remaining_tokens: int = 99_000,
    request_id: str = "11111111-2222-3333-4444-555555555555",
) -> list[Header]:
    """What Azure OpenAI tells beside an answer: where it ran, how long it took, what is left of the limits."""
    return [
        ("x-request-id", request_id),
        ("apim-request-id", request_id),
        ("x-ms-region", region),
        ("openai-processing-ms", str(processing_ms)),
        ("x-ratelimit-remaining-requests", str(remaining_requests)),
        ("x-ratelimit-remaining-tokens", str(remaining_tokens)),
    ]


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }

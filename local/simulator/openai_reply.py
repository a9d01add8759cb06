"""OpenAI chat completions: the answer, as one body or as a stream, and errors. Azure's differences are marked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from local.simulator.answer import Answer, Ending
from local.simulator.ask import Ask, Refusal, Refused
from local.simulator.receipt import Receipt, retry_headers
from routing.fleet import Model

FINISH: dict[Ending, str] = {"end": "stop", "stop_sequence": "stop", "limit": "length", "tool": "tool_calls"}
STATUS: dict[Refusal, int] = {
    "invalid": 400,
    "unauthorized": 401,
    "not_found": 404,
    "too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "failed": 500,
}
TYPES: dict[Refusal, str] = {"rate_limited": "requests", "overloaded": "server_error", "failed": "server_error"}
CODES: dict[Refusal, str] = {"rate_limited": "rate_limit_exceeded", "not_found": "model_not_found"}
AZURE_CODES: dict[Refusal, str] = {
    "unauthorized": "401",
    "not_found": "DeploymentNotFound",
    "rate_limited": "429",
    "overloaded": "503",
    "failed": "500",
}
DONE = b"data: [DONE]\n\n"
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
# Azure's first chunk: the prompt's filter, before there is an answer.
AZURE_FIRST: dict[str, Any] = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
}


class ChatReply:
    """One answer's bytes."""

    def __init__(
        self, ask: Ask, answer: Answer, model: Model, reply_id: str, created: datetime, *, azure: bool
    ) -> None:
        self._answer, self._azure, self._include_usage = answer, azure, ask.include_usage
        self._call_id = f"call_{reply_id[:24]}"
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{reply_id}",
            "created": int(created.timestamp()),
            # The vendor names the version that answered, not the name that was asked for.
            "model": f"{model.id}-{model.version}" if model.version else model.id,
            "system_fingerprint": "fp_simulated",
        }
        text = {"tool_calls": [{"index": 0, "function": {"arguments": "\0"}}]} if answer.tool else {"content": "\0"}
        # Everything around a token is the same in all chunks of a stream: written once, cut at the token's place.
        self._before, self._after = self._chunk(text).split(rb'"\u0000"')

    def whole(self) -> bytes:
        """A `chat.completion`."""
        choice: dict[str, Any] = {"index": 0, "message": self._message(), "logprobs": None}
        choice["finish_reason"] = FINISH[self._answer.ending]
        body = {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}
        if self._azure:
            choice["content_filter_results"] = SAFE
            body["prompt_filter_results"] = AZURE_FIRST["prompt_filter_results"]
        return orjson.dumps(body)

    def opening(self) -> bytes:
        """Azure's empty chunk, then the role."""
        first = _event(AZURE_FIRST) if self._azure else b""
        if not self._answer.tool:
            return first + self._chunk({"role": "assistant", "content": "", "refusal": None})
        function = {"name": self._answer.tool, "arguments": ""}
        call = {"index": 0, "id": self._call_id, "type": "function", "function": function}
        return first + self._chunk({"role": "assistant", "content": None, "tool_calls": [call], "refusal": None})

    def piece(self, text: str) -> bytes:
        """One token."""
        return self._before + orjson.dumps(text) + self._after

    def closing(self) -> bytes:
        """The finish reason, usage where it was asked for, and the end mark."""
        last = self._chunk({}, FINISH[self._answer.ending])
        if self._include_usage:
            last += _event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()})
        return last + DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self._azure:
            choice["content_filter_results"] = {} if finish_reason or not delta.get("content") else SAFE
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        return _event({**chunk, "usage": None} if self._include_usage else chunk)

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._answer.text, "refusal": None}
        if self._answer.tool:
            function = {"name": self._answer.tool, "arguments": self._answer.text}
            call = {"id": self._call_id, "type": "function", "function": function}
            message.update(content=None, tool_calls=[call])
        return message

    def _usage(self) -> dict[str, Any]:
        prompt, answer = self._answer.prompt_tokens, self._answer.tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def headers(receipt: Receipt, *, azure: bool) -> dict[str, str]:
    """Response headers of an answer."""
    told = {
        "x-request-id": receipt.request_id,
        "openai-processing-ms": str(receipt.processing_ms),
        "x-ratelimit-limit-requests": str(receipt.requests.limit),
        "x-ratelimit-remaining-requests": str(receipt.requests.remaining),
        "x-ratelimit-limit-tokens": str(receipt.tokens.limit),
        "x-ratelimit-remaining-tokens": str(receipt.tokens.remaining),
    }
    if azure:
        told["apim-request-id"] = receipt.request_id
        told["x-ms-region"] = receipt.region
        told["azureml-model-session"] = f"simulated-{receipt.region}"
    return told


def refusal(refused: Refused, request_id: str, *, azure: bool) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an error. Azure's gateway leaves type and param out of its own errors."""
    kind = refused.kind
    told = {"x-request-id": request_id} | ({"apim-request-id": request_id} if azure else {})
    error: dict[str, Any] = {"message": refused.message}
    if azure and kind in AZURE_CODES:
        error["code"] = AZURE_CODES[kind]
    else:
        error["type"] = TYPES.get(kind, "invalid_request_error")
        error["param"] = refused.param
        error["code"] = refused.code or CODES.get(kind)
    return STATUS[kind], orjson.dumps({"error": error}), told | retry_headers(refused.retry_after_s)


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"

"""Anthropic Messages: the answer, as one body or as a stream of named events, and errors."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from local.simulator.answer import Answer, Ending
from local.simulator.ask import Ask, Refusal, Refused
from local.simulator.receipt import Allowance, Receipt, retry_headers
from routing.fleet import Model

STOP: dict[Ending, str] = {
    "end": "end_turn",
    "limit": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool": "tool_use",
}
ERRORS: dict[Refusal, tuple[int, str]] = {
    "invalid": (400, "invalid_request_error"),
    "unauthorized": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
    "too_large": (413, "request_too_large"),
    "rate_limited": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "failed": (500, "api_error"),
}


class MessageReply:
    """One answer's bytes."""

    def __init__(self, ask: Ask, answer: Answer, model: Model, reply_id: str, created: datetime) -> None:
        self._answer, self._model, self._id = answer, model.id, reply_id
        kind, field = ("input_json_delta", "partial_json") if answer.tool else ("text_delta", "text")
        event = _event("content_block_delta", index=0, delta={"type": kind, field: "\0"})
        # Everything around a token is the same in all events: written once, cut at the token's place.
        self._before, self._after = event.split(rb'"\u0000"')

    def whole(self) -> bytes:
        """A `message`."""
        content = self._block()
        content.update({"input": _arguments(self._answer)} if self._answer.tool else {"text": self._answer.text})
        ending = {"stop_reason": STOP[self._answer.ending], "stop_sequence": self._answer.stop_sequence}
        return orjson.dumps(self._message([content], self._answer.tokens) | ending)

    def opening(self) -> bytes:
        """The message's start with the input's usage, the block's start, and a ping as the vendor sends it."""
        return (
            _event("message_start", message=self._message([], 1))
            + _event("content_block_start", index=0, content_block=self._block())
            + _event("ping")
        )

    def piece(self, text: str) -> bytes:
        """One token."""
        return self._before + orjson.dumps(text) + self._after

    def closing(self) -> bytes:
        """The block's end, the stop reason with the usage of it all, and the message's end."""
        delta = {"stop_reason": STOP[self._answer.ending], "stop_sequence": self._answer.stop_sequence}
        return (
            _event("content_block_stop", index=0)
            + _event("message_delta", delta=delta, usage=self._usage(self._answer.tokens))
            + _event("message_stop")
        )

    def _block(self) -> dict[str, Any]:
        if self._answer.tool:
            return {"type": "tool_use", "id": f"toolu_{self._id[:24]}", "name": self._answer.tool, "input": {}}
        return {"type": "text", "text": ""}

    def _message(self, content: list[dict[str, Any]], output_tokens: int) -> dict[str, Any]:
        return {
            "id": f"msg_{self._id[:24]}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(output_tokens),
        }

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            "input_tokens": self._answer.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        }


def headers(receipt: Receipt) -> dict[str, str]:
    """Response headers of an answer. The vendor tells no processing time."""
    told = {"request-id": receipt.request_id, "apim-request-id": receipt.request_id}
    return told | _allowance("requests", receipt.requests) | _allowance("tokens", receipt.tokens)


def refusal(refused: Refused, request_id: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an error."""
    status, kind = ERRORS[refused.kind]
    error = {"type": kind, "message": refused.message}
    body = orjson.dumps({"type": "error", "error": error, "request_id": request_id})
    told = {"request-id": request_id, "apim-request-id": request_id}
    return status, body, told | retry_headers(refused.retry_after_s)


def _allowance(name: str, allowance: Allowance) -> dict[str, str]:
    prefix = f"anthropic-ratelimit-{name}"
    return {
        f"{prefix}-limit": str(allowance.limit),
        f"{prefix}-remaining": str(allowance.remaining),
        f"{prefix}-reset": allowance.whole_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _arguments(answer: Answer) -> Any:
    """Arguments as an object; cut off by the limit they are none, as at the vendor."""
    try:
        return orjson.loads(answer.text)
    except orjson.JSONDecodeError:
        return {}


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"

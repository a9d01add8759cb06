"""The OpenAI chat wire format as it comes from a provider: what routing needs of it, and the bytes untouched."""

from __future__ import annotations

from typing import Any

import orjson

from routing.errors import AttemptError, ProtocolError, RateLimited, ServerError
from routing.outcome import Usage
from routing.ports import Piece
from routing.providers.sse import SseDecoder, data_of
from routing.providers.wire import Wire, count

FINISH = {"stop", "length", "tool_calls", "content_filter", "function_call"}
# The parts of a delta that a reader would see: text, reasoning (as vLLM and others name it), tools, refusals
REASONING_KEYS = ("reasoning_content", "reasoning")
CONTENT_KEYS = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "function_call", "audio")


class OpenAIStream:
    """Decodes one stream. `done` after [DONE]; `complete` once the answer has ended as it should."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._finished: set[int] = set()
        self._unfinished: set[int] = set()
        self._before = self._after = b""  # around the words of the last plain token event
        self.done = False
        self.failure: AttemptError | None = None

    @property
    def complete(self) -> bool:
        """Whether every choice has its finish_reason, or the end marker came."""
        return self.done or bool(self._finished and not self._unfinished)

    def feed(self, chunk: bytes) -> Piece:
        """What `chunk` completes. A fault is kept in `failure`, so that what came before it is not lost."""
        piece, kept = Piece(), []
        try:
            for block in self._sse.feed(chunk):
                if self.done:
                    break
                if self._same_but_words(block):
                    piece.content += 1
                    kept.append(block)
                    continue
                data = data_of(block)
                if data is None:
                    continue
                if data == b"[DONE]":
                    self.done = True
                elif self._event(data, piece):
                    kept.append(_line(data))
        except AttemptError as failure:
            self.failure = failure
        if kept:
            piece.raw = b"\n\n".join(kept) + b"\n\n"
        return piece

    def _same_but_words(self, block: bytes) -> bool:
        """Whether an event is, byte for byte, the last plain token event with other words: then it need not be parsed.

        Most of a stream is such events, and parsing them is a third of what relaying them costs.
        """
        before, after = self._before, self._after
        if not before or not block.startswith(before) or not block.endswith(after):
            return False
        words = block[len(before) : -len(after)]
        if not words or b'"' in words or b"\\" in words or not words.isascii():
            return False
        return words.decode().isprintable()  # neither a line end nor what no JSON string may hold

    def _remember(self, data: bytes, choices: list[Any]) -> None:
        """Note what surrounds the words of a plain token event: one choice, one delta, nothing finished."""
        self._before = self._after = b""
        delta = choices[0].get("delta")
        if len(choices) != 1 or not isinstance(delta, dict) or self._finished:
            return
        words = delta.get("content")
        told = [key for key in CONTENT_KEYS if delta.get(key)]
        before, mark, rest = data.partition(b'"content":"')
        if told == ["content"] and isinstance(words, str) and mark and b"\n" not in data:
            raw, quote, after = rest.partition(b'"')
            if raw == words.encode():  # nothing was escaped, and this is where the words stand
                self._before, self._after = b"data: " + before + mark, quote + after

    def _event(self, data: bytes, piece: Piece) -> bool:
        """Take one event into `piece`; False where it must not be passed on as it is."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError as e:
            raise ProtocolError("an event of the stream is not JSON") from e
        if not isinstance(event, dict):
            raise ProtocolError("an event of the stream is not a JSON object")
        if event.get("error"):
            raise error_event(event["error"])
        usage = event.get("usage")
        if usage:
            piece.usage = usage_of(usage)
        choices = event.get("choices")
        if not choices:
            if usage:
                piece.usage_raw = _line(data) + b"\n\n"
                return False
            return True
        if not isinstance(choices, list):
            raise ProtocolError("`choices` of the stream is not a list")
        passed = [self._choice(choice, piece) for choice in choices]
        self._remember(data, choices)
        return any(passed)

    def _choice(self, choice: Any, piece: Piece) -> bool:
        """Whether the choice may be passed on: text after its finish may not."""
        if not isinstance(choice, dict):
            raise ProtocolError("a choice of the stream is not a JSON object")
        index, delta = choice.get("index", 0), choice.get("delta")
        if not isinstance(index, int):
            raise ProtocolError("`index` of a choice of the stream is not a number")
        if index in self._finished:
            return False
        if isinstance(delta, dict) and any(delta.get(key) for key in CONTENT_KEYS):
            piece.content += 1
            piece.reasoning = piece.reasoning or any(delta.get(key) for key in REASONING_KEYS)
        finish = choice.get("finish_reason")
        if finish:
            self._finished.add(index)
            self._unfinished.discard(index)
            piece.finish = finish_of(finish)
        else:
            self._unfinished.add(index)
        return True


def whole(body: bytes) -> Piece:
    """An unstreamed answer. Raises ProtocolError where it is none."""
    try:
        answer = orjson.loads(body)
        finish = finish_of(answer["choices"][0]["finish_reason"])
        usage = usage_of(answer["usage"]) if answer.get("usage") else None
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as e:
        raise ProtocolError("the answer is not a chat completion") from e
    return Piece(raw=body, content=1, finish=finish, usage=usage)


def finish_of(reason: Any) -> str:
    """A finish_reason that is known; `stop` for any other."""
    return reason if isinstance(reason, str) and reason in FINISH else "stop"


def _line(data: bytes) -> bytes:
    """An event of one line: JSON may be cut between any two tokens, and a blank line would end the event."""
    return b"data: " + data.replace(b"\n", b"")


def usage_of(usage: Any) -> Usage | None:
    """Token counts, or None where they are none."""
    try:
        prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        return Usage(
            prompt_tokens=count(usage["prompt_tokens"]),
            completion_tokens=count(usage.get("completion_tokens") or 0),
            cached_tokens=count(prompt.get("cached_tokens") or 0),
            reasoning_tokens=count(completion.get("reasoning_tokens") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def error_event(error: Any) -> AttemptError:
    """An error that came inside a stream, under status 200."""
    kind = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
    if "rate_limit" in kind or kind == "429":
        return RateLimited("the provider limited the stream")
    return ServerError("the provider sent an error event")


OPENAI = Wire("openai", OpenAIStream, whole)

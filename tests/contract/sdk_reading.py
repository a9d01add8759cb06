"""What the real openai SDK makes of bytes that the router would send: no socket, the SDK's own decoder and models."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.contract.endpoints import HELLO


def client(body: bytes, kind: str) -> openai.AsyncOpenAI:
    """A client whose every call is answered with `body`."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-type": kind}, content=body))
    http = httpx2.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://router/v1", api_key="k", max_retries=0, http_client=http)


async def stream(body: bytes) -> list[ChatCompletionChunk]:
    """The chunks that an application gets. Raises what the SDK raises."""
    messages: Any = HELLO
    async with client(body, "text/event-stream") as sdk:
        opened = await sdk.chat.completions.create(model="m", messages=messages, stream=True)
        return [chunk async for chunk in opened]


async def whole(body: bytes) -> ChatCompletion:
    """The answer that an application gets."""
    messages: Any = HELLO
    async with client(body, "application/json") as sdk:
        return await sdk.chat.completions.create(model="m", messages=messages)


def text(chunks: list[ChatCompletionChunk], field: str = "content") -> str:
    """The words of a stream; `field` may be one that the SDK has no name for."""
    deltas = [choice.delta.model_dump() for chunk in chunks for choice in chunk.choices]
    return "".join(delta.get(field) or "" for delta in deltas)

"""The product's providers, as the registry makes them, pointed at scripted upstreams."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic.resources
import openai.resources

from routing.dialects import openai_chat
from routing.fleet import Deployment, Fleet
from routing.load.lengths import Lengths
from routing.ports import Answer, Piece, Provider, Way
from routing.providers.registry import providers
from routing.providers.sdk import Key
from routing.providers.transport import Transport
from routing.request import ChatRequest
from routing.web import asking
from tests.unit import fleets

KEY = "sk-key-of-the-provider"
# The kind of an endpoint, what its address has after the host, and where its chats go
PLACES = {
    "azure_openai": ("", "/openai/v1/chat/completions"),
    "openai": ("/v1", "/v1/chat/completions"),
    "openai_compatible": ("/v1", "/v1/chat/completions"),
    "claude_foundry": ("", "/anthropic/v1/messages"),
    "anthropic": ("", "/v1/messages"),
}
FLEET: Fleet = fleets.fleet(
    *(fleets.deployment(kind, provider=kind, resource=kind, name=f"{kind}-name") for kind in PLACES),
    fleets.deployment("reasoner", provider="azure_openai", resource="azure_openai", model="reasoner"),
    models=[fleets.model(), fleets.model("reasoner", unsupported_parameters=["max_tokens", "temperature"])],
)
HELLO = [{"role": "user", "content": "hello"}]

# A test for leaks collects garbage three times, and the SDKs are a million objects that are none.
assert openai.resources
assert anthropic.resources
gc.collect()
gc.freeze()


@dataclass(slots=True)
class Endpoint:
    """One provider and one deployment behind it."""

    provider: Provider
    deployment: Deployment

    async def open(self, headers: Mapping[str, str] | None = None, way: Way | None = None, **body: Any) -> Answer:
        """Ask it for the chat that `body` is: a streamed one, unless the body says otherwise."""
        return await self.provider.open(self.deployment, chat(headers, **body), way or Way())


def chat(headers: Mapping[str, str] | None = None, **body: Any) -> ChatRequest:
    """A request as the edge would make it."""
    parsed = openai_chat.parse(json.dumps({"model": "m", "messages": HELLO, "stream": True, **body}).encode())
    return asking.request(parsed, headers or {}, FLEET, Lengths(), "caller", "openai", FLEET.regions[0].id)


@asynccontextmanager
async def endpoint(kind: str, url: str, key: Key | None = KEY, name: str = "") -> AsyncIterator[Endpoint]:
    """An endpoint of this kind at `url`, by default with a key; a key that is a callable yields tokens."""
    transport = Transport()
    keys = {kind: key} if isinstance(key, str) else {}

    def token_for(_scope: str) -> Any:
        assert callable(key), "no key was given, and no tokens"
        return key

    made = providers(FLEET, {kind: url + PLACES[kind][0]}, keys, token_for, transport)
    index = next(i for i, deployment in enumerate(FLEET.deployments) if deployment.id == (name or kind))
    provider = made[index]
    assert provider is not None
    try:
        yield Endpoint(provider, FLEET.deployments[index])
    finally:
        await provider.close()
        await transport.close()


async def pieces(answer: Answer) -> list[Piece]:
    """All that an answer holds, up to its proper end."""
    read = []
    while (piece := await answer.read()) is not None:
        read.append(piece)
    return read


async def whole(answer: Answer) -> Piece:
    """All that an answer holds, as one piece; the answer is closed."""
    joined = Piece()
    for piece in await pieces(answer):
        joined.join(piece)
    await answer.close()
    return joined

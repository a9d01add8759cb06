"""Anthropic's messages: Claude in Microsoft Foundry, and Anthropic's own API."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson

from routing.fleet import Deployment, Fleet
from routing.ports import Answer, Way
from routing.providers.anthropic_wire import ANTHROPIC
from routing.providers.sdk import Key, Sdk
from routing.providers.transport import Transport
from routing.request import ChatRequest

if TYPE_CHECKING:
    import httpx2

FOUNDRY_PATH = "anthropic/"


class AnthropicProvider:
    """One endpoint that speaks the Anthropic dialect. `key` is a key, or an async callable that yields tokens."""

    dialect = "anthropic"

    def __init__(
        self,
        fleet: Fleet,
        transport: Transport,
        base_url: str,
        key: Key,
        foundry: bool,
    ) -> None:
        self._fleet, self._transport = fleet, transport
        self._sdk = Sdk(lambda http, key: _client(http, base_url, key, foundry), _minimal_call, key)

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        """See the seam."""
        body = orjson.dumps(self._body(deployment, request))
        return await self._transport.ask(self._sdk, ANTHROPIC, body, request.stream, request.headers, way)

    async def warm(self) -> None:
        """See the seam."""
        await self._sdk.prepared()

    async def close(self) -> None:
        """See the seam."""
        await self._sdk.close()

    def _body(self, deployment: Deployment, request: ChatRequest) -> dict[str, Any]:
        """The neutral conversation as a Messages request."""
        chat, model = request.conversation(), self._fleet.model_of(deployment)
        body: dict[str, Any] = {
            "model": deployment.upstream_name,
            "max_tokens": chat.max_tokens or min(model.default_max_tokens, model.max_output_tokens),
            "messages": [{"role": role, "content": text} for role, text in chat.turns],
        }
        optional = {
            "system": chat.system,
            "temperature": chat.temperature,
            "top_p": chat.top_p,
            "stop_sequences": list(chat.stop),
        }
        body.update({name: value for name, value in optional.items() if value not in (None, "", [])})
        if request.stream:
            body["stream"] = True
        return body


def _client(http: httpx2.AsyncClient, base_url: str, key: Key, foundry: bool) -> tuple[ModuleType, Any]:
    import anthropic  # noqa: PLC0415  # a second; runs in a thread

    # no retries: the plan does that, on another deployment
    options: dict[str, Any] = {"base_url": base_url, "max_retries": 0, "http_client": http}
    if not foundry:
        assert isinstance(key, str), "Anthropic's own API takes keys only"
        return anthropic, anthropic.AsyncAnthropic(api_key=key, **options)
    credential: dict[str, Any] = {"api_key": key} if isinstance(key, str) else {"azure_ad_token_provider": key}
    return anthropic, anthropic.AsyncAnthropicFoundry(**credential, **options)


async def _minimal_call(client: Any) -> object:
    return await client.messages.create(model="-", max_tokens=1, messages=[{"role": "user", "content": "-"}])

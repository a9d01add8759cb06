"""OpenAI's chat completions: Azure OpenAI (v1), OpenAI itself, and every server that is compatible with it."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson

from routing.fleet import Deployment, Fleet
from routing.ports import Answer, Way
from routing.providers.openai_wire import OPENAI
from routing.providers.sdk import Key, Sdk
from routing.providers.transport import Transport
from routing.request import ChatRequest

if TYPE_CHECKING:
    import httpx2

AZURE_PATH = "openai/v1/"


class OpenAIProvider:
    """One endpoint that speaks the OpenAI dialect. `key` is a key, or an async callable that yields tokens."""

    dialect = "openai"

    def __init__(self, fleet: Fleet, transport: Transport, base_url: str, key: Key) -> None:
        self._fleet, self._transport = fleet, transport
        self._sdk = Sdk(lambda http, key: _client(http, base_url, key), _minimal_call, key)

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        """See the seam."""
        body = orjson.dumps(self._body(deployment, request))
        return await self._transport.ask(self._sdk, OPENAI, body, request.stream, request.headers, way)

    async def warm(self) -> None:
        """See the seam."""
        await self._sdk.prepared()

    async def close(self) -> None:
        """See the seam."""
        await self._sdk.close()

    def _body(self, deployment: Deployment, request: ChatRequest) -> dict[str, Any]:
        """The caller's body for this deployment: its name, and usage asked for in every stream."""
        body = {**request.body, "model": deployment.upstream_name}
        if request.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if "max_tokens" in body and "max_tokens" in self._fleet.model_of(deployment).unsupported_parameters:
            limit = body.pop("max_tokens")
            if body.get("max_completion_tokens") is None:
                body["max_completion_tokens"] = limit
        return body


def _client(http: httpx2.AsyncClient, base_url: str, key: Key) -> tuple[ModuleType, Any]:
    import openai  # noqa: PLC0415  # half a second; runs in a thread

    # the plan retries, on another deployment; the SDK's own retries would triple every call and sleep inside it
    return openai, openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=http)


async def _minimal_call(client: Any) -> object:
    return await client.chat.completions.create(model="-", messages=[{"role": "user", "content": "-"}])

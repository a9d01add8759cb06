"""The provider of each deployment: kind and endpoint decide it, and one object serves all deployments of both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from routing.fleet import Fleet
from routing.ports import Provider
from routing.providers.anthropic import FOUNDRY_PATH, AnthropicProvider
from routing.providers.openai import AZURE_PATH, OpenAIProvider
from routing.providers.sdk import Key
from routing.providers.transport import Transport

NO_KEY = "none"  # compatible servers such as vLLM or llama.cpp ask for none; the SDK wants something
type TokenFor = Callable[[str], Callable[[], Awaitable[str]]]  # scope -> tokens of this app's identity

# Entra scopes of the two kinds of model endpoint
SCOPES = {
    "azure_openai": "https://cognitiveservices.azure.com/.default",
    "claude_foundry": "https://ai.azure.com/.default",
}


def providers(
    fleet: Fleet, endpoints: Mapping[str, str], keys: Mapping[str, str], token_for: TokenFor, transport: Transport
) -> list[Provider | None]:
    """The provider of each deployment of the fleet, by its index; None where its resource has no endpoint.

    `endpoints` and `keys` map a deployment's `resource`; without a key the app's own identity is used (Entra ID).
    """
    made: dict[tuple[str, str], Provider] = {}

    def provider(kind: str, resource: str) -> Provider | None:
        if resource not in endpoints:
            return None
        if (kind, resource) not in made:
            key: Key = keys.get(resource) or (token_for(SCOPES[kind]) if kind in SCOPES else NO_KEY)
            made[kind, resource] = _make(kind, fleet, transport, endpoints[resource].rstrip("/") + "/", key)
        return made[kind, resource]

    return [provider(d.provider, d.resource) for d in fleet.deployments]


def _make(kind: str, fleet: Fleet, transport: Transport, endpoint: str, key: Key) -> Provider:
    match kind:
        case "azure_openai":
            return OpenAIProvider(fleet, transport, endpoint + AZURE_PATH, key)
        case "claude_foundry":
            return AnthropicProvider(fleet, transport, endpoint + FOUNDRY_PATH, key, foundry=True)
        case "anthropic":
            return AnthropicProvider(fleet, transport, endpoint, key, foundry=False)
        case _:
            return OpenAIProvider(fleet, transport, endpoint, key)

"""Environment variables, checked once, as one frozen object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from routing.errors import ConfigurationError

# Every setting that the code reads: local.settings.sample.json and the templates are held against it.
SETTINGS = (
    "ROUTER_FLEET",
    "ROUTER_REGION",
    "ROUTER_ENDPOINTS",
    "ROUTER_PROVIDER_KEYS",
    "ROUTER_KEYS",
    "ROUTER_POLICY",
    "ROUTER_STICKINESS_MS",
    "ROUTER_FRONT_DOOR_ID",
    "ROUTER_STORE_ACCOUNT",
    "ROUTER_STORE_CONNECTION",
    "ROUTER_SAMPLE_LOG",
    "AZURE_CLIENT_ID",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """See local.settings.sample.json for what each is for."""

    fleet: Path
    region: str
    endpoints: Mapping[str, str] = field(default_factory=dict)
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)  # SHA-256 (hex) of a key -> name of its caller
    policy: str = "slo"
    stickiness_ms: float = 100.0
    front_door_id: str = ""
    store_account: str = ""  # table endpoint of the shared store, by identity
    store_connection: str = field(default="", repr=False)  # connection string of Azurite
    client_id: str | None = None
    sample_log: Path | None = None

    def shared_secret(self) -> bytes:
        """What every instance of this app can sign with, and no caller: a hash of all that is secret here.

        A caller knows its own keys and none of the others. Where it is the only one, and there are neither keys of
        providers nor a Front Door, it knows all of it; then there is nobody else.
        """
        secrets = [sorted(self.keys), sorted(self.provider_keys.values()), self.store_connection, self.front_door_id]
        return hashlib.sha256(json.dumps(secrets).encode()).digest()


def read(environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings in `environment`; paths count from `folder`. Raises ConfigurationError naming the setting."""
    return Settings(
        fleet=folder / (environment.get("ROUTER_FLEET") or "fleet.json"),
        region=environment.get("ROUTER_REGION", ""),
        endpoints=_endpoints(environment),
        provider_keys=_map(environment, "ROUTER_PROVIDER_KEYS"),
        keys=_keys(environment.get("ROUTER_KEYS", "")),
        policy=environment.get("ROUTER_POLICY") or "slo",
        stickiness_ms=_number(environment, "ROUTER_STICKINESS_MS", 100.0),
        front_door_id=environment.get("ROUTER_FRONT_DOOR_ID", ""),
        store_account=_store(environment),
        store_connection=environment.get("ROUTER_STORE_CONNECTION", "").strip(),
        client_id=environment.get("AZURE_CLIENT_ID") or None,
        sample_log=folder / environment["ROUTER_SAMPLE_LOG"] if environment.get("ROUTER_SAMPLE_LOG") else None,
    )


def _endpoints(environment: Mapping[str, str]) -> Mapping[str, str]:
    endpoints = _map(environment, "ROUTER_ENDPOINTS")
    for resource, url in endpoints.items():
        if not url.startswith(("https://", "http://")):
            raise ConfigurationError(f"ROUTER_ENDPOINTS: the endpoint of '{resource}' must be an http(s) URL")
    return endpoints


def _store(environment: Mapping[str, str]) -> str:
    endpoint = environment.get("ROUTER_STORE_ACCOUNT", "").strip()
    if endpoint and not endpoint.startswith("https://"):
        raise ConfigurationError("ROUTER_STORE_ACCOUNT must be a table endpoint: https://NAME.table.core.windows.net")
    if endpoint and environment.get("ROUTER_STORE_CONNECTION", "").strip():
        raise ConfigurationError("ROUTER_STORE_ACCOUNT and ROUTER_STORE_CONNECTION are both set; keep one")
    return endpoint


def _map(environment: Mapping[str, str], name: str) -> Mapping[str, str]:
    text = environment.get(name, "").strip()
    try:
        value = json.loads(text) if text else {}
    except ValueError as e:
        raise ConfigurationError(f"{name} must be a JSON object of resource keys") from e
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ConfigurationError(f"{name} must be a JSON object whose values are text")
    return value


def _keys(text: str) -> Mapping[str, str]:
    keys = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, digest = entry.partition(":")
        if not name or len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
            raise ConfigurationError("ROUTER_KEYS: each entry is name:sha256, as `make key NAME=...` prints it")
        keys[digest.lower()] = name
    return keys


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError as e:
        raise ConfigurationError(f"{name} must be a number") from e
    if not 0 <= value <= 60_000:
        raise ConfigurationError(f"{name} must be from 0 to 60000")
    return value

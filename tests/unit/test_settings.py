"""Settings: every variable with a good value, and a bad one named before anything starts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from routing.errors import ConfigurationError
from routing.settings import SETTINGS, Settings, read

FOLDER = Path("/app")
DIGEST = hashlib.sha256(b"key").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def of(**environment: str) -> Settings:
    return read(environment, FOLDER)


def test_an_empty_environment_has_defaults() -> None:
    assert of() == Settings(fleet=FOLDER / "fleet.json", region="")
    blank = of(**dict.fromkeys(SETTINGS, ""))
    assert blank == of(), "a variable that is set to nothing says nothing"


def test_every_variable_is_read() -> None:
    settings = of(
        ROUTER_FLEET="fleets/test.json",
        ROUTER_REGION="eastus",
        ROUTER_ENDPOINTS='{"acc": "https://acc.openai.azure.com"}',
        ROUTER_PROVIDER_KEYS='{"acc": "sk"}',
        ROUTER_KEYS=f"frontend:{DIGEST}, batch:{OTHER.upper()},",
        ROUTER_POLICY="round_robin",
        ROUTER_STICKINESS_MS="0",
        ROUTER_FRONT_DOOR_ID="fdid",
        ROUTER_STORE_ACCOUNT="https://name.table.core.windows.net",
        AZURE_CLIENT_ID="client",
    )
    assert settings == Settings(
        fleet=FOLDER / "fleets/test.json",
        region="eastus",
        endpoints={"acc": "https://acc.openai.azure.com"},
        provider_keys={"acc": "sk"},
        keys={DIGEST: "frontend", OTHER: "batch"},
        policy="round_robin",
        stickiness_ms=0.0,
        front_door_id="fdid",
        store_account="https://name.table.core.windows.net",
        client_id="client",
    )


def test_the_fleet_may_be_anywhere() -> None:
    assert of(ROUTER_FLEET="/data/fleet.json").fleet == Path("/data/fleet.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUTER_ENDPOINTS", "acc=https://x"),
        ("ROUTER_ENDPOINTS", "{"),
        ("ROUTER_ENDPOINTS", "[]"),
        ("ROUTER_ENDPOINTS", '{"acc": 5}'),
        ("ROUTER_ENDPOINTS", '{"acc": null}'),
        ("ROUTER_ENDPOINTS", '{"acc": "acc.openai.azure.com"}'),
        ("ROUTER_ENDPOINTS", '{"acc": "file:///etc/passwd"}'),
        ("ROUTER_ENDPOINTS", '{"acc": ""}'),
        ("ROUTER_PROVIDER_KEYS", "sk"),
        ("ROUTER_PROVIDER_KEYS", '{"acc": ["sk"]}'),
        ("ROUTER_KEYS", "frontend"),
        ("ROUTER_KEYS", f"frontend={DIGEST}"),
        ("ROUTER_KEYS", f":{DIGEST}"),
        ("ROUTER_KEYS", f"frontend:{DIGEST[:-1]}"),
        ("ROUTER_KEYS", f"frontend:{DIGEST[:-1]}g"),
        ("ROUTER_KEYS", f"frontend:{DIGEST},batch:"),
        ("ROUTER_STICKINESS_MS", "fast"),
        ("ROUTER_STICKINESS_MS", "nan"),
        ("ROUTER_STICKINESS_MS", "inf"),
        ("ROUTER_STICKINESS_MS", "-1"),
        ("ROUTER_STICKINESS_MS", "60001"),
        ("ROUTER_STORE_ACCOUNT", "name"),
        ("ROUTER_STORE_ACCOUNT", "http://name.table.core.windows.net"),
    ],
)
def test_a_bad_value_is_refused_and_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        of(**{name: value})
    assert name in failure.value.message


def test_two_stores_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="ROUTER_STORE_CONNECTION"):
        of(
            ROUTER_STORE_ACCOUNT="https://n.table.core.windows.net",
            ROUTER_STORE_CONNECTION="AccountKey=k",
        )


def test_no_secret_is_in_a_message_or_in_the_settings_own_words() -> None:
    with pytest.raises(ConfigurationError) as failure:
        of(ROUTER_PROVIDER_KEYS='{"acc": "sk-secret')
    assert "sk-secret" not in failure.value.message
    settings = of(
        ROUTER_PROVIDER_KEYS=json.dumps({"acc": "sk-secret"}),
        ROUTER_KEYS=f"frontend:{DIGEST}",
        ROUTER_STORE_CONNECTION="AccountKey=sk-secret",
    )
    assert "sk-secret" not in repr(settings)
    assert DIGEST not in repr(settings)


def test_the_settings_that_are_listed_are_those_that_are_read() -> None:
    class Watched(dict[str, str]):
        def __init__(self) -> None:
            super().__init__()
            self.asked: set[str] = set()

        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            self.asked.add(name)
            return default

    environment = Watched()
    read(environment, FOLDER)
    assert environment.asked == set(SETTINGS)


@pytest.mark.parametrize(
    "changed",
    [
        {"ROUTER_KEYS": f"web:{DIGEST}"},
        {"ROUTER_PROVIDER_KEYS": '{"acc": "another"}'},
        {"ROUTER_FRONT_DOOR_ID": "another"},
        {"ROUTER_STORE_CONNECTION": "another"},
    ],
)
def test_every_secret_is_part_of_what_instances_sign_with(changed: dict[str, str]) -> None:
    """So whoever lacks one of them cannot; and instances with the same settings, in whatever order, have the same."""
    secrets = {
        "ROUTER_KEYS": f"web:{DIGEST},batch:{OTHER}",
        "ROUTER_PROVIDER_KEYS": '{"acc": "sk", "bcc": "sk2"}',
        "ROUTER_FRONT_DOOR_ID": "fdid",
        "ROUTER_STORE_CONNECTION": "secret",
    }
    ours = of(**secrets).shared_secret()
    reordered = {"ROUTER_KEYS": f"batch:{OTHER},web:{DIGEST}", "ROUTER_PROVIDER_KEYS": '{"bcc": "sk2", "acc": "sk"}'}
    assert of(**secrets | reordered).shared_secret() == ours != of(**secrets | changed).shared_secret()

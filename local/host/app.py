"""A function app's folder: host.json, local.settings.json, and the functions that its code declares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


class AppFault(Exception):
    """The app cannot be run as it is; the text says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function and its trigger: the binding's JSON, as the worker's metadata give it."""

    id: str
    name: str
    trigger: Mapping[str, Any]

    @classmethod
    def read(cls, id_: str, name: str, raw_bindings: Iterable[str]) -> Self:
        """From the worker's metadata: every function has exactly one trigger among its bindings."""
        bindings = map(json.loads, raw_bindings)
        return cls(id_, name, next(binding for binding in bindings if binding["type"].lower().endswith("trigger")))


def disabled(name: str, settings: Mapping[str, str]) -> bool:
    """Whether the setting `AzureWebJobs.NAME.Disabled` takes the function out: a trigger then never calls it."""
    return settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1")


def route_prefix(folder: Path) -> str:
    """`extensions.http.routePrefix` of host.json; the Functions default is `api`. Raises AppFault."""
    settings: Any = _json_object(folder / "host.json")
    for name in ("extensions", "http"):
        settings = settings.get(name, {})
        if not isinstance(settings, dict):
            raise AppFault(f"{folder / 'host.json'}: {name} must be an object")
    prefix = settings.get("routePrefix", "api")
    if not isinstance(prefix, str):
        raise AppFault(f"{folder / 'host.json'}: extensions.http.routePrefix must be a string")
    return prefix


def local_settings(folder: Path) -> dict[str, str]:
    """`Values` of local.settings.json, empty where there is no such file. Raises AppFault."""
    path = folder / "local.settings.json"
    settings = _json_object(path)
    if settings.get("IsEncrypted"):
        raise AppFault(f"{path}: IsEncrypted is not supported; `func settings decrypt` makes it plain")
    values = settings.get("Values", {})
    if not isinstance(values, dict):
        raise AppFault(f"{path}: Values must be an object")
    for name, value in values.items():
        if not isinstance(value, str):
            raise AppFault(f"{path}: Values.{name} must be a string")
    return values


def add_missing(values: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """Put settings into an environment; what is set there already wins, as in Core Tools."""
    for name, value in values.items():
        environment.setdefault(name, value)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise AppFault(f"{path}: {e}") from e
    if not isinstance(found, dict):
        raise AppFault(f"{path}: must hold a JSON object")
    return found

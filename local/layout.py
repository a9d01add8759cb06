"""What `make run` starts and with which settings: worked out, and refused where it cannot be, before anything runs."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.azurite import connection
from local.host.app import local_settings
from local.host.lifetime import bound_socket
from routing.fleet import Fleet

STORES = ("ROUTER_STORE_ACCOUNT", "ROUTER_STORE_CONNECTION")


class Refused(Exception):
    """It cannot be run like this; the text says why and what to change."""


@dataclass(frozen=True, slots=True)
class Site:
    """One region's app: its port and its settings."""

    region: str
    port: int
    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that is to be started."""

    app: Path
    sites: Sequence[Site]
    simulator_port: int | None  # None where local.settings.json names real endpoints
    azurite_port: int | None  # of the store that several regions share; None for one region, or a store of one's own
    key: str | None  # for development; None where local.settings.json has keys of its own


def lay_out(app: Path, fleet: Fleet, port: int, regions: int) -> Layout:
    """The app of a folder in the first regions of a fleet, at ports from `port` on.

    The simulator is at the port before them, and for several regions Azurite at the one behind.
    Settings of local.settings.json with a ROUTER_ENDPOINTS are used as they are, and there is no simulator. Raises
    Refused, and AppFault for a faulty local.settings.json.
    """
    if not 1 <= regions <= len(fleet.regions):
        raise Refused(f"REGIONS={regions} cannot be: fleet.json has {len(fleet.regions)} regions")
    if not 2 <= port <= 65535 - regions:
        raise Refused(f"PORT={port} cannot be: it must be from 2 to {65535 - regions}")
    own = local_settings(app)
    real = bool(own.get("ROUTER_ENDPOINTS"))
    simulator_port = None if real else port - 1
    key = None if real and own.get("ROUTER_KEYS") else f"sk-local-{secrets.token_hex(16)}"
    names = [region.id for region in fleet.regions[:regions]]
    if real and regions == 1:
        names = [own.get("ROUTER_REGION") or names[0]]
    azurite_port = None if regions == 1 or any(own.get(name) for name in STORES) else port + regions
    sites = [
        Site(name, port + i, _settings(fleet, name, simulator_port, key) | _store(azurite_port))
        for i, name in enumerate(names)
    ]
    return Layout(app, sites, simulator_port, azurite_port, key)


def check_ports(layout: Layout) -> None:
    """Raises Refused for the first port that cannot be had."""
    simulator = [(layout.simulator_port, "the simulator")] if layout.simulator_port else []
    azurite = [(layout.azurite_port, "Azurite")] if layout.azurite_port else []
    for port, user in [*simulator, *azurite, *((site.port, site.region) for site in layout.sites)]:
        try:
            bound_socket(port).close()
        except OSError as e:
            raise Refused(f"port {port} for {user} cannot be used ({e.strerror}); choose others with PORT=") from e


def _store(azurite_port: int | None) -> dict[str, str]:
    return {"ROUTER_STORE_CONNECTION": connection(azurite_port)} if azurite_port else {}


def _settings(fleet: Fleet, region: str, simulator_port: int | None, key: str | None) -> dict[str, str]:
    settings = {"ROUTER_REGION": region}
    if key:
        settings["ROUTER_KEYS"] = f"developer:{hashlib.sha256(key.encode()).hexdigest()}"
    if simulator_port:
        resources = sorted({deployment.resource for deployment in fleet.deployments})
        base = f"http://127.0.0.1:{simulator_port}/from/{region}/to"
        settings["ROUTER_ENDPOINTS"] = json.dumps({resource: f"{base}/{resource}" for resource in resources})
        settings["ROUTER_PROVIDER_KEYS"] = json.dumps(dict.fromkeys(resources, "simulated"))
    return settings

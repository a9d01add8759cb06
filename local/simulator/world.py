"""All that a running simulator holds: the fleet's endpoints, the weather, the faults, and one source of chance."""

from __future__ import annotations

from random import Random

from local.simulator import clock
from local.simulator.endpoint import Endpoint
from local.simulator.faults import Faults
from local.simulator.latency import Weather
from routing.fleet import Fleet, Provider


class World:
    """The simulated regions."""

    def __init__(self, fleet: Fleet, seed: int, *, calm: bool) -> None:
        self.fleet, self.seed, self.rng = fleet, seed, Random(seed)
        self.faults, now = Faults(fleet), clock.now()
        regions = sorted({d.region for d in fleet.deployments})
        self.weather = Weather(regions, now, self.rng, calm=calm)
        self.endpoints = [Endpoint(fleet, d, now) for d in fleet.deployments]
        self._by_address = {
            (e.deployment.resource, e.deployment.upstream_name, e.deployment.provider): e for e in self.endpoints
        }

    def find(self, resource: str, name: str, providers: tuple[Provider, ...]) -> Endpoint | None:
        """The deployment that `resource` has under `name` and that speaks the format of the path called."""
        found = (self._by_address.get((resource, name, provider)) for provider in providers)
        return next((endpoint for endpoint in found if endpoint), None)

    def half_trip_s(self, origin: str, endpoint: Endpoint) -> float:
        """Half the round trip from a region (id or alias) to a deployment, seconds."""
        region = self.fleet.region_by_name[origin].id
        return self.fleet.rtt_ms(region, endpoint.deployment.region) / 2000

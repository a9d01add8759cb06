"""The simulated world: which deployment an address means, and how far it is."""

from pathlib import Path

import pytest

from local.simulator.world import World
from routing.fleet import load


@pytest.fixture(scope="module")
def world() -> World:
    return World(load(Path(__file__).parents[3] / "fleet.json"), seed=0, calm=True)


def test_an_address_is_resource_name_and_provider(world: World) -> None:
    found = world.find("openai-westus", "gpt-5.4", ("openai", "azure_openai"))
    assert found is not None
    assert found.deployment.id == "westus-gpt-5.4"
    assert world.find("openai-westus", "gpt-5.4", ("openai",)) is None
    assert world.find("openai-westus", "gpt-9", ("azure_openai",)) is None
    assert world.find("claude-eastus2", "gpt-5.4", ("azure_openai",)) is None


@pytest.mark.parametrize("origin", ["westeurope", "eu-west"])
def test_each_way_takes_half_the_round_trip(world: World, origin: str) -> None:
    endpoint = world.find("openai-westus", "gpt-5.4", ("azure_openai",))
    assert endpoint is not None
    assert world.half_trip_s(origin, endpoint) == world.fleet.rtt_ms("westeurope", "westus") / 2 / 1_000


def test_every_deployment_of_the_fleet_has_an_address_of_its_own(world: World) -> None:
    found = [world.find(d.resource, d.upstream_name, (d.provider,)) for d in world.fleet.deployments]
    assert [e.deployment if e else None for e in found] == list(world.fleet.deployments)

"""What fails or slows down is seen, left and come back to in time."""

from __future__ import annotations

import pytest

from bench.routing.world import REFUSES
from tests.balance.worlds import equal, run, sends, slow

FAIR = 0.25  # share of one of four equal deployments
AVOIDED, BACK = 0.2 * FAIR, 0.5 * FAIR


def test_a_deployment_that_fails_fast_gets_a_twentieth_of_the_calls_at_most() -> None:
    world = equal(deployments=4, rate=40.0, duration=60.0)
    world.down[:, 0] = REFUSES
    record = run(world)
    assert sends(record, 0, record.sends[20][0], 60.0) <= 0.05
    assert not record.errors


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_brown_out_is_avoided_within_five_seconds_by_an_instance_that_sends_much(seed: int) -> None:
    world = equal(deployments=4, rate=10.0, duration=180.0, seed=seed)
    slow(world, 0, 60.0, 120.0, 6.0)
    record = run(world)
    assert sends(record, 0, 20.0, 60.0) >= BACK
    assert sends(record, 0, 65.0, 120.0) <= AVOIDED


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_brown_out_is_avoided_within_twenty_five_seconds_by_instances_that_hear_of_it(seed: int) -> None:
    world = equal(deployments=4, rate=10.0, duration=180.0, instances=20, seed=seed)
    slow(world, 0, 60.0, 120.0, 6.0)
    record = run(world)
    assert sends(record, 0, 20.0, 60.0) >= BACK
    assert sends(record, 0, 85.0, 120.0) <= AVOIDED


@pytest.mark.parametrize("instances", [1, 20])
def test_a_deployment_is_used_again_within_thirty_seconds_of_the_end_of_its_brown_out(instances: int) -> None:
    """Mean of three seeds: few requests look first."""
    shares = []
    for seed in (1, 2, 3):
        world = equal(deployments=4, rate=10.0, duration=260.0, instances=instances, seed=seed)
        slow(world, 0, 60.0, 120.0, 6.0)
        shares.append(sends(run(world), 0, 150.0, 200.0))
    assert sum(shares) / len(shares) >= BACK

"""What a probe is to the router beside a measurement: nothing."""

from __future__ import annotations

from random import Random

from routing.engine import probe
from routing.plan import Plan, Start
from routing.policy.slo import SloPolicy
from tests.unit.fleets import deployment, view


def test_probes_do_not_move_the_mean_prompt_that_a_hedge_is_priced_by() -> None:
    """After a quiet night the first prompts of the day are not long ones."""
    seen = view(deployment("a"))
    for _ in range(50):
        Plan(probe._request("a").ask, seen, SloPolicy(), Random(1), 0.0).on(Start(), 0.0)
    assert seen.slots.in_flight == [50]
    assert seen.mean_prompt == 1_000.0

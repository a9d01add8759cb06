"""A part that is switched off no longer acts, every other part still does, and afterwards all is as before.

For each part there is a probe: a situation of its own, and whether the part acts in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bench.routing.__main__ import main
from bench.routing.ablations import ABLATED, PARTS, without
from bench.routing.instances import Instance, SharedStore
from bench.routing.runs import Job, maker, run_job
from routing.errors import RateLimited, ServerError
from routing.plan import Failed, Open, Start, Tick
from routing.policy.slo import SloPolicy
from routing.policy.view import View
from tests.unit.fleets import deployment, equal, view
from tests.unit.plan.life import ask, scripted
from tests.unit.policy.measured import NOW, measured

POLICY = SloPolicy()


def shares(seen: View, left: float, retry: bool = False) -> list[float]:
    """The share of 500 choices that each deployment gets."""
    rng, names = Random(3), range(len(seen.tier))
    chosen = Counter(POLICY.choose(seen, ask(), names, left, NOW, rng, retry).score.deployment for _ in range(500))
    return [chosen[d] / 500 for d in names]


def planned(seen: View, purse: float = 2.0) -> float | None:
    """When a call to the first of two, the slower one, is to be hedged."""
    seen.hedges.content = purse
    choice = POLICY.choose(seen, ask(), (0,), 0.9, NOW, Random(1), False)
    choice.second = 1
    return POLICY.hedge_after(seen, ask(), choice, 0.9, NOW)


def fail(seen: View, d: int, times: int = 3) -> None:
    for _ in range(times):
        seen.health.failed(d, NOW, Random(1))


# ---------------------------------------------------------------------- what is believed
def learnt_pace() -> bool:
    """A stream ten times as slow as the prior's moves the pace."""
    tracker = view(deployment()).tracker
    before = tracker.beliefs[0].pace
    tracker.pace(0, NOW, 10 * before)
    return tracker.beliefs[0].pace != before


def learnt_spread() -> bool:
    """Samples that lie far apart widen the distribution."""
    tracker = view(deployment()).tracker
    before = tracker.beliefs[0].spread
    for ttft in (0.1, 5.0, 0.1, 5.0):
        tracker.first_content(0, NOW, ttft, 1_000)
    return tracker.beliefs[0].spread != pytest.approx(before, rel=1e-9)


def failing() -> bool:
    tracker = view(deployment()).tracker
    tracker.failed(0, NOW, rate_limited=False)
    return tracker.beliefs[0].keep < 1


def silence() -> bool:
    tracker = view(deployment()).tracker
    tracker.silent(0, NOW, 30.0, 1_000)
    return tracker.beliefs[0].level > 0


def prompt_factor() -> bool:
    """A long prompt is given more time, in predicting or in learning."""
    seen = view(deployment())
    short, long = (POLICY.score(seen, ask(tokens_in=n), (0,), 0.6, NOW)[0].probability for n in (1_000, 60_000))
    seen.tracker.first_content(0, NOW, 0.5, 60_000)
    learned = seen.tracker.beliefs[0].level
    seen = view(deployment())
    seen.tracker.first_content(0, NOW, 0.5, 1_000)
    return short != long or learned != seen.tracker.beliefs[0].level


def samples_seen_after(wait: float) -> float:
    """Of ten samples, how many the beliefs count after a wait without news."""
    seen = measured(500.0, samples=10)
    seen.tracker.renew(NOW)
    return seen.tracker.renew(NOW + wait)[0].samples


def renewal() -> bool:
    """After a minute without news, samples count less."""
    return samples_seen_after(60.0) < 10


def cached_beliefs() -> bool:
    """A second later they count as before."""
    return samples_seen_after(1.0) == 10


def sharing() -> bool:
    """One instance hears what another learned."""
    store, (one, other) = SharedStore(), (Instance(equal(1), "eastus", POLICY, seed) for seed in (1, 2))
    one.view.tracker.first_content(0, NOW, 3.0, 1_000)
    store.flush(one, NOW)
    store.merge(NOW)
    for instance in (one, other):
        store.pull(instance, NOW)
    assert one.view.tracker.beliefs[0].level > 0, "its own samples it has either way"
    return other.view.tracker.beliefs[0].level > 0


# ---------------------------------------------------------------------- the choice
def spreading() -> bool:
    """The second best gets some."""
    return shares(measured(500.0, 650.0), 1.0)[1] > 0


def second_of_two() -> bool:
    """Of equals, the one with five calls in flight is only taken where both draws are of it."""
    seen = measured(500.0, 500.0)
    for _ in range(5):
        assert seen.slots.lease(1)
    return 0.15 < shares(seen, 60.0)[1] < 0.35


def headroom() -> bool:
    """Of equals, the one that has used up half of its quota gets less."""
    seen = measured(500.0, 500.0)
    seen.quota.used[0], seen.quota.used_at[0] = 0.5, NOW
    return 0 < shares(seen, 60.0)[0] < 0.3


def crowding() -> bool:
    """Beyond half of its quota a deployment is worth less, however likely it is."""
    seen = measured(500.0)
    seen.quota.used[0], seen.quota.used_at[0] = 0.9, NOW
    (score,) = SloPolicy().score(seen, ask(), (0,), 60.0, NOW)
    return score.value < score.probability - 0.1


def quota_headers() -> bool:
    seen = view(deployment())
    seen.quota.saw(0, NOW, 0.9)
    return seen.quota.utilisation(0, NOW, 0.0) > 0


def send_rate() -> bool:
    tracker = view(deployment()).tracker
    tracker.sent(0, NOW, 1.0)
    return tracker.belief(0, NOW).sent > 0


def exploration() -> bool:
    """Of two unknown equals, now one is thought the better, now the other."""
    seen, rng = view(*(deployment(name) for name in "abc")), Random(2)
    choices = [POLICY.choose(seen, ask(), (0, 1, 2), 1.0, NOW, rng, False) for _ in range(100)]
    return len({c.second for c in choices if c.score.deployment == 0}) > 1


def hopeless() -> bool:
    """Where nobody can make it, the fastest is taken all the same."""
    return shares(measured(500.0, 5_000.0), 0.001)[0] > 0.9


# ---------------------------------------------------------------------- hedges
def hedges() -> bool:
    return planned(measured(700.0, 200.0)) is not None


def hedge_price() -> bool:
    """What a hedge must bring depends on what the purse holds."""
    seen = measured(700.0, 200.0)
    return planned(seen, purse=0.0) != planned(seen, purse=4.0)


def hedge_call_cost() -> bool:
    """A hedge costs a call, however few tokens it holds."""
    return view(deployment()).hedge_cost(0) > 0


def no_hedge_after_429() -> bool:
    """A retry is hedged, but not one after a 429."""

    def hedged(error: RateLimited | ServerError) -> bool:
        life = scripted(hedge_s=0.1, asked=ask(target_s=2.0))
        life.on(Start(), 0.0)
        life.on(Failed(0, error), 0.05)
        return any(isinstance(action, Open) and action.hedge for action in life.on(Tick(), 0.2))

    return hedged(ServerError("down")) and not hedged(RateLimited("full", 1.0))


# ---------------------------------------------------------------------- after a failure
def ejection() -> bool:
    seen = view(deployment("a"), deployment("b"))
    fail(seen, 0)
    return seen.health.closed_until[0] > NOW


def ejection_bound() -> bool:
    """If all fail, half of them stay."""
    seen = view(*(deployment(name) for name in "abcd"))
    for d in range(4):
        fail(seen, d)
    return sum(until > NOW for until in seen.health.closed_until) < 4


def failover_purse() -> bool:
    failovers = view(deployment()).failovers
    return not all(failovers.take() for _ in range(100))


def retry_softness() -> bool:
    """The worse one gets more of the retries than of the first tries."""
    first, retries = (shares(measured(500.0, 650.0), 1.0, retry)[1] for retry in (False, True))
    return retries > 1.5 * first


def other_region() -> bool:
    """After a failure in eastus, what is left there is no candidate while there is another region."""
    seen = view(deployment("a"), deployment("b"), deployment("c", region="westus"))
    life = scripted(on=seen)
    life.on(Start(), 0.0)
    life.on(Failed(0, ServerError("down")), 0.1)
    return life.called == ["a", "c"]


def dice() -> bool:
    """An instance draws as its seed says."""
    return Instance(equal(1), "eastus", POLICY, 7).rng.random() == Random(7).random()


PROBES: dict[str, Callable[[], bool]] = {
    probe.__name__: probe
    for probe in (
        learnt_pace, learnt_spread, failing, silence, prompt_factor, renewal, cached_beliefs, sharing, spreading,
        second_of_two, headroom, crowding, quota_headers, send_rate, exploration, hopeless, hedges, hedge_price,
        hedge_call_cost, no_hedge_after_429, ejection, ejection_bound, failover_purse, retry_softness, other_region,
        dice,
    )
}  # fmt: skip
INCLUDED = {  # what is a part of a part
    "spreading": {"second_of_two", "headroom", "retry_softness"},
    "hedges": {"hedge_price"},
}


def acting() -> set[str]:
    return {name for name, probe in PROBES.items() if probe()}


def test_every_part_has_its_probe() -> None:
    assert list(PROBES) == list(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_without_a_part_it_alone_does_not_act_and_afterwards_all_do(part: str) -> None:
    with without(part):
        assert acting() == set(PROBES) - {part} - INCLUDED.get(part, set())
    assert acting() == set(PROBES)


@pytest.mark.parametrize("part", PARTS)
def test_what_was_put_in_its_place_is_taken_out_again_even_after_an_error(part: str) -> None:
    changes = PARTS[part].changes
    before = [vars(owner)[attribute] for owner, attribute, _ in changes]
    with pytest.raises(ZeroDivisionError), without(part):
        0 / 0  # noqa: B018
    assert all(vars(owner)[attribute] is old for (owner, attribute, _), old in zip(changes, before, strict=True))


def test_a_run_without_a_part_meets_the_same_world_and_leaves_nothing_behind() -> None:
    def measures(policy: str) -> dict[str, float]:
        return run_job(Job("base", 1, policy, share=0.05)).measures

    before = measures("slo")
    changed = {policy: measures(policy) for policy in ("slo-hedges", "slo-spreading", "slo-learnt_pace")}
    assert before["hedges"] > 0
    assert changed["slo-hedges"]["hedges"] == 0
    assert all(one["hit"] != before["hit"] for one in changed.values())
    assert measures("slo") == before


def test_only_runs_switch_parts_off() -> None:
    """Elsewhere the name would stand for the whole policy: it is unknown there."""
    with pytest.raises(KeyError):
        maker("slo-hedges")
    assert ABLATED["slo-hedges"] == "hedges"


def test_the_command_adds_a_row_for_each_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenarios", "azure", "--seeds", "1", "--share", "0.02", "--processes", "1", "--out", str(tmp_path)]
    main([*arguments, "--without", "hedges,sharing"], environment={})
    printed = capsys.readouterr().out
    against = printed[printed.index("| against slo, points") :].split("\n\n")[0].splitlines()
    assert [row.split(" |")[0] for row in against[2:]] == ["| slo-sharing", "| slo-hedges"]
    assert main([*arguments, "--without", "wings"], environment={}) == 2
    assert capsys.readouterr().err.startswith("unknown: wings; known are learnt_pace, ")


def test_the_list_tells_what_is_instead_of_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"], environment={})
    printed = capsys.readouterr().out
    assert all(name in printed and part.without_it in printed for name, part in PARTS.items())

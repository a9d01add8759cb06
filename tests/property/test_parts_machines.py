"""Machines of the small parts: slots, purse, ejection and affinity, each beside a model of a few integers."""

from __future__ import annotations

from collections import OrderedDict
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from routing import affinity
from routing.affinity import Affinity
from routing.health.ejection import Ejections
from routing.load.purse import Purse
from routing.load.slots import Lease, Slots

SMALL = settings(max_examples=40, stateful_step_count=30)


class SlotsMachine(RuleBasedStateMachine):
    """Never above the limit, never below zero, and a lease gives back one slot however often it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots([1, 2, 20])
        self.leases: list[tuple[int, Lease]] = []
        self.held = [0, 0, 0]

    @rule(d=st.integers(0, 2))
    def acquire(self, d: int) -> None:
        full, lease = self.slots.full(d), self.slots.lease(d)
        assert (lease is None) == full
        if lease is not None:
            self.leases.append((d, lease))
            self.held[d] += 1

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 100), again=st.booleans())
    def release(self, pick: int, again: bool) -> None:
        d, lease = self.leases.pop(pick % len(self.leases))
        lease.close()
        if again:
            lease.close()
        self.held[d] -= 1

    @invariant()
    def in_flight_is_what_is_held(self) -> None:
        assert self.slots.in_flight == self.held
        assert all(0 <= n <= limit for n, limit in zip(self.held, self.slots.limits, strict=True))


class PurseMachine(RuleBasedStateMachine):
    """What was spent never exceeds the start and the share of what was paid in."""

    @initialize(share=st.sampled_from([0.05, 0.07, 0.1, 0.5]), cap=st.sampled_from([1.0, 4.0, 20.0]))
    def begin(self, share: float, cap: float) -> None:
        self.purse = Purse(share, cap, cap / 2)
        self.income, self.spent = cap / 2, 0.0

    @rule(cost=st.floats(0.0, 5.0))
    def pay_in(self, cost: float) -> None:
        self.purse.pay_in(cost)
        self.income += self.purse.share * cost

    @rule(cost=st.floats(0.0, 5.0), used=st.booleans())
    def take(self, cost: float, used: bool) -> None:
        before = self.purse.content
        held, taken = self.purse.holds(cost), self.purse.take(cost)
        assert taken == held
        assert self.purse.content == (pytest.approx(before - cost) if taken else before)
        if taken and used:
            self.spent += cost
        elif taken:
            self.purse.refund(cost)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "purse"):
            assert 0 <= self.purse.content <= self.purse.cap
            assert self.spent <= self.income + 1e-9


class EjectionMachine(RuleBasedStateMachine):
    """At most half is ejected, never all, nothing is shortened, and a 429 is kept to the moment that it named."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.rng = 1_000.0, Random(1)
        self.named: dict[int, float] = {}

    @initialize(size=st.integers(1, 6))
    def begin(self, size: int) -> None:
        self.health, self.size = Ejections(size), size
        self.before = list(self.health.closed_until)

    @rule(d=st.integers(0, 5), times=st.integers(1, 5))
    def fail(self, d: int, times: int) -> None:
        for _ in range(times):
            self.health.failed(d % self.size, self.now, self.rng)

    @rule(d=st.integers(0, 5))
    def succeed(self, d: int) -> None:
        self.health.succeeded(d % self.size)

    @rule(d=st.integers(0, 5), hint=st.one_of(st.none(), st.floats(0.0, 120.0)))
    def refuse(self, d: int, hint: float | None) -> None:
        self.health.rate_limited(d % self.size, self.now, hint, self.rng)
        self.named[d % self.size] = max(self.named.get(d % self.size, 0.0), self.now + (hint or 0.0))

    @rule(d=st.integers(0, 5))
    def misconfigure(self, d: int) -> None:
        self.health.misconfigured(d % self.size, self.now)

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounded(self) -> None:
        if not hasattr(self, "health"):
            return
        closed = self.health.closed_until
        ejected = [d for d in range(self.size) if closed[d] > self.now and self.health.why[d] == "ejected"]
        assert len(ejected) <= self.size / 2
        assert all(after >= before for after, before in zip(closed, self.before, strict=True))
        assert all(self.health.refused_until[d] >= until for d, until in self.named.items())
        assert all(until <= closed[d] for d, until in enumerate(self.health.refused_until))
        assert all(until <= self.now + 180.0 for until in closed)  # 120 s is the longest hint, with its jitter
        self.before = list(closed)


class AffinityMachine(RuleBasedStateMachine):
    """The same as a dictionary that forgets the least recently seen of more than four users."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(affinity, "CAPACITY", 4)
        self.homes, self.model = Affinity(), OrderedDict[str, str]()

    @rule(user=st.sampled_from("abcdefg"), region=st.sampled_from(["eastus", "westus"]))
    def settle(self, user: str, region: str) -> None:
        self.homes.settle(user, region)
        self.model[user] = region
        self.model.move_to_end(user)
        while len(self.model) > 4:
            self.model.popitem(last=False)

    @rule(user=st.sampled_from("abcdefg"))
    def home(self, user: str) -> None:
        assert self.homes.home(user) == self.model.get(user)
        if user in self.model:
            self.model.move_to_end(user)

    def teardown(self) -> None:
        self.patch.undo()


TestSlots = SlotsMachine.TestCase
TestPurse = PurseMachine.TestCase
TestEjection = EjectionMachine.TestCase
TestAffinity = AffinityMachine.TestCase
for case in (TestSlots, TestPurse, TestEjection, TestAffinity):
    case.settings = SMALL

"""Slots and leases, and the expected wait for a slot."""

from __future__ import annotations

import pytest

from routing.load.slots import Slots, queue_s


@pytest.mark.parametrize(("concurrency", "usable"), [(1, 1), (2, 1), (20, 19), (100, 95), (200, 190)])
def test_ninety_five_percent_of_the_slots_can_be_leased(concurrency: int, usable: int) -> None:
    slots = Slots([concurrency])
    leases = [slots.lease(0) for _ in range(usable)]
    assert None not in leases
    assert slots.full(0)
    assert slots.lease(0) is None
    assert slots.in_flight == [usable]


def test_a_closed_lease_makes_room_for_another() -> None:
    slots = Slots([1])
    lease = slots.lease(0)
    assert lease is not None
    lease.close()
    assert not slots.full(0)
    assert slots.lease(0) is not None


def test_closing_twice_gives_back_one_slot() -> None:
    slots = Slots([10])
    first, second = slots.lease(0), slots.lease(0)
    assert first is not None
    assert second is not None
    first.close()
    first.close()
    assert slots.in_flight == [1]


def test_deployments_have_slots_of_their_own() -> None:
    slots = Slots([1, 1])
    slots.lease(0)
    assert slots.full(0)
    assert not slots.full(1)
    assert slots.in_flight == [1, 0]


def test_the_queue_is_sakasegawas() -> None:
    """24 of 30 slots taken for 2 s each: 2 x 0.8^(sqrt(62) - 1) / (30 x 0.2)."""
    assert queue_s(24, 30, 2.0) == pytest.approx(2 * 0.8 ** (62**0.5 - 1) / 6)


def test_below_half_of_the_slots_there_is_no_queue() -> None:
    assert queue_s(0, 30, 2.0) == queue_s(14, 30, 2.0) == 0.0
    assert queue_s(15, 30, 2.0) > 0.0


@pytest.mark.parametrize("slots", [30, 50, 200])
def test_what_is_taken_as_no_queue_is_under_a_thousandth_of_a_service_time(slots: int) -> None:
    assert queue_s(slots // 2, slots, 1.0) < 0.001


@pytest.mark.parametrize("slots", [1, 2, 30, 200])
def test_the_queue_grows_with_what_is_in_flight_and_stays_finite(slots: int) -> None:
    waits = [queue_s(n, slots, 1.0) for n in range(2 * slots + 1)]
    assert waits == sorted(waits)
    assert waits[-1] < 100.0

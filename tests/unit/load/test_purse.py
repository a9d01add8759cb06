"""The purse that bounds extra calls."""

from __future__ import annotations

from routing.load.purse import Purse


def test_it_pays_until_it_is_empty() -> None:
    purse = Purse(share=0.1, cap=4.0, start=2.0)
    assert [purse.take() for _ in range(3)] == [True, True, False]
    assert purse.content == 0.0


def test_what_it_cannot_pay_takes_nothing() -> None:
    purse = Purse(share=0.1, cap=4.0, start=2.0)
    assert not purse.take(2.5)
    assert purse.content == 2.0
    assert purse.holds(2.0)
    assert not purse.holds(2.0001)


def test_each_call_pays_its_share_in_up_to_the_cap() -> None:
    purse = Purse(share=0.5, cap=4.0, start=0.0)
    purse.pay_in()
    assert purse.content == 0.5
    purse.pay_in(3.0)
    assert purse.content == 2.0
    purse.pay_in(100.0)
    assert purse.content == 4.0


def test_a_refund_gives_back_up_to_the_cap() -> None:
    purse = Purse(share=0.1, cap=4.0, start=4.0)
    purse.take(1.5)
    purse.refund(1.5)
    assert purse.content == 4.0
    purse.refund(1.5)
    assert purse.content == 4.0

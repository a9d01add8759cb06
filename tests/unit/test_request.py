"""The vocabulary of a request."""

from __future__ import annotations

from routing.request import Demand, LatencyPriority


def test_equal_demands_are_one_key() -> None:
    """What a kind of request leaves of the fleet is computed once."""
    one = Demand(models=("m",), needs=frozenset({"tools", "images"}))
    assert {one: 1}[Demand(models=("m",), needs=frozenset({"images", "tools"}))] == 1
    assert one != Demand(models=("m",), needs=frozenset({"tools"}))


def test_priorities_are_the_words_that_callers_send() -> None:
    assert [LatencyPriority(word).name for word in ("streaming", "total", "throughput")] == [
        "STREAMING",
        "TOTAL",
        "THROUGHPUT",
    ]

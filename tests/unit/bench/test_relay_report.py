"""Medians, ratios and the table."""

import math

import pytest

from bench.relay.imports import UNKNOWN, Import
from bench.relay.percentile import percentile
from bench.relay.report import ROWS, aims, caveats, middle, ratio, spread, table

FAST = [{"streams_per_s": 900.0}, {"streams_per_s": 1000.0}, {"streams_per_s": 1200.0}]
SLOW = [{"streams_per_s": 250.0}, {"streams_per_s": 250.0}, {"streams_per_s": 260.0}]


@pytest.mark.parametrize(("p", "expected"), [(0, 1), (50, 50), (50.5, 51), (99, 99), (99.5, 100), (100, 100)])
def test_percentile_is_the_nearest_rank(p: float, expected: float) -> None:
    assert percentile([float(i) for i in range(100, 0, -1)], p) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([3.0], 1) == percentile([3.0], 99) == 3.0


def test_percentile_of_nothing_is_unknown() -> None:
    assert math.isnan(percentile([], 50))


def test_middle_is_the_median_of_the_rounds_that_have_the_figure() -> None:
    assert middle([*FAST, {}, {"streams_per_s": math.nan}], "streams_per_s") == 1000
    assert math.isnan(middle([{}], "streams_per_s"))


def test_spread_is_the_range_as_a_share_of_the_median() -> None:
    assert spread(FAST, "streams_per_s") == pytest.approx(0.3)
    assert math.isnan(spread(FAST[:1], "streams_per_s"))


def test_ratio_to_nothing_is_unknown() -> None:
    assert math.isnan(ratio(1.0, 0.0))


def test_table_sets_medians_beside_each_other_with_their_ratio_to_the_bare_relay() -> None:
    lines = table({"a": ("app", SLOW), "c": ("bare", FAST)}).splitlines()
    assert lines[0] == "| one process each | (a) app | (c) bare | a ÷ c | rounds differ by |"
    assert lines[1] == "| --- | --: | --: | --: | --: |"
    assert "| streams/s of 32 tokens | 250 | 1,000 | 0.25 | 30% |" in lines


def test_table_has_every_row_and_says_what_is_not_known() -> None:
    lines = table({"a": ("app", []), "c": ("bare", FAST)}).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert "| streams/s of 32 tokens | n/a | 1,000 | n/a | 30% |" in lines


@pytest.mark.parametrize(
    ("streams_per_s", "cpu_ms_per_stream", "ttft_p50_ms", "wall_s", "expected"),
    [
        (500.0, 0.8, 2.4, 0.7, ["met", "met", "met"]),
        (490.0, 0.8, 2.5, 0.71, ["missed", "missed", "missed"]),
        (900.0, 0.81, 0.5, 0.1, ["missed", "met", "met"]),  # a neighbour held the base up: CPU time tells
        (500.0, math.nan, 2.4, 0.7, ["met", "met", "met"]),  # where no CPU time is to be had
    ],
)
def test_aims_tell_what_was_met(
    streams_per_s: float, cpu_ms_per_stream: float, ttft_p50_ms: float, wall_s: float, expected: list[str]
) -> None:
    app = [{"streams_per_s": streams_per_s, "cpu_ms_per_stream": cpu_ms_per_stream, "ttft_p50_ms": ttft_p50_ms}]
    base = [{"streams_per_s": 1000.0, "cpu_ms_per_stream": 0.4, "ttft_p50_ms": 0.9}]
    assert [line.split()[0] for line in aims(app, base, Import(wall_s, 0.1))] == expected


def test_aim_without_a_figure_is_missed() -> None:
    assert all(line.startswith("missed") and "n/a" in line for line in aims([], [], UNKNOWN))


def test_a_program_without_its_whole_core_is_named() -> None:
    columns = {"a": ("app", [{"busy": 0.6}]), "b": ("host", [{"busy": 0.99}]), "c": ("bare", [])}
    (told,) = caveats(columns)
    assert told.startswith("(a) had 60% of its core")

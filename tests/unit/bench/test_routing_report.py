"""The table says what the runs say, paired by world."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.routing import intervals
from bench.routing.__main__ import main
from bench.routing.arguments import names, periods
from bench.routing.plot import dot_plot
from bench.routing.report import details, mean, paired, tables
from bench.routing.runs import Job, Run, world_of
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.errors import ConfigurationError


def runs() -> list[Run]:
    rows = [("slo", 0.9, 0.8), ("c3", 0.8, 0.72), ("state_oracle", 0.95, 0.9)]
    return [
        Run(scenario, seed, policy, {"hit": hit + 0.01 * seed, "hedges": 0.05})
        for policy, *hits in rows
        for scenario, hit in zip(("base", "heavy"), hits, strict=True)
        for seed in (1, 2)
    ]


def test_means_are_over_seeds_and_scenarios() -> None:
    assert mean(runs(), "slo", "hit", "base") == pytest.approx(0.915)
    assert mean(runs(), "slo", "hit") == pytest.approx(0.865)
    assert math.isnan(mean(runs(), "slo", "recover_s"))


def test_differences_are_paired_by_world() -> None:
    difference, interval = paired(runs(), "c3", "slo", "base")
    assert (difference, interval) == pytest.approx((-10.0, 0.0), abs=1e-9)


def test_the_scenarios_of_a_seed_count_as_one_world() -> None:
    """Differences of -10 and -8 points in each seed: however far scenarios lie apart, seeds agree. And -9, -7, -5."""
    assert paired(runs(), "c3", "slo") == pytest.approx((-9.0, 0.0), abs=1e-9)
    moved = [
        Run(run.scenario, seed, run.policy, {"hit": run.measures["hit"] + (0.02 * seed if run.policy == "c3" else 0.0)})
        for run in runs()
        if run.seed == 1
        for seed in range(3)
    ]
    assert paired(moved, "c3", "slo") == pytest.approx((-7.0, 4.30 * 2.0 / math.sqrt(3)))


def test_one_seed_has_no_interval_however_many_its_scenarios() -> None:
    difference, interval = paired([run for run in runs() if run.seed == 1], "c3", "slo")
    assert difference == pytest.approx(-9.0)
    assert math.isnan(interval)


def test_the_table_holds_hit_rates_differences_and_regret() -> None:
    text = tables(runs(), ["slo", "c3", "state_oracle"], ["base", "heavy"])
    assert "| slo | 91.5 | 81.5 | **86.5** | 7.5 |\n" in text
    assert "| c3 | 81.5 | 73.5 | **77.5** | 16.5 |\n" in text
    assert "| c3 | -10.0 ± 0.0 | -8.0 ± 0.0 | **-9.0 ± 0.0** |" in text


def test_there_is_a_column_for_an_oracle_only_where_it_was_run() -> None:
    both = [*runs(), *(Run("base", seed, "clairvoyant", {"hit": 0.99}) for seed in (1, 2))]
    with_both = tables(both, ["slo", "state_oracle", "clairvoyant"], ["base"])
    assert "| mean | under the state oracle | under the clairvoyant |" in with_both
    assert "under the clairvoyant" not in tables(runs(), ["slo", "state_oracle"], ["base"])
    assert "under" not in tables(runs(), ["slo", "c3"], ["base"])


def test_what_stands_aside_is_among_the_hit_rates_alone() -> None:
    text = tables(runs(), ["slo"], ["base"], aside=["c3"])
    assert text.count("| c3 |") == 1
    assert "against slo" not in text


def test_details_have_a_table_of_costs_for_each_scenario() -> None:
    text = details(runs(), ["slo", "c3"], ["base", "heavy"])
    assert text.count("| c3 | 5.0 |") == 2
    assert "### heavy" in text


def test_the_plot_is_an_svg_with_a_dot_for_each_policy_in_each_row() -> None:
    svg = dot_plot(runs(), ["slo", "c3"], ["base", "heavy"])
    assert svg.startswith("<svg")
    assert svg.count("<title>") == 2 * 3


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="unknown: nope; known are a, b"):
        names("a,nope", ["a", "b"])


def test_the_command_prints_the_table_and_writes_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenarios", "azure", "--policies", "slo", "--seeds", "1", "--share", "0.02", "--processes", "1"]
    main([*arguments, "--out", str(tmp_path)], environment={})
    assert "Shipped distributions, 1 seeds" in capsys.readouterr().out
    assert (tmp_path / "hits.svg").read_text().startswith("<svg")
    assert "### azure" in (tmp_path / "details.md").read_text()


def test_periods_of_sharing_are_those_that_are_asked_for() -> None:
    usual, asked = (world_of(Job("base", 1, "slo", None, 0.02, p)).scenario for p in (None, periods("2,5,2.5")))
    assert (usual.flush_s, usual.merge_s, usual.pull_s) == (5.0, 10.0, 5.0)
    assert (asked.flush_s, asked.merge_s, asked.pull_s) == (2.0, 5.0, 2.5)


@pytest.mark.parametrize(("scenario", "stretched"), [("base", False), ("stale", True)])
def test_the_products_periods_grow_with_its_instances(scenario: str, stretched: bool) -> None:
    """Six instances in each of four regions, and 24: of the latter, all with news, 800 rows a second are written."""
    product = world_of(Job(scenario, 1, "slo", None, 0.02, periods("product"))).scenario
    assert (product.flush_s > FLUSH_S) is stretched
    assert (product.merge_s, product.pull_s) == (MERGE_S, PULL_S)


@pytest.mark.parametrize("text", ["2,5", "2,5,0", "2,5,inf", "fast"])
def test_periods_that_are_none_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--periods", text], environment={})
    assert f"'{text}': write product, or three numbers of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--seeds", "0"], "argument --seeds: '0'"),
        (["--seeds", "-1"], "argument --seeds: '-1'"),
        (["--processes", "0"], "argument --processes: '0'"),
        (["--share", "5"], "argument --share: '5'"),
        (["--share", "0"], "argument --share: '0'"),
        (["--share", "nan"], "argument --share: 'nan'"),
        (["--share", "all"], "argument --share: 'all'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments, environment={})
    assert stopped.value.code == 2
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--policies", "slo,nope"], ["--scenarios", "nope"], ["--without", "nope"]])
def test_an_unknown_name_ends_the_command_with_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, environment={}) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("unknown: nope; known are ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_the_intervals_command_tells_its_use_and_refuses_unknown_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        intervals.main(["--help"], environment={})
    assert stopped.value.code == 0
    assert "scenarios" in capsys.readouterr().out
    assert intervals.main(["base", "validate"], environment={}) == 2
    assert capsys.readouterr().err.startswith("unknown: validate; known are light, ")


def test_a_folder_of_traces_that_is_none_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"TRACES": str(tmp_path / "nowhere")}
    assert main([], environment) == intervals.main([], environment) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert first.startswith(f"TRACES={tmp_path}/nowhere lacks openrouter_endpoints.csv.gz, ")


def test_a_command_that_was_interrupted_goes_on_with_the_runs_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scenarios", "azure", "--seeds", "1", "--share", "0.02", "--processes", "1", "--out", str(tmp_path)]
    main([*arguments, "--policies", "slo"], environment={})
    capsys.readouterr()
    main([*arguments, "--policies", "slo,round_robin"], environment={})
    printed = capsys.readouterr()
    assert "1/1 runs" in printed.err, "only what was missing"
    assert "| slo |" in printed.out
    assert "| round_robin |" in printed.out
    main([*arguments, "--policies", "round_robin,slo"], environment={})
    assert capsys.readouterr().err == ""

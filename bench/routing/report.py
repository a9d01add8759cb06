"""The table, in Markdown: what each policy reached, scenario by scenario, and what it cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bench.routing.runs import Run

# Measures with their titles, factors and formats
COSTS = (
    ("hedges", "hedges %", 100, ".1f"),
    ("extra", "extra calls %", 100, ".1f"),
    ("waste", "wasted tokens %", 100, ".1f"),
    ("met_429", "met a 429 %", 100, ".1f"),
    ("fail", "failed %", 100, ".2f"),
    ("ttft_p50", "TTFT p50 s", 1, ".2f"),
    ("ttft_p95", "p95", 1, ".2f"),
    ("ttft_p99", "p99", 1, ".2f"),
    ("spread", "max/mean load", 1, ".1f"),
    ("calibration", "calibration error", 1, ".3f"),
    ("recover_s", "recovered after s", 1, ".0f"),
    ("return_s", "returned after s", 1, ".0f"),
    ("cost", "$ per 1,000", 1, ".2f"),
)
BOUNDS = (("state_oracle", "under the state oracle"), ("clairvoyant", "under the clairvoyant"))


def tables(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str]) -> str:
    """Hit rates by scenario; then costs, means over scenarios; then the regret to the oracles that were run."""
    parts = [hit_rates(runs, policies, scenarios), costs(runs, policies)]
    return "\n\n".join(parts) + "\n"


def hit_rates(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str]) -> str:
    """Share of requests that met their target, %; the mean with the 95 % interval of its difference to the first."""
    rows = []
    for policy in policies:
        cells = [f"{100 * mean(runs, policy, 'hit', scenario):.1f}" for scenario in scenarios]
        difference, interval = paired(runs, policy, policies[0])
        against = "" if policy == policies[0] else f"{difference:+.2f} ± {interval:.2f}"
        regrets = [f"{paired(runs, bound, policy)[0]:.1f}" if bound in policies else "" for bound, _ in BOUNDS]
        rows.append([policy, *cells, f"**{100 * mean(runs, policy, 'hit'):.1f}**", against, *regrets])
    head = ["target met, %", *scenarios, "mean", f"against {policies[0]}", *(title for _, title in BOUNDS)]
    return markdown(head, rows)


def costs(runs: Sequence[Run], policies: Sequence[str]) -> str:
    """What else happened, means over all scenarios and seeds."""
    rows = [
        [policy, *(_shown(factor * mean(runs, policy, name), form) for name, _, factor, form in COSTS)]
        for policy in policies
    ]
    return markdown(["mean of all scenarios", *(title for _, title, _, _ in COSTS)], rows)


def _shown(value: float, form: str) -> str:
    """Nothing where nothing was measured: without an incident there is no recovery."""
    return "" if math.isnan(value) else format(value, form)


def mean(runs: Sequence[Run], policy: str, measure: str, scenario: str | None = None) -> float:
    """Mean of a measure over the runs that have it; nan where none has."""
    values = [
        run.measures[measure]
        for run in runs
        if run.policy == policy and scenario in (None, run.scenario) and measure in run.measures
    ]
    return statistics.fmean(values) if values else math.nan


def paired(runs: Sequence[Run], policy: str, other: str) -> tuple[float, float]:
    """(mean difference in hit rate to another policy on the same worlds, half of its 95 % interval), points."""
    theirs = {(run.scenario, run.seed): run.measures["hit"] for run in runs if run.policy == other}
    differences = [
        100 * (run.measures["hit"] - theirs[run.scenario, run.seed])
        for run in runs
        if run.policy == policy and (run.scenario, run.seed) in theirs
    ]
    if not differences:
        return math.nan, math.nan
    deviation = statistics.stdev(differences) if len(differences) > 1 else math.nan
    return statistics.fmean(differences), 1.96 * deviation / math.sqrt(len(differences))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""The table, in Markdown: what each policy reached, scenario by scenario, and what it cost."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
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
    ("calibration_alone", "of the call alone", 1, ".3f"),
    ("recover_s", "recovered after s", 1, ".0f"),
    ("return_s", "returned after s", 1, ".0f"),
    ("cost", "$ per 1,000", 1, ".2f"),
)
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)  # 97.5 % points, from one degree of freedom on
BOUNDS = (("state_oracle", "under the state oracle"), ("clairvoyant", "under the clairvoyant"))


def tables(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str], aside: Sequence[str] = ()) -> str:
    """Hit rates by scenario, differences to the first policy, and what it cost, as means over scenarios and seeds.

    `aside`: rows that stand among the hit rates alone, because nothing else of theirs compares with a policy's.
    """
    parts = [hit_rates(runs, [*policies, *aside], scenarios), costs(runs, policies)]
    if len(policies) > 1:
        parts.insert(1, differences(runs, policies, scenarios))
    return "\n\n".join(parts) + "\n"


def details(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str]) -> str:
    """What it cost, for every policy and scenario."""
    return "\n\n".join(f"### {s}\n\n{costs(runs, policies, s)}" for s in scenarios) + "\n"


def hit_rates(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str]) -> str:
    """Share of requests that met their target, %, and the regret to the oracles that were run."""
    rows, bounds = [], [(bound, title) for bound, title in BOUNDS if bound in policies]
    for policy in policies:
        cells = [f"{100 * mean(runs, policy, 'hit', scenario):.1f}" for scenario in scenarios]
        regrets = [f"{paired(runs, bound, policy)[0]:.1f}" for bound, _ in bounds]
        rows.append([policy, *cells, f"**{100 * mean(runs, policy, 'hit'):.1f}**", *regrets])
    return markdown(["target met, %", *scenarios, "mean", *(title for _, title in bounds)], rows)


def differences(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str]) -> str:
    """The other policies against the first on the same worlds, in points, with 95 % intervals."""
    rows = []
    for policy in policies[1:]:
        cells = [_interval(*paired(runs, policy, policies[0], scenario)) for scenario in scenarios]
        rows.append([policy, *cells, f"**{_interval(*paired(runs, policy, policies[0]))}**"])
    return markdown([f"against {policies[0]}, points", *scenarios, "mean"], rows)


def _interval(difference: float, half: float) -> str:
    return f"{difference:+.1f}" if math.isnan(half) else f"{difference:+.1f} ± {half:.1f}"


def costs(runs: Sequence[Run], policies: Sequence[str], scenario: str | None = None) -> str:
    """What else happened: means over the seeds of a scenario, or over all."""
    rows = [
        [policy, *(_shown(factor * mean(runs, policy, name, scenario), form) for name, _, factor, form in COSTS)]
        for policy in policies
    ]
    return markdown([scenario or "mean of all scenarios", *(title for _, title, _, _ in COSTS)], rows)


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


def paired(runs: Sequence[Run], policy: str, other: str, scenario: str | None = None) -> tuple[float, float]:
    """(mean difference in hit rate to another policy on the same worlds, half of its 95 % interval), points.

    Scenarios of one seed share fleet and luck, so they are averaged first. Student's interval over the seeds: they are
    few. nan where there are fewer than two.
    """
    theirs = {(run.scenario, run.seed): run.measures["hit"] for run in runs if run.policy == other}
    of_seed: defaultdict[int, list[float]] = defaultdict(list)
    for run in runs:
        if run.policy == policy and scenario in (None, run.scenario) and (run.scenario, run.seed) in theirs:
            of_seed[run.seed].append(100 * (run.measures["hit"] - theirs[run.scenario, run.seed]))
    found = [statistics.fmean(values) for values in of_seed.values()]
    if len(found) < 2:
        return (found[0] if found else math.nan), math.nan
    t = STUDENT[len(found) - 2] if len(found) - 2 < len(STUDENT) else 1.96
    return statistics.fmean(found), t * statistics.stdev(found) / math.sqrt(len(found))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

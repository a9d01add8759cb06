"""Compare policies in virtual time: `python -m bench.routing --scenarios base,heavy --policies slo,litellm --seeds 2`.

TRACES=DIR replays real traces (docs/routing-quality.md says what DIR must hold); without it worlds are drawn from
distributions that were fitted to them.
FULL=1 runs the fourteen scenarios that figures are quoted for, with 21 policies. That takes an hour and more, so
`--out` keeps every run as it ends, and the same command goes on where it stopped.
`--without hedges,sharing` adds the product's policy without hedges, and without sharing: what each part is worth.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small arrays: threads only get in the way

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.routing import traces
from bench.routing.ablations import ABLATED, PARTS
from bench.routing.arguments import count, names, periods, share
from bench.routing.kept import Kept
from bench.routing.plot import dot_plot
from bench.routing.report import details, tables
from bench.routing.runs import ORACLES, Job, run_all
from bench.routing.scenario import BEYOND, CLASSIC, SCENARIOS
from routing.errors import ConfigurationError
from routing.policy import POLICIES
from routing.policy.slo import SloPolicy

FEW_SCENARIOS = "base,heavy,brownout,azure_out"
FEW_POLICIES = "slo,litellm,litellm+hedges,c3,c3+hedges,peak_ewma,round_robin,state_oracle"
FULL_POLICIES = (
    "slo,c3+hedges,litellm+hedges,peak_ewma+hedges,litellm,litellm_buffer,litellm+p95,c3,peak_ewma,peak_ewma_p2c,"
    "peak_ewma_p2c+p95,prequal,least_busy,price_inverse_square,weighted_random,round_robin,seed_static,seed_tracked,"
    "seed_load,state_oracle,clairvoyant"
)


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Exit codes: 0 done, 2 a wrong argument or setting."""
    full = bool(environment.get("FULL"))
    chosen = _parser(full).parse_args(arguments)
    try:
        _compare(chosen, full, traces.folder(environment))
    except ConfigurationError as e:
        print(e, file=sys.stderr)
        return 2
    return 0


def _parser(full: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=(__doc__ or "").splitlines()[0])
    scenarios = "classic" if full else FEW_SCENARIOS
    parser.add_argument("--scenarios", default=scenarios, help="comma-separated; classic, beyond, or all")
    parser.add_argument("--policies", help="comma-separated, or all; with --without: slo alone")
    parser.add_argument("--without", default="", help="parts of slo to be switched off, one a run; or all")
    parser.add_argument("--seeds", type=count, default=4 if full else 2)
    parser.add_argument("--share", type=share, default=1.0, help="of each scenario's time, for a quick look")
    parser.add_argument(
        "--periods", type=periods, help="seconds between flushes, merges and pulls; or product, for its own"
    )
    parser.add_argument("--processes", type=count, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="folder for every run and a plot; what is there is not run again")
    parser.add_argument("--list", action="store_true", help="show the names and stop")
    return parser


def _compare(chosen: argparse.Namespace, full: bool, folder: Path | None) -> None:
    """Run what is missing, and print the table. Raises ConfigurationError for a name that is unknown."""
    if chosen.list:
        print("scenarios:", ", ".join(SCENARIOS), "\npolicies:", ", ".join([*POLICIES, *ORACLES]), "\nparts:")
        print("\n".join(f"  {name:<20}{part.without_it}" for name, part in PARTS.items()))
        return
    groups = {"classic": [s.name for s in CLASSIC], "beyond": [s.name for s in BEYOND]}
    named = groups.get(chosen.scenarios) or names(chosen.scenarios, SCENARIOS)
    parts = names(chosen.without, PARTS) if chosen.without else []
    usual = SloPolicy.name if parts else FULL_POLICIES if full else FEW_POLICIES
    policies = names(chosen.policies or usual, [*POLICIES, *ORACLES])
    policies += [policy for policy, part in ABLATED.items() if part in parts]
    seeds = range(1, chosen.seeds + 1)
    of_world = folder, chosen.share, chosen.periods
    jobs = [Job(s, seed, policy, *of_world) for seed in seeds for policy in policies for s in named]
    kept = Kept(chosen.out)
    for job, run in run_all(kept.missing(jobs), chosen.processes):
        kept.add(job, run)
    runs = kept.of(jobs)
    print(f"{'Real traces' if folder else 'Shipped distributions'}, {chosen.seeds} seeds\n")
    print(tables(runs, policies, named))
    if chosen.out:
        (chosen.out / "hits.svg").write_text(dot_plot(runs, policies, named))
        (chosen.out / "details.md").write_text(details(runs, policies, named))


if __name__ == "__main__":
    sys.exit(main())

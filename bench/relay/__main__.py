"""`python -m bench.relay`: the whole comparison as one Markdown table. Exit code 1 where an answer was wrong."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.relay import imports
from bench.relay.columns import Column, columns, environment
from bench.relay.program import ROOT, Cores, StartFailed, allow_open_files, cores, running
from bench.relay.report import BASE, aims, caveats, table
from bench.relay.run import FULL, QUICK, Bench, Plan, generator, say

FAILURES_SHOWN = 5


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a result")
    parser.add_argument("--app", type=Path, default=ROOT, help="the folder of function_app.py")
    parser.add_argument("--columns", default="abc", help="which programs: letters of a, b, c; c is always there")
    given = parser.parse_args()
    if not set(given.columns) <= set("abc"):
        parser.error(f"argument --columns: letters of a, b, c, not {given.columns!r}")
    return given


def main() -> int:
    """Measure, print, and tell whether every answer was right."""
    given = arguments()
    allow_open_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the programs are ended then, too
    plan, ours, began = QUICK if given.quick else FULL, cores(), time.monotonic()
    if ours.load is None or ours.load == ours.program:
        say("programs and load are not kept apart: pinning needs Linux and two cores")
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as folder:
        failures = _run(plan, ours, Path(folder), given.app.resolve(), set(given.columns) | {BASE})
    say(f"{time.monotonic() - began:.0f} s")
    for failure, times in Counter(failures).most_common(FAILURES_SHOWN):
        say(f"FAILED {times} times: {failure}")
    if failures:
        say(f"FAILED: {len(failures)} in all; the figures above do not count")
    return 1 if failures else 0


def _run(plan: Plan, ours: Cores, folder: Path, app: Path, letters: set[str]) -> list[str]:
    """Print the table; the failures."""
    upstream_log = folder / "upstream.log"
    with generator(ours) as pool, running(["-m", "bench.relay.upstream"], ours.load, upstream_log) as upstream:
        settings = environment(upstream.url, folder)
        chosen = [column for column in columns(app, upstream.url) if column.letter in letters]
        figures, failures = _rounds(Bench(plan, ours, pool, upstream.url, settings, folder), plan.rounds, chosen)
    measured = {column.letter: (column.title, figures[column.letter]) for column in chosen}
    print(table(measured), *caveats(measured), sep="\n", flush=True)
    if "a" in letters:
        imported = imports.UNKNOWN
        try:
            say("import function_app")
            imported = imports.measure(app, settings, ours.program, plan.imports)
        except StartFailed as e:
            failures.append(str(e))
        print("", *aims(figures["a"], figures[BASE], imported), sep="\n", flush=True)
    return failures


def _rounds(bench: Bench, rounds: int, chosen: list[Column]) -> tuple[dict[str, list[dict[str, float]]], list[str]]:
    figures: dict[str, list[dict[str, float]]] = {column.letter: [] for column in chosen}
    failures: list[str] = []
    for number in range(1, rounds + 1):
        for column in chosen:
            say(f"round {number} of {rounds}: ({column.letter}) {column.title}")
            found = bench.turn(column, number)
            figures[column.letter].append(found.figures)
            failures += found.failures
    return figures, failures


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartFailed as e:
        sys.exit(str(e))
    except KeyboardInterrupt:
        sys.exit(130)

"""Runs on disk, one JSON object a line, so that hours of them survive an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from bench.routing.runs import Job, Run

FILE = "runs.jsonl"
ROOT = Path(__file__).parents[2]
ENGINE = ("routing", "bench/routing")  # folders whose code decides what a run measures
DIGITS = 16


class Kept:
    """Runs by their job and the code that ran them; without a folder only in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._code = _loaded()
        self._runs: dict[str, Run] = {}
        self._file = folder / FILE if folder else None
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._file.exists():
                self._runs = dict(_readable(self._file.read_text()))

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that were not run yet."""
        return [job for job in jobs if self._name(job) not in self._runs]

    def add(self, job: Job, run: Run) -> None:
        """Keep a run."""
        self._runs[self._name(job)] = run
        if self._file:
            with self._file.open("a") as file:  # the new line comes first: the one before may have been cut
                file.write("\n" + json.dumps({"job": self._name(job), "run": asdict(run)}))

    def of(self, jobs: Sequence[Job]) -> list[Run]:
        """The runs of these jobs. KeyError: one was not run."""
        return [self._runs[self._name(job)] for job in jobs]

    def _name(self, job: Job) -> str:
        of_job = [job.scenario, job.seed, job.policy, str(job.traces or ""), job.share, job.periods]
        return json.dumps([self._code, *of_job])


@cache
def _loaded() -> str:
    """Of the code that this process runs, whatever is written to disk meanwhile."""
    return code_hash(ROOT)


def code_hash(root: Path) -> str:
    """Of all code below `root` that a run depends on, and of the distributions that worlds are drawn from."""
    files = sorted(path for folder in ENGINE for path in (root / folder).rglob("*") if path.suffix in (".py", ".json"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"\n{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:DIGITS]


def _readable(text: str) -> Iterator[tuple[str, Run]]:
    """The runs of a file. A line that was cut when its writer was killed is passed over: its run is run again."""
    for line in text.splitlines():
        try:
            kept = json.loads(line)
        except ValueError:
            continue
        yield kept["job"], Run(**kept["run"])

"""Runs on disk, one JSON object a line, so that hours of them survive an interruption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.routing.runs import Job, Run

FILE = "runs.jsonl"


class Kept:
    """Runs by their job; without a folder only in memory. A change of the router's code needs another folder."""

    def __init__(self, folder: Path | None) -> None:
        self._runs: dict[str, Run] = {}
        self._file = folder / FILE if folder else None
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._file.exists():
                lines = map(json.loads, self._file.read_text().splitlines())
                self._runs = {line["job"]: Run(**line["run"]) for line in lines}

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that were not run yet."""
        return [job for job in jobs if _name(job) not in self._runs]

    def add(self, job: Job, run: Run) -> None:
        """Keep a run."""
        self._runs[_name(job)] = run
        if self._file:
            with self._file.open("a") as file:
                file.write(json.dumps({"job": _name(job), "run": asdict(run)}) + "\n")

    def of(self, jobs: Sequence[Job]) -> list[Run]:
        """The runs of these jobs. KeyError: one was not run."""
        return [self._runs[_name(job)] for job in jobs]


def _name(job: Job) -> str:
    return json.dumps([job.scenario, job.seed, job.policy, str(job.traces or ""), job.share])

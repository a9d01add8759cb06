"""A program of the repository, run as a process of its own: what it prints, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).parents[2]


class Program:
    """`python -m MODULE ARGUMENTS` in the repository. Leaving the `with` block kills what still runs."""

    def __init__(self, *arguments: str, errors: Path, environment: Mapping[str, str] | None = None) -> None:
        self._errors = errors
        with errors.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    @property
    def output(self) -> IO[str]:
        """What it prints on stdout."""
        assert self.process.stdout
        return self.process.stdout

    @property
    def errors(self) -> str:
        """All it has printed on stderr."""
        return self._errors.read_text()

    def line(self, start: str) -> str:
        """Wait for the line of stdout that starts so; returns the rest of it."""
        for line in self.output:
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise AssertionError(f"ended without a line '{start}':\n{self.errors}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output.close()

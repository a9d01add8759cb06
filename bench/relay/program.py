"""Starting the programs of a run: each pinned to its core, its output in a file, ended for certain."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
START_AT_MOST_S = 40.0
STOP_AT_MOST_S = 3.0
WORDS_KEPT = 2000
OPEN_FILES = 8192
_LISTENING = re.compile(r"^listening (http://\S+)$", re.MULTILINE)


class StartFailed(Exception):
    """A program did not come to listen, or an import failed."""


class Cores(NamedTuple):
    """Which core is whose; None where processes cannot be pinned."""

    load: int | None
    program: int | None


class Running(NamedTuple):
    """A program that listens."""

    url: str
    pid: int


def cores() -> Cores:
    """The first core for load and upstream, the last for the program under test."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[-1])


def allow_open_files() -> None:
    """Raise the limit of open files for this process and its children: a held stream takes four in the local host."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def pin(core: int | None, pid: int = 0) -> None:
    """Keep a process, by default this one, on a core."""
    if core is not None:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.sched_setaffinity(pid, {core})


def last_words(log: Path) -> str:
    """The end of what a program has said."""
    return log.read_text(errors="replace")[-WORDS_KEPT:]


@contextmanager
def running(
    argv: Sequence[str], core: int | None, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run `python ARGV` until the block ends; `log` takes what it says. Raises StartFailed."""
    with log.open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # a group of its own: what it starts ends with it
        )
    try:
        pin(core, child.pid)
        yield Running(_url(child, argv, log), child.pid)
    finally:
        _stop(child)


def _url(child: subprocess.Popen[bytes], argv: Sequence[str], log: Path) -> str:
    give_up = time.monotonic() + START_AT_MOST_S
    while time.monotonic() < give_up and child.poll() is None:
        if found := _LISTENING.search(log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.02)
    raise StartFailed(f"`python {' '.join(argv)}` did not come to listen")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, then make it; whatever it started goes with it."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_AT_MOST_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()

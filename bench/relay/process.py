"""What the operating system tells of a program: its memory and its work. From /proc; where there is none, NaN."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")
QUIET_CORE_SHARE = 0.05  # below it a program has nothing left to load
QUIET_FOR_S = 0.3
SETTLE_AT_MOST_S = 10.0


def tree(pid: int) -> list[int]:
    """`pid` and its descendants, as far as they are alive."""
    try:
        children = [int(c) for t in (PROC / f"{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(found for child in children for found in tree(child))]


def rss_bytes(pid: int) -> float:
    """Resident memory of a program with its children."""
    return _sum(pid, "statm", lambda text: int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def cpu_s(pid: int) -> float:
    """Processor time that a program and its children have taken."""
    # proc_pid_stat(5): user and system time are fields 14 and 15; the name before them may hold anything but `) `
    return _sum(pid, "stat", lambda text: sum(map(int, text.rpartition(") ")[2].split()[11:13]))) / _ticks()


def settle(pid: int) -> None:
    """Wait until a program rests, as after the imports that it does behind its start; ten seconds at the most."""
    give_up, before = time.monotonic() + SETTLE_AT_MOST_S, cpu_s(pid)
    while time.monotonic() < give_up:
        time.sleep(QUIET_FOR_S)
        now = cpu_s(pid)
        if now - before < QUIET_CORE_SHARE * QUIET_FOR_S:
            return
        before = now


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def _sum(pid: int, name: str, read: Callable[[str], float]) -> float:
    try:
        return (
            sum(read((PROC / f"{process}/{name}").read_text()) for process in tree(pid)) if PROC.exists() else math.nan
        )
    except OSError:
        return math.nan

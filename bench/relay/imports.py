"""How long a cold start spends importing the app."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.relay import program

AT_MOST_S = 30.0


class Import(NamedTuple):
    """What `import function_app` adds to a bare interpreter, medians of fresh processes; NaN where it failed."""

    wall_s: float
    cpu_s: float


UNKNOWN = Import(math.nan, math.nan)


def measure(app: Path, environment: Mapping[str, str], core: int | None, times: int) -> Import:
    """Import the app in `times` fresh processes. Raises StartFailed where it cannot be imported.

    One import before them is not counted: it writes the byte code, which a deployed package brings along.
    """
    _run("import function_app", app, environment, core)
    bare = [_run("pass", app, environment, core) for _ in range(times)]
    full = [_run("import function_app", app, environment, core) for _ in range(times)]
    wall_s = median(took.wall_s for took in full) - median(took.wall_s for took in bare)
    return Import(wall_s, median(took.cpu_s for took in full) - median(took.cpu_s for took in bare))


def _run(code: str, app: Path, environment: Mapping[str, str], core: int | None) -> Import:
    began, cpu_before = time.perf_counter(), _children_cpu_s()
    child = subprocess.Popen([sys.executable, "-c", code], cwd=app, env=environment, stderr=subprocess.PIPE)
    program.pin(core, child.pid)
    try:
        _, said = child.communicate(timeout=AT_MOST_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise program.StartFailed(f"`{code}` took more than {AT_MOST_S:.0f} s") from None
    if child.returncode:
        raise program.StartFailed(f"`{code}` failed; it said:\n{said.decode(errors='replace')[-2000:]}")
    return Import(time.perf_counter() - began, _children_cpu_s() - cpu_before)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

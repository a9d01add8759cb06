"""Runs the steps of a plan, stops at the first that fails, and tries again what only needs time."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from string import Template

from local.deploy.plan import NotDeployable, Step

# A new role reaches the deployment site and its storage within minutes. Until then publishing is refused, by the site
# itself (403) or, one level down, by the storage (BlobUploadFailedException around a 403).
FORBIDDEN = re.compile(r"\b403\b|\bForbidden\b|BlobUploadFailedException")
FORBIDDEN_FOR_S, FORBIDDEN_PAUSE_S = 300.0, 20.0
SMOKE = "smoke"  # the name of the smoke test's key among the callers' keys


def execute(
    steps: Sequence[Step],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Runs the steps in order. Raises NotDeployable naming the command that failed."""
    key = secrets.token_urlsafe(32)
    environment = {**os.environ, "ROUTER_SMOKE_KEY": key}
    variables: dict[str, str] = {}
    for step in steps:
        output = _run(step, variables, environment, clock, sleep)
        if step.into:
            variables[step.into] = output.strip()
        if step.into == "keys":
            variables["keys"], variables["with_smoke"] = keys_with_and_without(output.strip(), key)


def keys_with_and_without(keys: str, key: str) -> tuple[str, str]:
    """ROUTER_KEYS without a smoke test's key (a run that broke off leaves one), and with this run's."""
    others = [entry for entry in keys.split(",") if entry and not entry.startswith(f"{SMOKE}:")]
    return ",".join(others), ",".join([*others, f"{SMOKE}:{hashlib.sha256(key.encode()).hexdigest()}"])


def _run(
    step: Step,
    variables: dict[str, str],
    environment: dict[str, str],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> str:
    """Runs one step, again and again where it may only be too early. Returns its output."""
    argv = [sys.executable if a == "python" else Template(a).substitute(variables) for a in step.argv]
    print(f"+ {step.shown()}", flush=True)
    if argv[0] == "sleep":
        sleep(float(argv[1]))
        return ""
    give_up_at = clock() + FORBIDDEN_FOR_S
    while True:
        status, output = _once(argv, environment, quiet=bool(step.into))
        if status == 0:
            return output
        if not (step.retry_forbidden and FORBIDDEN.search(output) and clock() < give_up_at):
            raise NotDeployable(f"status {status} from: {step.shown()}\nNothing that comes after it was done.")
        print(f"  refused (403): roles are still spreading; again in {FORBIDDEN_PAUSE_S:.0f} s", flush=True)
        sleep(FORBIDDEN_PAUSE_S)


def _once(argv: list[str], environment: dict[str, str], quiet: bool) -> tuple[int, str]:
    """Runs a command. Shows its output as it comes, unless it is an answer to us; returns status and output."""
    errors = None if quiet else subprocess.STDOUT
    try:
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    except FileNotFoundError:
        raise NotDeployable(f"{argv[0]} is not installed, or not on the PATH (README.md, Deploy)") from None
    lines = []
    with process:
        for line in process.stdout or ():
            lines.append(line)
            if not quiet:
                print(f"  {line}", end="", flush=True)
    return process.returncode, "".join(lines)

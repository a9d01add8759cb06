"""The app as it is, which also tells of every total that it flushes.

The folder that the setting TELLING names gets a file INSTANCE|DEPLOYMENT.log for each deployment, with the lines that
`tests.faults.history` reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from routing.latency.sums import WIDE_N
from routing.ports import Learned

ROOT = Path(__file__).parents[3]
spec = spec_from_file_location("function_app_told_of", ROOT / "function_app.py")
assert spec
assert spec.loader
told_of = module_from_spec(spec)
spec.loader.exec_module(told_of)
app = told_of.app
written = told_of.edge.store.flush


async def flush(origin: str, instance: str, version: int, totals: Mapping[str, Learned], now: float) -> None:
    """Write as ever, and tell before and after."""
    for deployment, learned in totals.items():
        tell(instance, deployment, "invoke", version, round(learned.sums[WIDE_N]))
    await written(origin, instance, version, totals, now)
    for deployment in totals:
        tell(instance, deployment, "ok", version)


def tell(instance: str, deployment: str, *line: Any) -> None:
    """One line, in the file before this returns."""
    with (Path(os.environ["TELLING"]) / f"{instance}|{deployment}.log").open("ab", buffering=0) as log:
        log.write(json.dumps(line).encode() + b"\n")


told_of.edge.store.flush = flush

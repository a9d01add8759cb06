"""A guard against the worker's memory leak: it keeps two kilobytes of every HTTP call for ever.

The worker pairs each HTTP request with its invocation in a dictionary and never takes the pair out again: a million
requests fill an instance. Nobody asks for the pair once its response runs, so the response takes it out. The name is
the worker's own, not public, so whatever is not as expected is left alone. A test fails when this is no longer needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

INVOCATION_ID = "x-ms-invocation-id"
WORKERS = ("azure_functions_runtime.http_v2", "azure_functions_worker.http_v2")  # Python 3.13 on, and before


def forget(headers: Mapping[str, str]) -> None:
    """Take the pair of the request with these headers out of the worker's memory."""
    for name in WORKERS:
        coordinator = getattr(sys.modules.get(name), "http_coordinator", None)
        pairs = getattr(coordinator, "_context_references", None)
        if isinstance(pairs, dict):
            pairs.pop(headers.get(INVOCATION_ID), None)

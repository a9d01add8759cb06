"""Trace files: gzipped CSV, read into plain columns. docs/routing-quality.md says where each comes from."""

from __future__ import annotations

import csv
import functools
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from routing.errors import ConfigurationError

type Column = npt.NDArray[Any]
type Table = dict[str, Column]
type Floats = npt.NDArray[np.float64]

# The columns that are read of each file; times as their names say, prices in dollars
_ARRIVALS = ("t_s", "in_tokens", "out_tokens")
FILES = {
    "openrouter_endpoints": (
        *("snapshot_date", "endpoint_id", "model", "provider", "requests", "ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms"),
        *("tps_p50", "price_in_usd_per_token", "price_out_usd_per_token"),
    ),
    "thefastest_probes_2024": ("time", "region", "provider", "model", "ttft_s", "tps"),
    "llmperf_sequences_2023": ("provider", "model", "seq", "ttft_s", "e2e_s", "output_tokens"),
    "azure_rtt_ms_2025-06": ("source",),  # and one column a region
    "arrivals_azure_conv_2023": _ARRIVALS,
    "arrivals_azure_code_2023": _ARRIVALS,
    "servegen_client_rates_hourly": ("model", "t_s", "rate_per_s", "cv"),
    "servegen_token_quantiles": ("model", "kind", "q", "tokens"),
}


def folder(environment: Mapping[str, str]) -> Path | None:
    """The folder that TRACES names, None without it. Raises ConfigurationError where a file or a column is missing."""
    if not environment.get("TRACES"):
        return None
    named = Path(environment["TRACES"])
    missing = [f"{name}.csv.gz" for name in FILES if not (named / f"{name}.csv.gz").is_file()]
    if missing:
        where_from = "docs/routing-quality.md says where they come from"
        raise ConfigurationError(f"TRACES={named} lacks {', '.join(missing)}; {where_from}")
    for name, columns in FILES.items():
        lacking = set(columns) - set(_head(named / f"{name}.csv.gz"))
        if lacking:
            raise ConfigurationError(f"TRACES={named}: {name}.csv.gz lacks {', '.join(sorted(lacking))}")
    return named


def _head(path: Path) -> list[str]:
    try:
        with gzip.open(path, "rt", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"TRACES: {path} is no gzipped CSV: {e}") from e


@functools.cache
def load(folder: Path, name: str) -> Table:
    """Columns of the file `name`.csv.gz in `folder`; empty cells of a column of numbers are nan. Cached."""
    with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as file:
        head, *rows = list(csv.reader(io.StringIO(file.read())))
    return {title: _column(cells) for title, cells in zip(head, zip(*rows, strict=True), strict=True)}


def where(table: Table, mask: Column) -> Table:
    """The rows for which `mask` holds, or in the order that it gives."""
    return {title: column[mask] for title, column in table.items()}


def _column(cells: Sequence[str]) -> Column:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells)

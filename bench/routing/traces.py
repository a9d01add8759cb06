"""Trace files: gzipped CSV, read into plain columns."""

from __future__ import annotations

import csv
import functools
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

type Column = npt.NDArray[Any]
type Table = dict[str, Column]
type Floats = npt.NDArray[np.float64]


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

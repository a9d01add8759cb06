"""Azurite for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.host.program import Program


@contextmanager
def emulator(folder: Path) -> Iterator[int]:
    """The port of an emulator that lives as long as the block."""
    with Program("local.azurite", "--port", "0", errors=folder / "errors") as program:
        yield int(program.line("listening ").rpartition(":")[2])
        assert program.stop() == 0

"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_librarys_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, as one program, as a reader would type them."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "library.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    exec(compile("\n".join(blocks), "docs/library.md", "exec"), {})

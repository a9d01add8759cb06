"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from routing.web.hints import CHECKS, HEADERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_librarys_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, as one program, as a reader would type them."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "library.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    exec(compile("\n".join(blocks), "docs/library.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_in_the_environment_that_make_sets_up(page: Path) -> None:
    """Whatever `python` is outside of it, and whatever it has installed."""
    assert re.findall(r"(?<!\.venv/bin/)\bpython3? -m .*", page.read_text()) == []


def test_the_readme_names_the_hints_that_are_no_headers() -> None:
    named = re.search(r"All but (.*?) can be headers too", (ROOT / "README.md").read_text(), re.DOTALL)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) == set(CHECKS) - set(HEADERS.values())

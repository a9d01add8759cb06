"""A folder of traces holds what is read of it, or the first thing that it lacks is named."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from bench.routing.traces import FILES, folder
from routing.errors import ConfigurationError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    for name, columns in FILES.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(",".join(columns).encode() + b"\n"))
    return tmp_path


def of(path: Path) -> Path | None:
    return folder({"TRACES": str(path)})


def test_a_complete_folder_is_taken(complete: Path) -> None:
    assert of(complete) == complete
    assert folder({"TRACES": ""}) is folder({}) is None


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(complete: Path, name: str) -> None:
    (complete / f"{name}.csv.gz").unlink()
    with pytest.raises(ConfigurationError, match=re.escape(f"lacks {name}.csv.gz; docs/routing-quality.md")):
        of(complete)


def test_a_missing_column_is_named(complete: Path) -> None:
    (complete / "thefastest_probes_2024.csv.gz").write_bytes(gzip.compress(b"time,region,provider,model,tps\n"))
    with pytest.raises(ConfigurationError, match=r"thefastest_probes_2024\.csv\.gz lacks ttft_s"):
        of(complete)


@pytest.mark.parametrize("content", [b"", b"source\n", gzip.compress(b"\xff\xfe")])
def test_what_is_no_gzipped_text_is_named(complete: Path, content: bytes) -> None:
    (complete / "azure_rtt_ms_2025-06.csv.gz").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"azure_rtt_ms_2025-06\.csv\.gz"):
        of(complete)


def test_the_documentation_lists_every_file_and_column() -> None:
    text = (ROOT / "docs" / "routing-quality.md").read_text()
    told = dict(re.findall(r"^\| `(\w[\w.-]+)` \| (`.*?`)[^`|]* \|", text, re.MULTILINE))
    assert {name: tuple(re.findall(r"`(.*?)`", told[name])) for name in FILES} == FILES

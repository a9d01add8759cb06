"""Runs that were kept are found again, and only by the code that made them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.routing import kept
from bench.routing.kept import FILE, Kept, code_hash
from bench.routing.runs import Job, Run

JOB, OTHER = Job("base", 1, "slo"), Job("heavy", 1, "slo")
RUN = Run("base", 1, "slo", {"hit": 0.9})


def test_a_run_is_found_by_a_later_process(tmp_path: Path) -> None:
    Kept(tmp_path).add(JOB, RUN)
    assert Kept(tmp_path).missing([JOB, OTHER]) == [OTHER]
    assert Kept(tmp_path).of([JOB]) == [RUN]


@pytest.mark.parametrize("job", [Job("base", 1, "slo", share=0.5), Job("base", 1, "slo", periods=(2.0, 5.0, 2.0))])
def test_a_run_of_another_share_or_other_periods_is_another_run(tmp_path: Path, job: Job) -> None:
    Kept(tmp_path).add(JOB, RUN)
    assert Kept(tmp_path).missing([job]) == [job]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_was_cut_costs_its_own_run_and_no_other(tmp_path: Path, cut: int) -> None:
    runs = Kept(tmp_path)
    runs.add(JOB, RUN)
    runs.add(OTHER, RUN)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-cut])
    resumed = Kept(tmp_path)
    assert resumed.missing([JOB, OTHER]) == [OTHER]
    resumed.add(OTHER, RUN)
    assert Kept(tmp_path).missing([JOB, OTHER]) == []


def test_other_code_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Kept(tmp_path).add(JOB, RUN)
    monkeypatch.setattr(kept, "_loaded", lambda: "another")
    assert Kept(tmp_path).missing([JOB]) == [JOB]


@pytest.mark.parametrize("name", ["routing/plan/plan.py", "bench/routing/world.py", "bench/routing/shipped.json"])
def test_the_hash_is_of_router_and_simulator_and_of_nothing_else(tmp_path: Path, name: str) -> None:
    for path in (name, "bench/other.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    before = code_hash(tmp_path)
    (tmp_path / "bench/other.py").write_text("2")
    assert code_hash(tmp_path) == before
    (tmp_path / name).write_text("2")
    assert code_hash(tmp_path) != before

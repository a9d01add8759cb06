"""The planned arrivals, and the fleet that the app under test gets."""

import json
import random
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import pytest

from bench.relay import process
from bench.relay.columns import RESOURCES, bench_fleet, columns, environment
from bench.relay.load import ARRIVALS_PER_S, planned
from routing.fleet import load as load_fleet


def test_arrivals_are_a_poisson_process_of_the_planned_rate() -> None:
    moments = planned(500.0, random.Random(1))
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert moments == sorted(moments)
    assert moments[-1] < 500.0
    assert len(moments) == pytest.approx(500 * ARRIVALS_PER_S, rel=0.05)
    assert stdev(gaps) == pytest.approx(mean(gaps), rel=0.05)  # as of an exponential distribution


def test_arrivals_of_a_seed_are_the_same_for_every_program() -> None:
    assert planned(5.0, random.Random(3)) == planned(5.0, random.Random(3)) != planned(5.0, random.Random(4))


def test_fleet_of_the_bench_is_valid_and_gives_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(bench_fleet()))
    assert [d.resource for d in load_fleet(path).deployments] == list(RESOURCES)


def test_app_gets_the_bench_fleet_and_none_of_the_callers_router_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_MINE", "1")
    given = environment("http://127.0.0.1:9", tmp_path)
    assert "ROUTER_MINE" not in given
    assert Path(given["ROUTER_FLEET"]).is_file()
    assert json.loads(given["ROUTER_ENDPOINTS"]) == dict.fromkeys(RESOURCES, "http://127.0.0.1:9")


def test_the_bare_relay_takes_its_turn_last(tmp_path: Path) -> None:
    assert [column.letter for column in columns(tmp_path, "http://127.0.0.1:9")] == ["a", "b", "c"]


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc with process 7 and its child 8."""
    for pid, children in ((7, "8 "), (8, "")):
        task = tmp_path / f"{pid}/task/{pid}"
        task.mkdir(parents=True)
        (task / "children").write_text(children)
        (tmp_path / f"{pid}/statm").write_text(f"900 {10 * pid} 5 1 0 80 0")
        (tmp_path / f"{pid}/stat").write_text(f"{pid} (a) b) S 1 1 1 0 -1 0 0 0 0 0 {100 * pid} {pid} 0 0 20 0")
    monkeypatch.setattr(process, "PROC", tmp_path)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_CLK_TCK": 100}.get)
    return tmp_path


@pytest.mark.usefixtures("proc")
def test_memory_and_work_of_a_program_include_its_children() -> None:
    assert process.tree(7) == [7, 8]
    assert process.rss_bytes(7) == 150 * 4096
    assert process.cpu_s(7) == pytest.approx((707 + 808) / 100)
    assert process.cpu_s(8) == pytest.approx(8.08)

"""Routers killed at random, Azurite never: what was acknowledged is stored, nothing twice, nothing moves back."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from local.azurite import connection
from routing.engine.merge import fold
from routing.latency.sums import WIDE_N
from routing.ports import Flushed, Home
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from tests.faults import history
from tests.faults.history import Process
from tests.faults.writer import USERS
from tests.host.program import Program
from tests.store.emulator import emulator
from tests.store.learned import learned

KILLS = 50
AT_ONCE = 3


def kill_many(port: int, folder: Path, rng: Random) -> None:
    """Three routers at a time; one after the other is killed within half a second of its start, and replaced."""

    with ExitStack() as stack:

        def start() -> Program:
            arguments = ("tests.faults.writer", str(port), str(folder))
            program = stack.enter_context(Program(*arguments, errors=folder / "errors"))
            program.line("ready")
            return program

        running = [start() for _ in range(AT_ONCE)]
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 0.5))
            assert running.pop(rng.randrange(len(running))).stop(signal.SIGKILL) == -9
            running.append(start())


async def read(port: int) -> tuple[list[Flushed], dict[str, Home], int]:
    """(stored totals, stored homes, samples in their merge)."""
    store = SharedStore(TableStorage(time.time, connection(port)))
    now = time.time()
    totals = await store.flushed("eastus", now)
    homes = {user: home for user in USERS if (home := await store.home(user, None, None, now))}
    merged = await fold("eastus", totals, min(total.learned.at for total in totals))
    await store.close()
    return totals, homes, round(sum(learned.sums[WIDE_N] for learned in merged.learned.values()))


def test_d7_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with emulator(tmp_path) as port:
        kill_many(port, tmp_path, Random(7))
        totals, homes, merged = asyncio.run(read(port))
    processes = history.read(tmp_path)
    assert len(processes) >= KILLS
    assert sum(len(process.invoked) for process in processes.values()) > 10 * KILLS
    killed_in_flush = sum(process.acknowledged < max(process.invoked, default=0) for process in processes.values())
    assert killed_in_flush > 0, "some were killed with a flush under way"
    samples = {total.instance: round(total.learned.sums[WIDE_N]) for total in totals}
    assert history.faults(processes, totals, samples, homes) == []
    assert merged == pytest.approx(sum(samples.values()), rel=0.01), "the merge counts each once"


# ---------------------------------------------------------------------- the checker finds what it is there for
GOOD = Process({1: 3, 2: 5}, 1, [("u", 1, "a"), ("u", 2, "b")])
HOMES = {"u": Home("b", 2, 0.0)}


def total(version: int) -> Flushed:
    return Flushed("p", "d", version, learned())


@pytest.mark.parametrize("version", [1, 2])
def test_a_flush_of_unknown_outcome_may_be_stored_or_not(version: int) -> None:
    assert history.faults({"p": GOOD}, [total(version)], {"p": {1: 3, 2: 5}[version]}, HOMES) == []


@pytest.mark.parametrize(
    ("stored", "samples", "homes", "processes", "fault"),
    [
        ([], {}, HOMES, {"p": GOOD}, "acknowledged 1, stored 0"),
        ([total(3)], {"p": 5}, HOMES, {"p": GOOD}, "never wrote"),
        ([total(2)], {"p": 10}, HOMES, {"p": GOOD}, "stored 10"),
        ([], {}, {}, {"q": Process(homes=[("u", 1, "a")])}, "stored at None"),
        ([], {}, HOMES, {"q": Process(homes=[("u", 2, "b"), ("u", 1, "a")])}, "moved back"),
        ([], {}, HOMES, {"q": Process(homes=[("u", 1, "a")]), "r": Process(homes=[("u", 1, "b")])}, "version 1 is"),
        ([], {}, HOMES, {"q": Process(homes=[("u", 2, "a")])}, "stored as b"),
    ],
)
def test_the_checker_sees(
    stored: list[Flushed],
    samples: dict[str, int],
    homes: dict[str, Home],
    processes: dict[str, Process],
    fault: str,
) -> None:
    assert any(fault in found for found in history.faults(processes, stored, samples, homes))

"""Router processes of one region on one Azurite, before simulated models: started, killed and replaced one by one."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import aiohttp

from local.azurite import connection
from local.layout import lay_out
from routing.fleet import load
from routing.latency.sums import WIDE_N
from routing.ports import Flushed
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from tests.faults import history
from tests.host.program import ROOT, Program
from tests.store.emulator import emulator

APP = ROOT / "tests" / "faults" / "telling"
FLEET = load(ROOT / "fleet.json")
MODEL = "gpt-4o-mini"  # of the fleet's models the one whose simulated answers vary least
DEPLOYMENTS = [deployment.id for deployment in FLEET.deployments if deployment.model == MODEL]


class Answer(NamedTuple):
    """What a caller got: what was streamed, whether the connection ended in order, and when (monotonic seconds)."""

    text: bytes
    whole: bool
    first_at: float | None  # of anything: the router sends nothing before the model's first word
    ended_at: float

    @property
    def done(self) -> bool:
        """Whether it is a complete answer."""
        return self.whole and self.text.endswith(b"data: [DONE]\n\n") and not self.failed

    @property
    def failed(self) -> bool:
        """Whether it says that something went wrong."""
        return b'"error"' in self.text


class Router:
    """One process."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.url, self.since = "", 0.0

    async def wait(self) -> None:
        """Until it listens."""
        self.url = await asyncio.to_thread(self.program.line, "listening ")
        self.since = time.monotonic()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit code."""
        return await asyncio.to_thread(self.program.stop, number)


class Crew:
    """All processes, and what they wrote."""

    def __init__(self, folder: Path, stack: ExitStack, simulator: str, store: int) -> None:
        self._folder, self._stack, self._simulator, self._store = folder, stack, simulator, store
        self._numbers = count()
        self._told = folder / "told"
        self._told.mkdir()
        layout = lay_out(APP, FLEET, int(simulator.rpartition(":")[2]) + 1, 1)  # the simulator's port is one less
        self._key = layout.key
        shared = {"ROUTER_STORE_CONNECTION": connection(store), "TELLING": str(self._told)}
        self._settings = {**layout.sites[0].settings, **shared}

    async def start(self) -> Router:
        """A process that listens."""
        errors = self._folder / f"router-{next(self._numbers)}"
        program = Program("local.host", "--app", str(APP), "--port", "0", errors=errors, environment=self._settings)
        router = Router(self._stack.enter_context(program))
        await router.wait()
        return router

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A caller with as many connections as it has requests."""
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"authorization": f"Bearer {self._key}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield session

    async def slow(self, deployment: str, factor: float) -> None:
        """Stretch the time to the first token of a simulated deployment."""
        order = {"deployment": deployment, "mode": "slow", "factor": factor}
        async with aiohttp.ClientSession() as session, session.put(f"{self._simulator}/faults", json=order) as response:
            assert response.status == 200

    async def calls(self) -> dict[str, int]:
        """Calls that each simulated deployment has had."""
        async with aiohttp.ClientSession() as session, session.get(f"{self._simulator}/deployments") as response:
            return {deployment["id"]: deployment["hits"] for deployment in await response.json()}

    async def stored(self) -> list[Flushed]:
        """The totals in the store."""
        store = SharedStore(TableStorage(time.time, connection(self._store)))
        try:
            return await store.flushed(FLEET.regions[0].id, time.time())
        finally:
            await store.close()

    def instances(self) -> set[str]:
        """Those that told of a flush."""
        return {name.partition("|")[0] for name in history.read(self._told)}

    def flushes(self) -> list[float]:
        """When the processes flushed, in order, seconds since the epoch."""
        versions = {version for process in history.read(self._told).values() for version in process.invoked}
        return [version / 1000 for version in sorted(versions)]

    def faults(self, stored: list[Flushed]) -> list[str]:
        """What is wrong with the totals in the store, by what the processes told of them."""
        named = [total._replace(instance=f"{total.instance}|{total.deployment}") for total in stored]
        return history.faults(history.read(self._told), named, {t.instance: samples(t) for t in named}, {})


@contextmanager
def crew(folder: Path) -> Iterator[Crew]:
    """An emulator and the simulator; what is started on them ends with the block."""
    with ExitStack() as stack:
        simulator = Program("local.simulator", "--port", "0", "--calm", errors=folder / "simulator")
        url = stack.enter_context(simulator).line("listening ")
        (folder / "store").mkdir()
        store = stack.enter_context(emulator(folder / "store"))
        yield Crew(folder, stack, url, store)


async def ask(
    session: aiohttp.ClientSession, router: Router, tokens: int, begun: asyncio.Event | None = None
) -> Answer:
    """One streamed answer, or what came of it. Without hedges: they would hide what the router does not know.

    `begun` is set with its first word.
    """
    message = {"role": "user", "content": "Hello."}
    body = {"model": MODEL, "stream": True, "max_tokens": tokens, "messages": [message], "routing": {"hedge": "off"}}
    text, whole, first_at = bytearray(), False, None
    try:
        async with session.post(f"{router.url}/v1/chat/completions", json=body) as response:
            async for chunk in response.content.iter_any():
                first_at = first_at or time.monotonic()
                if begun is not None:
                    begun.set()
                text += chunk
            whole = response.status == 200
    except aiohttp.ClientError:
        pass  # cut off: `whole` says so
    return Answer(bytes(text), whole, first_at, time.monotonic())


def samples(total: Flushed) -> int:
    """As many as `telling` counts in it."""
    return round(total.learned.sums[WIDE_N])

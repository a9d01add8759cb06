"""`make run REGIONS=3`: three regions' apps as processes on one Azurite, before simulated models."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest

from local import override
from local.azurite import connection
from routing.engine.periods import FLUSH_S, MERGE_S, PULL_S
from routing.engine.pulse import JITTER
from routing.engine.sync import HOMES_S
from routing.fleet import load
from tests.host.program import ROOT, Program

FLEET = load(ROOT / "fleet.json")
REGIONS = [region.id for region in FLEET.regions[:3]]
# What one region measured is seen by all within the three stages at their slowest, and the five seconds of grace
SEEN_S = FLUSH_S * (1 + JITTER) + MERGE_S + PULL_S * (1 + JITTER) + 5
ORDER_S = PULL_S * (1 + JITTER) + 5
HOME_S = 2 * HOMES_S * (1 + JITTER) + 5
CHAT = {"model": "gpt-4o-mini", "stream": True, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello."}]}


class Running:
    """What was started, seen and steered from outside."""

    def __init__(self, session: aiohttp.ClientSession, port: int, store: str) -> None:
        self._session, self.port, self.store = session, port, store

    def url(self, region: int, path: str) -> str:
        return f"http://127.0.0.1:{self.port + region}{path}"

    async def get(self, region: int, path: str) -> Any:
        async with self._session.get(self.url(region, path)) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def text(self, region: int, path: str) -> str:
        async with self._session.get(self.url(region, path)) as response:
            return await response.text()

    async def post(self, region: int, path: str, body: Any) -> Any:
        async with self._session.post(self.url(region, path), json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ask(self, region: int, **routing: Any) -> str:
        """One streamed answer; returns the deployment."""
        body = CHAT | {"routing": {"hedge": "off", **routing}}
        async with self._session.post(self.url(region, "/v1/chat/completions"), json=body) as response:
            assert response.status == 200, await response.text()
            await response.read()
            return response.headers["x-router-deployment"]

    async def profile(self, region: int, deployment: str) -> dict[str, Any]:
        rows = (await self.get(region, "/v1/profiles"))["data"]
        return next(row for row in rows if row["deployment"] == deployment)

    async def slow(self, deployment: str) -> None:
        order = {"deployment": deployment, "mode": "slow", "factor": 10, "for_s": 300}
        async with self._session.put(f"http://127.0.0.1:{self.port - 1}/faults", json=order) as response:
            assert response.status == 200


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, str]]:
    """(first port, key, connection string of the store)."""
    port = _free_ports(5) + 1
    errors = tmp_path_factory.mktemp("regions") / "errors"
    probes_off = {"AzureWebJobs.probe.Disabled": "true"}  # they would measure what a test expects to be unmeasured
    arguments = "--port", str(port), "--regions", "3"
    with Program("local.run", *arguments, errors=errors, environment=probes_off) as program:
        key, store = program.line("key "), program.line("store ")
        program.line("from openai")
        yield port, key, store
        assert program.stop() == 0


@pytest.fixture
async def running(started: tuple[int, str, str]) -> AsyncIterator[Running]:
    port, key, store = started
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}) as session:
        yield Running(session, port, store)


async def within(seconds: float, what: str, ask: Any) -> None:
    """Ask twice a second until it is so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not await ask():
        assert loop.time() < end, f"{what}: not within {seconds:.0f} s"
        await asyncio.sleep(0.5)


async def test_a_slow_deployment_is_seen_by_all_regions_in_time(running: Running) -> None:
    asked = [await running.ask(0) for _ in range(4)]
    slow = max(asked, key=asked.count)
    usual = (await running.profile(0, slow))["model_ttft_ms"]
    await running.slow(slow)
    while not (await running.profile(0, slow))["model_ttft_ms"] > 2 * usual:
        await asyncio.gather(*(running.ask(0) for _ in range(8)))

    async def seen() -> bool:
        rows = [await running.profile(region, slow) for region in range(3)]
        return all(row["model_ttft_ms"] > 1.7 * usual for row in rows)

    await within(SEEN_S, f"{slow} is slow for all", seen)
    rows = [await running.profile(region, slow) for region in range(3)]
    assert [row["source"] for row in rows] == ["measured", "prior", "prior"]
    assert all(row["model_samples"] > 0 and row["samples"] == 0 for row in rows[1:])
    networks = [row["network_ms"] for row in rows[1:]]
    assert networks == [
        pytest.approx(FLEET.rtt_ms(region, row["region"]), abs=0.1)
        for region, row in zip(REGIONS[1:], rows[1:], strict=True)
    ], "the distance is the region's own"


async def test_a_user_is_at_home_in_every_region(running: Running) -> None:
    deployment = await running.ask(0, user_id="ada")
    home = next(d.region for d in FLEET.deployments if d.id == deployment)

    async def at_home() -> bool:
        body = {"model": CHAT["model"], "routing": {"user_id": "ada"}}
        decision = await running.post(2, "/v1/route", body)
        return bool(decision["region"] == home and decision["reason"] in ("sticky", "left_home"))

    await within(HOME_S, "at home in another region", at_home)


async def test_an_order_is_obeyed_in_every_region_and_lifted_again(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    name = FLEET.deployments[0].id
    environment = {"ROUTER_STORE_CONNECTION": running.store}
    arguments = ["set", name, "--disable", "--for", "30m", "--author", "ops", "--reason", "a test"]
    assert await asyncio.to_thread(override.main, arguments, environment) == 0
    assert f"{name}: disable until" in capsys.readouterr().out

    async def excluded() -> list[str]:
        found = [await running.post(region, "/v1/route", {}) for region in range(3)]
        return [decision["excluded"].get(name, "") for decision in found]

    async def obeyed() -> bool:
        return all(why.startswith("disable by ops until") for why in await excluded())

    async def lifted() -> bool:
        return not any("ops" in why for why in await excluded())

    await within(ORDER_S, "obeyed", obeyed)
    shown = (await running.post(1, "/v1/route", {}))["overrides"]
    assert [(order["deployment"], order["state"], order["author"]) for order in shown] == [(name, "disable", "ops")]
    assert await asyncio.to_thread(override.main, ["list"], environment) == 0
    assert "by ops (a test)" in capsys.readouterr().out
    assert await asyncio.to_thread(override.main, ["lift", name], environment) == 0
    await within(ORDER_S, "lifted", lifted)


async def test_every_region_tells_how_its_sharing_goes(running: Running) -> None:
    await running.ask(0)

    async def shared() -> bool:
        ready = [await running.get(region, "/readyz") for region in range(3)]
        return all(r["store"] == "shared" and r["profile_age_s"] is not None for r in ready[:1])

    await within(SEEN_S, "merged", shared)
    for region in range(3):
        text = await running.text(region, "/metrics")
        assert 'router_store_stages_total{stage="pull",result="ok"}' in text
        assert "unavailable" not in text
        warnings = (await running.get(region, "/readyz"))["warnings"]
        assert not [warning for warning in warnings if "shared" in warning]


def test_an_order_for_an_unknown_deployment_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert override.main(["set", "nothing", "--drain"], {"ROUTER_STORE_CONNECTION": "x"}) == 2
    assert FLEET.deployments[0].id in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list"], ["set", FLEET.deployments[0].id, "--drain"]])
def test_without_a_store_the_setting_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert override.main(arguments, {}) == 2
    assert "ROUTER_STORE_ACCOUNT" in capsys.readouterr().err


def test_an_order_that_orders_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["set", FLEET.deployments[0].id]
    assert override.main(given, {"ROUTER_STORE_CONNECTION": "UseDevelopmentStorage=true"}) == 2
    assert "--drain" in capsys.readouterr().err


def test_a_store_that_is_away_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = connection(bound.getsockname()[1])
        assert override.main(["list"], {"ROUTER_STORE_CONNECTION": nobody}) == 1
    assert "the store failed" in capsys.readouterr().err


def _free_ports(count: int) -> int:
    for first in range(31_000, 32_000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")

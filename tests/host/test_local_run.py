"""`make run` as a user sees it: what it prints, what it starts, and that nothing stays behind.

The app is a small one that tells its settings; the simulator is the real one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from routing.fleet import load
from routing.policy import POLICIES
from tests.host.program import ROOT, Program

ECHO = ROOT / "tests" / "host" / "apps" / "echo"
FLEET = load(ROOT / "fleet.json")
REGIONS = [region.id for region in FLEET.regions]
YEARLY = {"YEARLY": "0 0 0 1 1 *"}


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nothing has."""
    for first in range(20000, 30000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@pytest.fixture
def port() -> int:
    """Of the first app; the ports before and behind it are free, too."""
    return free_ports(3) + 1


def run(port: int, tmp_path: Path, *arguments: str, app: Path = ECHO, **environment: str) -> Program:
    return Program(
        *("local.run", "--port", str(port), "--app", str(app), *arguments),
        errors=tmp_path / "stderr",
        environment=YEARLY | environment,
    )


async def seen(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/seen") as response:
        found: dict[str, Any] = await response.json()
        return found


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def until_free(*ports: int) -> None:
    """Look again and again; a part that stays is found out after so many looks, some seconds."""
    for _ in range(20_000):
        if not any(map(listening, ports)):
            return
    raise AssertionError(f"something still listens at one of {ports}")


def lines(program: Program) -> Iterator[str]:
    return (line.rstrip("\n") for line in program.output)


async def test_one_region(port: int, tmp_path: Path) -> None:
    """The lines, in their order and form, and the settings that make the app find the simulator."""
    with run(port, tmp_path) as program:
        printed = lines(program)
        assert next(printed) == "starting simulator …"
        assert next(printed) == f"starting {REGIONS[0]} …"
        assert next(printed) == f"ready http://127.0.0.1:{port}"
        key = next(printed).removeprefix("key ")
        assert re.fullmatch(r"sk-local-\w{32}", key)
        assert next(printed) == f"simulator http://127.0.0.1:{port - 1}"
        assert next(printed) == (
            f'curl -N http://127.0.0.1:{port}/v1/chat/completions -H "Authorization: Bearer {key}" '
            '-H "Content-Type: application/json" -d \'{"model":"auto","stream":true,'
            '"messages":[{"role":"user","content":"Say hello in five languages."}]}\''
        )
        python = next(printed)
        assert python.startswith("from openai import OpenAI; ")
        compile(python, "paste", "single")
        assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    echo: tick", next(printed))  # one region: no prefix

        settings = (await seen(f"http://127.0.0.1:{port}"))["router"]
        base = f"http://127.0.0.1:{port - 1}/from/{REGIONS[0]}/to/"
        resources = {deployment.resource for deployment in FLEET.deployments}
        assert settings["ROUTER_REGION"] == REGIONS[0]
        assert json.loads(settings["ROUTER_ENDPOINTS"]) == {resource: base + resource for resource in resources}
        assert json.loads(settings["ROUTER_PROVIDER_KEYS"]) == dict.fromkeys(resources, "simulated")
        assert settings["ROUTER_KEYS"] == f"developer:{hashlib.sha256(key.encode()).hexdigest()}"

        assert program.stop(signal.SIGINT) == 0
        assert not listening(port)
        assert not listening(port - 1)


async def test_a_fleet_of_ones_own_is_the_apps_and_the_simulators(port: int, tmp_path: Path) -> None:
    """`ROUTER_FLEET`, as in the app's settings."""
    fleet = json.loads((ROOT / "fleet.json").read_text())
    fleet["regions"].reverse()
    fleet["deployments"][0]["id"] = "one-of-mine"
    (tmp_path / "mine.json").write_text(json.dumps(fleet))
    with run(port, tmp_path, ROUTER_FLEET=str(tmp_path / "mine.json")) as program:
        printed = lines(program)
        assert next(printed) == "starting simulator …"
        assert next(printed) == f"starting {REGIONS[-1]} …"
        assert next(printed) == f"ready http://127.0.0.1:{port}"
        url = f"http://127.0.0.1:{port - 1}/deployments"
        async with aiohttp.ClientSession() as client, client.get(url) as response:
            assert "one-of-mine" in await response.text()


async def test_two_regions_have_names_settings_and_log_lines_of_their_own(port: int, tmp_path: Path) -> None:
    with run(port, tmp_path, "--regions", "2") as program:
        for i in range(2):
            assert program.line("ready ") == f"http://127.0.0.1:{port + i} ({REGIONS[i]})"
        for i in range(2):
            assert (await seen(f"http://127.0.0.1:{port + i}"))["router"]["ROUTER_REGION"] == REGIONS[i]
        exported = shlex.split(program.line("export "))
        settings = (await seen(f"http://127.0.0.1:{port}"))["router"]
        assert exported == [f"ROUTER_STORE_CONNECTION={settings['ROUTER_STORE_CONNECTION']}"], (
            "a shell takes it as it is"
        )
        ticking = {line.split(" | ")[0] for line, _ in zip(ticks(program), range(8), strict=False)}
        assert ticking == set(REGIONS[:2])
        assert program.stop(signal.SIGTERM) == 0
        assert not any(map(listening, range(port - 1, port + 2)))


def ticks(program: Program) -> Iterator[str]:
    return (line for line in lines(program) if line.endswith("echo: tick"))


async def test_ctrl_c_lets_open_answers_end(port: int, tmp_path: Path) -> None:
    with run(port, tmp_path) as program:
        program.line("from openai")
        url = f"http://127.0.0.1:{port}"
        async with (
            aiohttp.ClientSession(url) as reading,
            aiohttp.ClientSession(url) as asking,
            reading.get("/stream/open") as response,
        ):
            assert await response.content.readany() == b"first"
            await (await asking.get("/warm")).read()  # leaves a connection open
            program.process.send_signal(signal.SIGINT)
            until_free(port)
            await asking.post("/next/open")
            assert await response.content.read() == b""
        assert program.process.wait() == 0


async def test_a_part_that_ends_is_named_and_ends_the_rest(port: int, tmp_path: Path) -> None:
    with run(port, tmp_path, "--regions", "2") as program:
        program.line("from openai")
        os.kill((await seen(f"http://127.0.0.1:{port + 1}"))["process"], signal.SIGKILL)
        program.output.read()
        assert program.process.wait() == 1
        assert program.errors == f"{REGIONS[1]} ended with exit code -9\n"
        assert not any(map(listening, range(port - 1, port + 2)))


def test_an_app_that_cannot_start_says_why_and_ends_the_rest(port: int, tmp_path: Path) -> None:
    with run(port, tmp_path, app=ECHO.parent / "broken") as program:
        assert "FunctionLoadError: cannot load the ping function" in program.output.read()
        assert program.process.wait() == 1
        assert program.errors == f"{REGIONS[0]} ended with exit code 1\n"
        assert not listening(port - 1)


if sys.platform == "linux":  # its kernel ends the children, by prctl(2)

    def test_nothing_stays_behind_when_it_is_killed(port: int, tmp_path: Path) -> None:
        with run(port, tmp_path) as program:
            program.line("from openai")
            assert program.stop(signal.SIGKILL) == -9
            until_free(port - 1, port)


@pytest.mark.parametrize(("offset", "user"), [(-1, "the simulator"), (0, REGIONS[0]), (1, REGIONS[1])])
def test_a_busy_port_is_named_and_nothing_is_started(port: int, tmp_path: Path, offset: int, user: str) -> None:
    with socket.create_server(("127.0.0.1", port + offset)), run(port, tmp_path, "--regions", "2") as program:
        assert program.output.read() == ""
        assert program.process.wait() == 2
        assert re.fullmatch(rf"port {port + offset} for {user} cannot be used .*PORT=\n", program.errors)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--regions", "99"), "REGIONS=99 cannot be"),
        (("--regions", "0"), "REGIONS=0 cannot be"),
        (("--port", "65535", "--regions", "2"), "PORT=65535 cannot be"),
        (("--port", "1"), "PORT=1 cannot be"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, arguments: tuple[str, ...], fault: str) -> None:
    with run(7071, tmp_path, *arguments) as program:
        assert program.process.wait() == 2
        assert program.errors.startswith(fault)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ROUTER_REGION", f"ROUTER_REGION: there is no region 'mars' in the fleet; there are {', '.join(REGIONS)}\n"),
        ("ROUTER_POLICY", f"ROUTER_POLICY: 'mars' is none of {', '.join(sorted(POLICIES))}\n"),
    ],
)
def test_a_setting_that_names_nothing_is_told_in_one_line(port: int, tmp_path: Path, name: str, fault: str) -> None:
    environment: dict[str, Any] = {name: "mars"}
    with run(port, tmp_path, **environment) as program:
        assert program.process.wait() == 2
        assert program.errors == fault
        assert program.output.read() == ""


@pytest.mark.parametrize(("named", "first"), [(FLEET.regions[1].aliases[0], REGIONS[1]), ("", REGIONS[0])])
def test_the_region_that_is_named_is_the_first(port: int, tmp_path: Path, named: str, first: str) -> None:
    """By Azure's name or an alias; without one it is the fleet's first."""
    with run(port, tmp_path, ROUTER_REGION=named) as program:
        assert program.line("starting ") == "simulator …"
        assert program.line("starting ") == f"{first} …"


class TestRealEndpoints:
    """local.settings.json names endpoints: they are used as they are, and there is no simulator."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Path:
        return shutil.copytree(ECHO, tmp_path / "app")

    def settings(self, app: Path, **values: str) -> dict[str, str]:
        (app / "local.settings.json").write_text(json.dumps({"Values": values}))
        return values

    async def test_they_reach_the_app_and_a_key_is_made(self, port: int, tmp_path: Path, app: Path) -> None:
        given = self.settings(app, ROUTER_ENDPOINTS='{"r": "https://r.example"}', ROUTER_REGION="westeurope")
        with run(port, tmp_path, app=app) as program:
            printed = lines(program)
            assert next(printed) == "local.settings.json names the endpoints: no simulator"
            assert next(printed) == "starting westeurope …"
            assert next(printed) == f"ready http://127.0.0.1:{port}"
            key = next(printed).removeprefix("key ")
            assert next(printed).startswith(f"curl -N http://127.0.0.1:{port}/")
            hashed = hashlib.sha256(key.encode()).hexdigest()
            assert (await seen(f"http://127.0.0.1:{port}"))["router"] == given | {"ROUTER_KEYS": f"developer:{hashed}"}
            assert not listening(port - 1)
            assert program.stop() == 0

    async def test_keys_of_ones_own_stay(self, port: int, tmp_path: Path, app: Path) -> None:
        given = self.settings(app, ROUTER_ENDPOINTS="{}", ROUTER_KEYS="me:0123")
        with run(port, tmp_path, app=app) as program:
            assert "ROUTER_KEYS" in program.line("key")
            program.line("from openai")
            found = (await seen(f"http://127.0.0.1:{port}"))["router"]
            assert found == given | {"ROUTER_REGION": REGIONS[0]}
            assert program.stop() == 0

    async def test_without_endpoints_in_the_file_the_simulator_stands_in(
        self, port: int, tmp_path: Path, app: Path
    ) -> None:
        self.settings(app, ROUTER_ENDPOINTS="", ROUTER_REGION="westeurope", ROUTER_KEYS="me:0123")
        with run(port, tmp_path, app=app) as program:
            assert program.line("simulator ") == f"http://127.0.0.1:{port - 1}"
            program.line("from openai")
            assert (await seen(f"http://127.0.0.1:{port}"))["router"]["ROUTER_REGION"] == REGIONS[0]
            assert await asyncio.to_thread(program.stop) == 0

"""The local host as a client and an app see it: real processes, real sockets, the real worker.

Where order matters it is shown by a handshake with the app: the app goes on when a request asks it to.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from yarl import URL

from tests.host.program import ROOT, Program

APPS = ROOT / "tests" / "host" / "apps"
SETTINGS = {
    "IsEncrypted": False,
    "Values": {
        "YEARLY": "0 0 0 1 1 *",
        "ECHO_SETTING": "from the file",
        "AzureWebJobs.disabled.Disabled": "true",
        "AzureWebJobs.every_second.Disabled": "false",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The echo app with a local.settings.json."""
    folder = tmp_path_factory.mktemp("apps") / "echo"
    shutil.copytree(APPS / "echo", folder)
    (folder / "local.settings.json").write_text(json.dumps(SETTINGS))
    return folder


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[Program]:
    with Program("local.host", "--app", str(folder), "--port", "0", errors=folder / "stderr") as program:
        yield program
        assert program.stop() == 0


@pytest.fixture(scope="module")
def url(host: Program) -> str:
    return host.line("listening ")


@pytest.fixture
async def client(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as session:
        yield session


async def seen(client: aiohttp.ClientSession, path: str, **options: Any) -> dict[str, Any]:
    """What a request looks like to the function."""
    async with client.get(URL(path, encoded=True), **options) as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def text(client: aiohttp.ClientSession, path: str) -> str:
    async with client.get(path) as response:
        assert response.status == 200
        return await response.text()


async def ask(client: aiohttp.ClientSession, path: str, data: AsyncIterator[bytes] | None = None) -> None:
    async with client.post(path, data=data) as response:
        assert response.status == 204


def port_of(url: str) -> int:
    port = URL(url).port
    assert port
    return port


class TestStreams:
    async def test_each_chunk_of_an_answer_arrives_before_the_next_is_made(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/stream/chunks") as response:
            assert await response.content.readany() == b"first"
            for chunk in ("second", "third"):
                await ask(client, f"/next/chunks/{chunk}")
                assert await response.content.readany() == chunk.encode()
            await ask(client, "/next/chunks")
            assert await response.content.read() == b""

    async def test_each_chunk_of_a_request_is_forwarded_before_the_next_is_sent(
        self, client: aiohttp.ClientSession
    ) -> None:
        chunks: asyncio.Queue[bytes] = asyncio.Queue()

        async def body() -> AsyncIterator[bytes]:
            while chunk := await chunks.get():
                yield chunk

        sending = asyncio.create_task(ask(client, "/upload/chunks", data=body()))
        for chunk in ("one", "two", "three"):
            await chunks.put(chunk.encode())
            assert await text(client, "/received/chunks") == chunk
        await chunks.put(b"")
        await sending

    async def test_the_function_learns_at_once_that_its_client_left_the_stream(
        self, client: aiohttp.ClientSession
    ) -> None:
        async with client.get("/stream/left") as response:
            assert await response.content.readany() == b"first"
            response.close()
        assert await text(client, "/gone/left") == "gone"

    async def test_the_function_learns_that_its_client_left_before_the_answer(
        self, client: aiohttp.ClientSession
    ) -> None:
        waiting = asyncio.create_task(text(client, "/hang/early"))
        assert await text(client, "/began/early") == "began"
        waiting.cancel()
        assert await text(client, "/gone/early") == "gone"

    async def test_a_stream_that_breaks_is_cut_not_ended(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/stream/breaking") as response:
            assert await response.content.readany() == b"first"
            await ask(client, "/next/breaking")
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()

    async def test_many_streams_at_once_keep_apart(self, client: aiohttp.ClientSession) -> None:
        async def one(name: str) -> bytes:
            async with client.get(f"/stream/{name}") as response:
                await response.content.readany()
                await ask(client, f"/next/{name}/{name}")
                chunk = await response.content.readany()
                await ask(client, f"/next/{name}")
                return chunk

        names = [f"many{i}" for i in range(40)]
        assert await asyncio.gather(*map(one, names)) == [name.encode() for name in names]


class TestRequests:
    async def test_the_invocation_id_is_fresh_and_a_clients_own_is_dropped(self, client: aiohttp.ClientSession) -> None:
        headers = {"X-MS-Invocation-Id": "forged"}
        first, second = await seen(client, "/seen", headers=headers), await seen(client, "/seen", headers=headers)
        for found in (first, second):
            assert UUID(found["invocation_id"])
            assert [v for n, v in found["headers"] if n == "x-ms-invocation-id"] == [found["invocation_id"]]
        assert first["invocation_id"] != second["invocation_id"]

    async def test_headers_of_the_connection_end_at_the_host_and_forwarded_ones_are_its_own(
        self, client: aiohttp.ClientSession
    ) -> None:
        sent = {
            "Connection": "X-Mine",
            "X-Mine": "dropped",
            "TE": "trailers",
            "Forwarded": "for=1.2.3.4",
            "X-Forwarded-For": "1.2.3.4",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Prefix": "/evil",
            "X-Azure-ClientIP": "5.6.7.8",
            "Host": "router.example",
        }
        headers = dict((await seen(client, "/seen", headers=sent))["headers"])
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "http"
        assert headers["x-forwarded-host"] == "router.example"
        assert headers["x-azure-clientip"] == "5.6.7.8"
        assert headers["host"].startswith("127.0.0.1:")
        assert not headers.keys() & {"connection", "x-mine", "te", "forwarded", "x-forwarded-prefix"}

    async def test_path_and_query_arrive_as_they_were_sent(self, client: aiohttp.ClientSession) -> None:
        found = await seen(client, "/seen/a%2Fb%20c?x=%20&y=%2F")
        assert (found["path"], found["query"]) == ("/seen/a%2Fb%20c", "x=%20&y=%2F")
        assert found["params"] == {"id": "a%2Fb c"}

    async def test_dot_segments_cannot_reach_past_a_route(self, client: aiohttp.ClientSession) -> None:
        assert (await seen(client, "/cookies/%2e%2e/seen/x"))["path"] == "/seen/x"

    async def test_a_body_of_unknown_length_over_100_mb_is_refused(self, client: aiohttp.ClientSession) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(101):
                yield bytes(1024 * 1024)

        async with client.post("/size", data=body()) as response:
            assert response.status == 413

    async def test_a_declared_body_over_100_mb_is_refused_before_it_is_sent(self, url: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(b"POST /size HTTP/1.1\r\nHost: h\r\nContent-Length: 104857601\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()

    async def test_a_client_that_waits_for_100_continue_gets_it(self, url: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(b"POST /size HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"12345")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()

    async def test_a_header_that_is_not_ascii_is_a_400(self, url: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(b"GET /seen HTTP/1.1\r\nHost: h\r\nX-Name: \xe9\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()


class TestAnswers:
    async def test_status_and_every_header_come_back(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/cookies") as response:
            assert response.status == 418
            assert len(response.headers.getall("Set-Cookie")) == 2

    async def test_headers_of_the_workers_connection_do_not(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/seen") as response:
            assert response.headers["X-Answer"] == "yes"
            assert "Keep-Alive" not in response.headers

    async def test_a_function_that_raises_is_a_500(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/fails") as response:
            assert (response.status, await response.text()) == (500, "Internal Server Error")

    async def test_head_has_the_headers_of_get_and_no_body(self, client: aiohttp.ClientSession) -> None:
        async with client.head("/seen") as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("OPTIONS", "/seen", 200),
            ("GET", "/SEEN/x", 200),
            ("GET", "/seen/x/y", 404),
            ("GET", "/nothing", 404),
            ("GET", "/", 404),
            ("POST", "/seen", 404),  # not declared: as good as no route
            ("HEAD", "/cookies", 404),
            ("OPTIONS", "/cookies", 404),
            ("GET", "/docs", 404),  # the extension's own pages are not the app's
        ],
    )
    async def test_methods_and_paths_are_as_declared(
        self, client: aiohttp.ClientSession, method: str, path: str, status: int
    ) -> None:
        async with client.request(method, path) as response:
            assert response.status == status

    async def test_parameters_reach_the_function(self, client: aiohttp.ClientSession) -> None:
        assert (await seen(client, "/seen/x"))["params"] == {"id": "x"}
        assert (await seen(client, "/seen"))["params"] == {}
        assert await text(client, "/seen/special") == "special"


class TestTriggers:
    async def test_a_timer_fires_at_start_and_then_at_each_occurrence(self, client: aiohttp.ClientSession) -> None:
        runs = json.loads(await text(client, "/fired/every_second/3"))
        # No ScheduleStatus: the real host keeps none for a timer that fires more than once in a minute.
        assert runs[0] == {"schedule": {"AdjustForDST": True}, "status": {}, "past_due": False}

    async def test_a_timers_schedule_may_be_a_setting_and_its_status_comes_with_it(
        self, client: aiohttp.ClientSession
    ) -> None:
        (run,) = json.loads(await text(client, "/fired/yearly/1"))
        assert run["status"]["Last"] == run["status"]["LastUpdated"] == "0001-01-01T00:00:00+00:00"
        assert re.fullmatch(r"\d{4}-01-01T00:00:00\+00:00", run["status"]["Next"])

    async def test_a_timer_that_fails_is_reported_and_goes_on(
        self, client: aiohttp.ClientSession, host: Program
    ) -> None:
        await text(client, "/fired/failing/3")
        assert host.errors.count("function failing failed: RuntimeError: this timer always fails") >= 2

    async def test_a_timer_that_a_setting_disables_never_fires(self, client: aiohttp.ClientSession) -> None:
        await text(client, "/fired/every_second/2")
        assert json.loads(await text(client, "/fired/disabled/0")) == []

    async def test_the_warm_up_trigger_is_called(self, client: aiohttp.ClientSession) -> None:
        assert await text(client, "/warm") == "warm"


class TestEnvironment:
    async def test_settings_come_from_the_file_and_the_app_runs_in_its_folder(
        self, client: aiohttp.ClientSession, folder: Path
    ) -> None:
        found = await seen(client, "/seen")
        assert (found["setting"], found["folder"]) == ("from the file", str(folder))

    async def test_the_apps_log_lines_come_through_and_the_machinerys_chatter_does_not(
        self, client: aiohttp.ClientSession, host: Program
    ) -> None:
        await text(client, "/fired/every_second/1")
        assert re.search(r"^\d\d:\d\d:\d\d INFO    echo: tick$", host.errors, re.MULTILINE)
        assert "Uvicorn running" not in host.errors
        assert "GET /fired" not in host.errors

    async def test_the_environment_wins_over_the_file(self, folder: Path, tmp_path: Path) -> None:
        arguments = ("local.host", "--app", str(folder), "--port", "0")
        with Program(*arguments, errors=tmp_path / "stderr", environment={"ECHO_SETTING": "mine"}) as program:
            async with aiohttp.ClientSession(program.line("listening ")) as client:
                assert (await seen(client, "/seen"))["setting"] == "mine"


class TestStart:
    def ended(self, *arguments: str, tmp_path: Path, environment: dict[str, str] | None = None) -> tuple[int, str]:
        """Exit code and stderr of a host that does not come up."""
        with Program("local.host", *arguments, errors=tmp_path / "stderr", environment=environment) as program:
            assert program.output.read() == ""
            return program.process.wait(), program.errors

    def test_an_app_that_cannot_be_indexed_ends_it_with_the_workers_text(self, tmp_path: Path) -> None:
        code, errors = self.ended("--app", str(APPS / "broken"), "--port", "0", tmp_path=tmp_path)
        assert code == 1
        assert errors.startswith("FunctionLoadError: cannot load the ping function: the following parameters")
        assert "Traceback" in errors

    def test_a_schedule_whose_setting_is_missing_is_named(self, tmp_path: Path) -> None:
        code, errors = self.ended("--app", str(APPS / "echo"), "--port", "0", tmp_path=tmp_path)
        assert (code, errors) == (1, "function yearly: schedule: the setting YEARLY is not set\n")

    @pytest.mark.parametrize(
        ("files", "fault"),
        [
            ({}, "no functions found"),
            ({"host.json": "[]"}, "host.json: must hold a JSON object"),
            ({"local.settings.json": '{"Values": {"A": 1}}'}, "Values.A must be a string"),
            ({"local.settings.json": "{"}, "local.settings.json: "),
        ],
    )
    def test_a_folder_that_is_no_app_is_refused_by_name(
        self, tmp_path: Path, files: dict[str, str], fault: str
    ) -> None:
        app = tmp_path / "app"
        app.mkdir()
        if "host.json" in files:
            shutil.copy(APPS / "echo" / "function_app.py", app)
        for name, content in files.items():
            (app / name).write_text(content)
        code, errors = self.ended("--app", str(app), "--port", "0", tmp_path=tmp_path)
        assert code == 1
        assert fault in errors

    def test_a_busy_port_is_one_line_and_nothing_is_started(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, errors = self.ended("--app", str(APPS / "broken"), "--port", str(port), tmp_path=tmp_path)
        assert code == 2
        assert re.fullmatch(rf"port {port} cannot be used .*PORT=.*\n", errors)


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_it_stops_accepting_lets_open_answers_end_and_exits_0(
        self, folder: Path, tmp_path: Path, number: signal.Signals
    ) -> None:
        with Program("local.host", "--app", str(folder), "--port", "0", errors=tmp_path / "stderr") as program:
            url = program.line("listening ")
            async with aiohttp.ClientSession(url) as reading, aiohttp.ClientSession(url) as asking:
                async with reading.get("/stream/drained") as response:
                    assert await response.content.readany() == b"first"
                    assert await text(asking, "/warm") == "warm"  # leaves a connection open
                    program.process.send_signal(number)
                    await refused(port_of(url))
                    await ask(asking, "/next/drained/last")
                    assert await response.content.readany() == b"last"
                    async with aiohttp.ClientSession(url) as late:
                        with pytest.raises(aiohttp.ClientConnectorError):
                            await late.get("/warm")
                assert await asyncio.to_thread(program.process.wait) == 0

    async def test_the_worker_serves_on_while_the_host_drains(self, client: aiohttp.ClientSession) -> None:
        """The extension's uvicorn would stop at the host's signal by itself, so it must not get it."""
        assert "uvicorn" not in (await seen(client, "/seen"))["at_sigterm"]

    async def test_an_answer_that_does_not_end_is_cut(self, folder: Path, tmp_path: Path) -> None:
        with Program("local.host", "--app", str(folder), "--port", "0", errors=tmp_path / "stderr") as program:
            async with (
                aiohttp.ClientSession(program.line("listening ")) as client,
                client.get("/stream/endless") as response,
            ):
                assert await response.content.readany() == b"first"
                program.process.send_signal(signal.SIGTERM)
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.content.read()
                assert await asyncio.to_thread(program.process.wait) == 0


async def refused(port: int) -> None:
    """Return once nothing listens at the port any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue  # it was just closing
        writer.close()


class TestInProcess:
    """The form for benchmarks: the client talks to the extension's server and sets the invocation id."""

    async def test_requests_are_paired_and_routed_without_a_front_door(self, folder: Path, tmp_path: Path) -> None:
        with Program("local.host.inprocess", "--app", str(folder), errors=tmp_path / "stderr") as program:
            async with aiohttp.ClientSession(program.line("listening ")) as client:
                found = await seen(client, "/seen/x?y", headers={"x-ms-invocation-id": "mine"})
                assert (found["invocation_id"], found["params"]) == ("mine", {"id": "x"})
                async with client.get("/nothing", headers={"x-ms-invocation-id": "other"}) as response:
                    assert response.status == 404
            assert program.stop() == 0

"""The smoke test against a server of its own: what it accepts, and what it must not accept."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.deploy import smoke
from local.deploy.smoke import Address, Failed

EVENTS = [b'data: {"choices":[{"delta":{"content":"%d,"}}]}\n\n' % n for n in range(20)]
KEY = "a-key"


class Router(BaseHTTPRequestHandler):
    """A router that streams, or does not. What it does is set on its server."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        status = self.server.health.pop(0) if len(self.server.health) > 1 else self.server.health[0]  # type: ignore[attr-defined]
        self._head(status, "0")

    def do_POST(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {KEY}" and not self.server.open:  # type: ignore[attr-defined]
            self._head(401, "0")
            return
        self._head(200, None)
        for chunk in self.server.chunks:  # type: ignore[attr-defined]
            self.server.reading.acquire()  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, length: str | None) -> None:
        self.send_response(status)
        self.send_header("x-router-region", "eastus")
        self.send_header("x-router-deployment", "eastus-gpt-5.1")
        self.send_header(*(("Content-Length", length) if length else ("Transfer-Encoding", "chunked")))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """The router's server; each read of the client lets it send one more chunk, so none has to wait by the clock."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Router)
        self.health, self.open = [200], False
        self.paths: list[str] = []
        self.chunks = [*EVENTS, b"data: [DONE]\n\n"]
        self.reading = threading.Semaphore(0)

    @property
    def address(self) -> Address:
        """Its address, with a path as a region's has one."""
        return Address(f"http://127.0.0.1:{self.server_port}/regions/eastus")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        read1 = http.client.HTTPResponse.read1

        def reading(response: http.client.HTTPResponse, n: int = -1) -> bytes:
            running.reading.release()
            return read1(response, n)

        monkeypatch.setattr(http.client.HTTPResponse, "read1", reading)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_router_that_streams_passes_and_says_who_served(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    smoke.smoke(server.address, KEY, 60)
    said = capsys.readouterr().out
    assert "served by region eastus, deployment eastus-gpt-5.1" in said
    assert "20 events in 20 reads" in said
    assert server.paths == ["/regions/eastus/v1/chat/completions"] * 2


def test_a_stream_that_was_held_back_fails(server: Server) -> None:
    server.chunks = [b"".join([*EVENTS, b"data: [DONE]\n\n"])]
    with pytest.raises(Failed, match="20 of 20 events came at once"):
        smoke.smoke(server.address, KEY, 60)


def test_a_stream_that_breaks_off_fails(server: Server) -> None:
    server.chunks = EVENTS[:15]
    with pytest.raises(Failed, match="did not end with"):
        smoke.smoke(server.address, KEY, 60)


def test_a_router_that_anybody_may_use_fails(server: Server) -> None:
    server.open = True
    server.reading.release(len(server.chunks))
    with pytest.raises(Failed, match="without a key got status 200"):
        smoke.smoke(server.address, KEY, 60)


def test_a_wrong_key_fails(server: Server) -> None:
    with pytest.raises(Failed, match="status 401"):
        smoke.smoke(server.address, "another-key", 60)


def test_it_waits_until_the_address_is_up(server: Server) -> None:
    server.health = [404, 503, 200]
    now = [0.0]
    waited = smoke.wait_until_up(
        server.address, 60, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s)
    )
    assert waited == 2 * smoke.UP_PAUSE_S


def test_it_does_not_wait_for_ever(server: Server) -> None:
    server.health = [503]
    now = [0.0]
    with pytest.raises(Failed, match="status 503 for 60 s"):
        smoke.wait_until_up(server.address, 60, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))


def test_few_events_prove_nothing() -> None:
    with pytest.raises(Failed, match="only 3 events"):
        smoke.check_incremental([(0.1, 1), (0.2, 1), (0.3, 1)])


def test_some_events_may_come_together() -> None:
    smoke.check_incremental([(0.1, 1), (0.2, 8), (0.3, 8), (0.4, 3)])

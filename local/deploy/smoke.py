"""Does a deployed address serve? `ROUTER_SMOKE_KEY=... python -m local.deploy.smoke https://HOST/regions/eastus`

Four questions: is it up, does it refuse who has no key, does it stream, and does the stream arrive as it is made: a
proxy that holds chunks back would make the router's whole purpose void, and nothing else would notice.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

READ_TIMEOUT_S = 230.0  # the platform's own longest wait for a first byte
UP_PAUSE_S = 10.0
QUESTION = {
    "model": "auto",
    "stream": True,
    "max_tokens": 600,
    "messages": [{"role": "user", "content": "Count from 1 to 100 in digits, separated by commas."}],
}


class Failed(Exception):
    """The smoke test failed; the message says at what."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer as it arrived: its headers, and for each read the time since sending (s) and the events in it."""

    headers: dict[str, str]
    reads: list[tuple[float, int]]

    @property
    def first_s(self) -> float:
        """Seconds from sending to the first event."""
        return self.reads[0][0]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the router is: scheme, host and the path before its own paths."""

    url: str

    def ask(
        self, method: str, path: str, key: str = "", body: object = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Sends one request on a connection of its own. Raises OSError or HTTPException where there is no answer."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=READ_TIMEOUT_S)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request(method, parts.path.rstrip("/") + path, json.dumps(body) if body else None, headers)
        return connection, connection.getresponse()

    def status(self, method: str, path: str, key: str = "", body: object = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection, response = self.ask(method, path, key, body)
        try:
            return response.status, response.read(65_536)
        finally:
            connection.close()


def wait_until_up(
    address: Address, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> float:
    """Waits for /healthz, s: a new Front Door takes up to half an hour to be everywhere, an app seconds to start."""
    start, last = clock(), "no answer"
    while clock() - start <= seconds:
        try:
            status, _ = address.status("GET", "/healthz")
            if status == http.HTTPStatus.OK:
                return clock() - start
            last = f"status {status}"
        except (OSError, http.client.HTTPException) as e:
            last = repr(e)
        sleep(UP_PAUSE_S)
    raise Failed(f"{address.url}/healthz: {last} for {seconds:.0f} s")


def stream(address: Address, key: str) -> Stream:
    """Asks for a long answer and notes when what arrives. Raises Failed unless it is a stream that ends well."""
    start = time.monotonic()
    connection, response = address.ask("POST", "/v1/chat/completions", key, QUESTION)
    try:
        if response.status != http.HTTPStatus.OK:
            raise Failed(f"/v1/chat/completions: status {response.status}: {response.read(500)!r}")
        reads, tail = [], b""
        while data := response.read1(65_536):
            tail = (tail + data)[-200:]
            if events := data.count(b"data: {"):
                reads.append((time.monotonic() - start, events))
    finally:
        connection.close()
    if b"data: [DONE]" not in tail:
        raise Failed(f"the stream did not end with [DONE] but with {tail!r}")
    return Stream({k.lower(): v for k, v in response.getheaders()}, reads)


def check_incremental(reads: list[tuple[float, int]]) -> None:
    """Raises Failed if more than half of the events came in one read: something on the way holds the stream back."""
    total, largest = sum(n for _, n in reads), max((n for _, n in reads), default=0)
    if total < 10:
        raise Failed(f"only {total} events arrived: too few to tell whether they stream")
    if largest > total / 2:
        raise Failed(f"{largest} of {total} events came at once: the stream was held back on its way")


def smoke(address: Address, key: str, wait_s: float) -> None:
    """The four questions, each answer printed. Raises Failed at the first that is wrong."""
    waited = wait_until_up(address, wait_s, time.monotonic, time.sleep)
    print(f"up: {address.url}, after {waited:.0f} s")
    status, body = address.status("POST", "/v1/chat/completions", body=QUESTION)
    if status != http.HTTPStatus.UNAUTHORIZED:
        raise Failed(f"a caller without a key got status {status}, not 401: {body[:200]!r}")
    print("closed: 401 without a key")
    answer = stream(address, key)
    check_incremental(answer.reads)
    region, deployment = (answer.headers.get(f"x-router-{name}", "not said") for name in ("region", "deployment"))
    events, last_s = sum(n for _, n in answer.reads), answer.reads[-1][0]
    print(f"streams: first event {answer.first_s:.2f} s, {events} events in {len(answer.reads)} reads, {last_s:.2f} s")
    print(f"served by region {region}, deployment {deployment}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="local.deploy.smoke", description=__doc__)
    parser.add_argument("url", help="the router's address, without a path of its own")
    parser.add_argument("--wait", type=float, default=1800, help="seconds to wait for it to be up")
    given = parser.parse_args()
    key = os.environ.get("ROUTER_SMOKE_KEY", "")
    if not key:
        print("ROUTER_SMOKE_KEY is not set: a key that the router knows (make key NAME=smoke)", file=sys.stderr)
        return 2
    try:
        smoke(Address(given.url), key, given.wait)
    except (Failed, OSError, http.client.HTTPException) as e:
        print(f"smoke test failed: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

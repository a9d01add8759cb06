"""`make override` on Azurite: what is ordered holds for everybody, whatever the clock of whoever orders it says."""

from __future__ import annotations

import asyncio
import getpass
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from local import override
from local.azurite import connection
from routing.engine.clock import Clock
from routing.fleet import load
from routing.store.shared import SharedStore
from tests.host.program import ROOT

NAME = load(ROOT / "fleet.json").deployments[0].id


@pytest.fixture
async def orders(azurite: int, table_storage: SharedStore) -> AsyncIterator[dict[str, str]]:
    """The environment of a command line; afterwards nothing is ordered."""
    yield {"ROUTER_STORE_CONNECTION": connection(azurite)}
    await table_storage.lift(NAME)


async def run(arguments: list[str], environment: dict[str, str]) -> int:
    """The program, in a thread as it brings its own event loop."""
    return await asyncio.to_thread(override.main, arguments, environment)


@pytest.mark.parametrize("wrong_s", [-3600.0, 0.0, 3600.0])
async def test_an_order_from_a_wrong_clock_holds_as_long_as_it_says(
    orders: dict[str, str],
    table_storage: SharedStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong_s: float,
) -> None:
    class Wrong(Clock):
        def now(self) -> float:
            return super().now() + wrong_s

    monkeypatch.setattr(override, "Clock", Wrong)
    assert await run(["set", NAME, "--drain", "--for", "30m"], orders) == 0
    held = [order for order in await table_storage.overrides(time.time()) if order.deployment == NAME]
    assert [order.expires_at for order in held] == [pytest.approx(time.time() + 1800, abs=60)]
    told = re.search(r"until (.*) UTC", capsys.readouterr().out)
    assert told is not None
    until = datetime.strptime(told[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()
    assert until == pytest.approx(held[0].expires_at, abs=60), "what is told is what is held"


async def test_what_is_told_was_read_back(
    orders: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def lost(self: SharedStore, *order: object) -> None:
        """Somebody else lifts it at once."""

    monkeypatch.setattr(SharedStore, "order", lost)
    assert await run(["set", NAME, "--drain"], orders) == 1
    printed = capsys.readouterr()
    assert (printed.out, NAME in printed.err) == ("", True)


async def test_lifting_what_is_not_ordered_is_said(orders: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["lift", "eastus-gpt-4p"], orders) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "eastus-gpt-4p has no order\n")
    assert await run(["set", NAME, "--drain"], orders) == 0
    assert await run(["lift", NAME], orders) == 0
    assert await run(["lift", NAME], orders) == 2


async def test_a_user_without_a_name_says_who_orders_and_needs_none_to_list(
    orders: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container whose user has no line in /etc/passwd."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert await run(["list"], orders) == 0
    assert await run(["set", NAME, "--drain"], orders) == 2
    assert capsys.readouterr().err.startswith("--author must ")
    assert await run(["set", NAME, "--drain", "--author", "ops"], orders) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ["--weight", "0"],
        ["--weight", "nan"],
        ["--weight", "11"],
        ["--limit", "0"],
        ["--limit", "100001"],
        ["--drain", "--author", ""],
        ["--drain", "--author", "a/b"],
        ["--drain", "--author", "a" * 129],
        ["--drain", "--reason", "r" * 129],
    ],
)
async def test_a_refusal_names_the_argument_and_what_it_may_be(
    orders: dict[str, str], capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    assert await run(["set", NAME, *wrong], orders) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{wrong[-2]} must be ")
    assert await run(["lift", NAME], orders) == 2, "nothing was ordered"

"""Azurite, and a proxy in front of it that adds a network's faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.harness.proxy import FaultProxy
from tests.store.emulator import emulator


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an emulator that lives as long as the tests."""
    with emulator(tmp_path_factory.mktemp("azurite")) as port:
        yield port


@pytest.fixture
async def proxy(azurite: int) -> AsyncIterator[FaultProxy]:
    """The way to the emulator."""
    async with FaultProxy(azurite) as proxy:
        yield proxy

"""Both kinds of store: in memory, and Table Storage as Azurite emulates it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from local.azurite import connection
from routing.store.memory import MemoryStore
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage
from tests.store.away import Away
from tests.store.emulator import emulator


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an emulator that lives as long as the tests."""
    with emulator(tmp_path_factory.mktemp("azurite")) as port:
        yield port


@pytest.fixture
def tables() -> Away:
    """Tables in memory that can be taken away."""
    return Away()


@pytest.fixture
def shared(tables: Away) -> SharedStore:
    """The store on them."""
    return SharedStore(tables)


@pytest.fixture
def origin() -> str:
    """A region that no other test writes to."""
    return f"r{uuid4().hex[:12]}"


@pytest.fixture
async def table_storage(azurite: int) -> AsyncIterator[SharedStore]:
    """The store on Table Storage."""
    store = SharedStore(TableStorage(time.time, connection(azurite)))
    yield store
    await store.close()


@pytest.fixture(params=["memory", "table_storage"])
def store(request: pytest.FixtureRequest) -> SharedStore:
    """Each kind of store in turn."""
    if request.param == "memory":
        return MemoryStore()
    found: SharedStore = request.getfixturevalue("table_storage")
    return found

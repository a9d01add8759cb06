"""Azure Table Storage, through azure-data-tables. Keyless where it is given an endpoint, by key on Azurite.

The SDK would try ten times for up to seven days and wait five minutes for a connection: here a call ends within
CALL_S, because whoever made it comes again in a few seconds anyway. A read is tried twice, a transaction once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from routing.errors import StoreUnavailable
from routing.store.tables import PAGE, Conflict, Row

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

CALL_S = 10.0
SDK_LIMITS = {"retry_total": 1, "retry_backoff_factor": 0.1, "connection_timeout": 2, "read_timeout": 5}
_RANGE = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last"
ROWS_A_TURN = 10  # read or written before other tasks of the loop run: 1 ms
# A row that a `put` would insert is there, has changed or is gone. Other 409s, as of a table being deleted, are faults.
CONFLICTS = "EntityAlreadyExists", "UpdateConditionNotSatisfied", "ResourceNotFound"
IN_TRANSACTION = 100  # rows; one more breaks the connection (Azurite) or is a 400 (Azure)
TRANSACTION_BYTES = 3_000_000  # of 4 MiB, JSON and headers of each part included
PART_BYTES = 1_000  # headers of one row in a transaction
LEAST_SKEW_S = 2.0  # the Date header has whole seconds: clocks that NTP keeps are never moved by it
SENT_AT = "routing_sent_at"  # in what the SDK keeps of a call: when it was sent, by our clock


class TableStorage:
    """Tables of one storage account. Created where they are missed; its SDK is imported with the first call."""

    shared = True

    def __init__(
        self,
        clock: Callable[[], float],
        connection: str = "",
        endpoint: str = "",
        credential: Callable[[], AsyncTokenCredential] | None = None,
    ) -> None:
        self.skew_s = 0.0
        self.calls = 0  # transactions, as they are billed
        self._clock, self._connection, self._endpoint, self._credential = clock, connection, endpoint, credential
        self._service: TableServiceClient | None = None

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, None where there is none."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        async with self._calling():
            try:
                return _row(await self._table(table).get_entity(partition, key))
            except ResourceNotFoundError:
                return None
        raise AssertionError("unreachable")

    async def query(
        self, table: str, partition: str, first: str, last: str, columns: Sequence[str] = (), page: int = PAGE
    ) -> list[Row]:
        """The rows of a partition with keys from `first` on, before `last`."""
        return await self._read(table, _RANGE, {"partition": partition, "first": first, "last": last}, columns, page)

    def pages(self, table: str, partition: str, first: str, last: str) -> AsyncIterator[list[Row]]:
        """The same as they come."""
        return self._pages(table, _RANGE, {"partition": partition, "first": first, "last": last})

    async def scan(self, table: str, key: str, first: str, last: str) -> list[Row]:
        """The rows of this key in all partitions from `first` on, before `last`."""
        text = "PartitionKey ge @first and PartitionKey lt @last and RowKey eq @key"
        return await self._read(table, text, {"key": key, "first": first, "last": last})

    async def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows of one partition, a hundred in a transaction."""
        for part in _parts(rows):
            await self._submit(table, list(map(_upsert, part)))

    async def put(self, table: str, row: Row, rest: Sequence[Row] = ()) -> None:
        """Insert or replace one row on condition, and write the rest. Raises Conflict."""
        from azure.core import MatchConditions  # noqa: PLC0415

        parts, etag = list(_parts(rest, beside=row)) or [[]], row.etag
        for n, part in enumerate(parts, 1):
            # The row itself comes last, so that whoever reads it finds the rest. Until then it is only held to its
            # etag, which each transaction changes: another writer's makes the next one fail. A first one is made first.
            content = _entity(row if n == len(parts) or not etag else row._replace(properties={}))
            mode = "replace" if n == len(parts) else "merge"
            condition = {"mode": mode, "etag": etag, "match_condition": MatchConditions.IfNotModified}
            held = ("update", content, condition) if etag else ("create", content)
            etag = await self._submit(table, [held, *map(_upsert, part)])

    async def delete(self, table: str, partition: str, key: str, etag: str = "") -> None:
        """Remove a row, if it is there; with an etag just that. Raises Conflict."""
        from azure.core import MatchConditions  # noqa: PLC0415
        from azure.core.exceptions import ResourceModifiedError  # noqa: PLC0415

        match = MatchConditions.IfNotModified if etag else MatchConditions.Unconditionally
        async with self._calling():
            try:
                await self._table(table).delete_entity(partition, key, etag=etag, match_condition=match)
            except ResourceModifiedError as error:
                raise Conflict(table) from error

    async def names(self, prefix: str) -> list[str]:
        """The tables whose names begin so."""
        found = []
        async with self._calling():
            async for item in self._client().query_tables("TableName ge @p", parameters={"p": prefix}):
                if not item.name.startswith(prefix):
                    break
                found.append(item.name)
        return found

    async def drop(self, table: str) -> None:
        """Remove a table with all of its rows."""
        async with self._calling():
            await self._client().delete_table(table)

    async def close(self) -> None:
        """Close connections."""
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()

    # ------------------------------------------------------------------ inside
    async def _read(
        self, table: str, text: str, parameters: dict[str, str], columns: Sequence[str] = (), page: int = PAGE
    ) -> list[Row]:
        return [row async for rows in self._pages(table, text, parameters, columns, page) for row in rows]

    async def _pages(
        self, table: str, text: str, parameters: dict[str, str], columns: Sequence[str] = (), page: int = PAGE
    ) -> AsyncIterator[list[Row]]:
        """Rows as they come. Each page is a call of its own, with its own time: how many there are is not bounded."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        asked: dict[str, Any] = {"parameters": parameters, "results_per_page": page}
        if columns:
            asked["select"] = ["PartitionKey", "RowKey", *columns]
        found: AsyncIterator[AsyncIterator[TableEntity]] | None = None
        while True:
            rows = []
            async with self._calling():
                found = found or self._table(table).query_entities(text, **asked).by_page()
                try:
                    async for entity in await anext(found):
                        rows.append(_row(entity))
                        if len(rows) % ROWS_A_TURN == 0:
                            await asyncio.sleep(0)
                except (StopAsyncIteration, ResourceNotFoundError):
                    return
            yield rows

    async def _submit(self, table: str, operations: list[Any]) -> str:
        """One transaction, and the etag of its first row; the table is created where it is missed. Raises Conflict.

        The SDK repeats none: of one that failed with a 5xx nobody knows whether it is carried out later, over what is
        written meanwhile. Who made the call has to know that it is in doubt, and comes again.
        """
        from azure.core.exceptions import HttpResponseError, ResourceExistsError  # noqa: PLC0415

        async with self._calling():
            for again in (True, False):
                try:
                    done = await self._table(table).submit_transaction(_one_by_one(operations), retry_total=0)
                    return str(done[0]["etag"])
                except HttpResponseError as error:
                    code = getattr(error, "error_code", None)
                    if code in CONFLICTS:
                        raise Conflict(table) from error
                    if code != "TableNotFound" or not again:
                        raise
                with contextlib.suppress(ResourceExistsError):  # somebody else created it meanwhile
                    await self._client().create_table(table)
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        """Bounds a call, and gives every fault of it the one name that callers know."""
        from azure.core.exceptions import AzureError  # noqa: PLC0415

        try:
            async with asyncio.timeout(CALL_S):
                yield
        except TimeoutError as e:
            raise StoreUnavailable("the store did not answer in time") from e
        except AzureError as e:
            status = getattr(e, "status_code", None)
            raise StoreUnavailable(f"the store failed: {status or type(e).__name__}") from e
        except (ValueError, OSError) as e:  # an answer that is none; a credential that cannot be had
            raise StoreUnavailable(f"the store failed: {type(e).__name__}") from e

    def _table(self, name: str) -> TableClient:
        return self._client().get_table_client(name)

    def _client(self) -> TableServiceClient:
        if self._service is None:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415

            hooks = {"raw_request_hook": self._sends, "raw_response_hook": self._answered}
            limits: dict[str, Any] = SDK_LIMITS | hooks
            if self._connection:
                self._service = TableServiceClient.from_connection_string(self._connection, **limits)
            else:
                assert self._credential is not None
                self._service = TableServiceClient(self._endpoint, credential=self._credential(), **limits)
        return self._service

    def _sends(self, request: Any) -> None:
        request.context[SENT_AT] = self._clock()

    def _answered(self, response: Any) -> None:
        """Every answer tells the store's time, whatever it says."""
        self.calls += 1
        told = response.http_response.headers.get("Date")
        with contextlib.suppress(TypeError, ValueError):
            self._heard(parsedate_to_datetime(told).timestamp(), response.context[SENT_AT], self._clock())

    def _heard(self, told: float, sent: float, received: float) -> None:
        """The store said `told` at some moment between: an answer proves as much as it was fast.

        What is believed stays unless it contradicts that: one that was long under way, or waited for a turn of our
        loop, is no clock that is wrong. Else it is the middle, as NTP takes it.
        """
        slack = LEAST_SKEW_S - 0.5  # beyond the second that the header leaves open
        least, most = told - received - slack, told + 1.0 - sent + slack
        if not least < self.skew_s < most:
            self.skew_s = 0.0 if least < 0.0 < most else (least + most) / 2


def _row(entity: TableEntity) -> Row:
    """An entity as it was written: the SDK wraps each number of 64 bits with its type."""
    from azure.data.tables import EntityProperty  # noqa: PLC0415

    properties = {
        name: value.value if isinstance(value, EntityProperty) else value
        for name, value in entity.items()
        if name not in ("PartitionKey", "RowKey")
    }
    return Row(entity["PartitionKey"], entity["RowKey"], properties, str(entity.metadata.get("etag", "")))


def _entity(row: Row) -> dict[str, Any]:
    from azure.data.tables import EdmType, EntityProperty  # noqa: PLC0415

    typed = {
        name: EntityProperty(value, EdmType.INT64) if type(value) is int else value
        for name, value in row.properties.items()
    }
    return {"PartitionKey": row.partition, "RowKey": row.key, **typed}


async def _one_by_one(operations: Sequence[Any]) -> AsyncIterator[Any]:
    """As the SDK takes them up; what it then makes of all of them, 6 ms for fifty, it makes in one turn of the loop."""
    for n, operation in enumerate(operations, 1):
        yield operation
        if n % ROWS_A_TURN == 0:
            await asyncio.sleep(0)


def _upsert(row: Row) -> Any:
    return "upsert", _entity(row), {"mode": "replace"}


def _parts(rows: Sequence[Row], beside: Row | None = None) -> Iterator[list[Row]]:
    """Rows in transactions that the service takes, each with room `beside` them for another row."""
    most, least = (IN_TRANSACTION, 0) if beside is None else (IN_TRANSACTION - 1, _size(beside))
    part: list[Row] = []
    size = least
    for row in rows:
        if part and (len(part) == most or size + _size(row) > TRANSACTION_BYTES):
            yield part
            part, size = [], least
        part.append(row)
        size += _size(row)
    if part:
        yield part


def _size(row: Row) -> int:
    """Bytes that a row takes in a transaction."""
    return PART_BYTES + sum(len(value.encode()) for value in row.properties.values() if isinstance(value, str))

"""The store: what is written where, and what is taken from others' writing. The same over any kind of tables.

An instance writes its own running total per deployment, not what is new: writing it again changes nothing, a lost
write is in the next one, and what a dead instance learned stays and fades. The merge is the sum of the newest totals,
so it may run twice, late, or in two places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from routing.ports import Flushed, Home, Learned, Override, Profiles
from routing.store import codec, keys
from routing.store.codec import Refused
from routing.store.tables import Conflict, Row, Tables

MOST_AT_ONCE = 8  # partitions read at the same time
ROWS_A_TURN = 100  # decoded before other tasks of the loop run
TRIES = 3  # at a row that others write, too
END = "\U0010ffff"  # behind every key


class SharedStore:
    """Routing's shared memory on tables. See routing.ports.Store for what each call promises."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.shared = tables.shared
        self.rejected: Counter[str] = Counter()

    # ------------------------------------------------------------------ samples
    async def flush(self, origin: str, instance: str, version: int, totals: Mapping[str, Learned], now: float) -> None:
        """Write an instance's own totals: one transaction for each hundred deployments."""
        at, skew = now + self.tables.skew_s, self.tables.skew_s
        partition = keys.samples_partition(origin, keys.shard(instance))
        rows = []
        for deployment, learned in totals.items():
            try:
                properties = codec.encode_flushed(deployment, version, _moved(learned, skew))
            except Refused as refused:
                self._reject("samples", refused)
                continue
            rows.append(Row(partition, keys.sample_key(at, instance, deployment), properties))
        if rows:
            await self.tables.upsert(keys.samples_table(at), rows)

    async def flushed(self, origin: str, now: float) -> list[Flushed]:
        """The newest total of each instance and deployment."""
        limit = asyncio.Semaphore(MOST_AT_ONCE)

        async def read(table: str, number: int, first: str, last: str) -> list[Row]:
            async with limit:
                return await self.tables.query(table, keys.samples_partition(origin, number), first, last)

        ranges = keys.sample_ranges(now + self.tables.skew_s)
        reads = [read(table, n, first, last) for table, first, last in ranges for n in range(keys.SHARDS)]
        newest: dict[tuple[str, str], Flushed] = {}
        for rows in await asyncio.gather(*reads):
            for n, row in enumerate(rows):
                if n % ROWS_A_TURN == ROWS_A_TURN - 1:
                    await asyncio.sleep(0)
                self._take(row, newest, now)
        return list(newest.values())

    def _take(self, row: Row, newest: dict[tuple[str, str], Flushed], now: float) -> None:
        try:
            total = codec.decode_flushed(row.key, row.properties, now, self.tables.skew_s)
        except Refused as refused:
            self._reject("samples", refused)
            return
        place = total.instance, total.deployment
        if place not in newest or newest[place].version < total.version:
            newest[place] = total

    # ------------------------------------------------------------------ profiles
    async def head(self, origin: str) -> str | None:
        """A token for a region's profiles as they are now."""
        row = await self.tables.get(keys.PROFILES, keys.profiles_partition(origin), keys.HEAD)
        return None if row is None else row.etag

    async def publish(self, profiles: Profiles, replaces: str | None) -> bool:
        """Replace a region's profiles; False where another merge was faster."""
        partition, skew = keys.profiles_partition(profiles.origin), self.tables.skew_s
        head = codec.encode_head(profiles.merged_at + skew, profiles.holds)
        rows = []
        for deployment, learned in profiles.learned.items():
            try:
                rows.append(Row(partition, deployment, codec.encode_learned(_moved(learned, skew))))
            except Refused as refused:
                self._reject("profiles", refused)
        try:
            await self.tables.put(keys.PROFILES, Row(partition, keys.HEAD, head, replaces or ""), rows)
        except Conflict:
            return False
        return True

    async def profiles(self, now: float) -> list[Profiles]:
        """The profiles of all origin regions: one query."""
        heads: dict[str, tuple[float, dict[str, int]]] = {}
        learned: dict[str, dict[str, Learned]] = {}
        rows = await self.tables.scan(keys.PROFILES, f"{keys.VERSION}|", f"{keys.VERSION}}}")
        for n, row in enumerate(rows):
            if n % ROWS_A_TURN == ROWS_A_TURN - 1:
                await asyncio.sleep(0)
            origin = row.partition.partition("|")[2]
            try:
                if row.key == keys.HEAD:
                    heads[origin] = codec.decode_head(row.properties, self.tables.skew_s)
                else:
                    total = codec.decode_learned(row.properties, now, self.tables.skew_s)
                    learned.setdefault(origin, {})[row.key] = total
            except Refused as refused:
                self._reject("profiles", refused)
        return [Profiles(origin, *head, learned.get(origin, {})) for origin, head in heads.items()]

    # ------------------------------------------------------------------ homes
    async def home(self, user: str, wanted: str | None, leaves: int | None, now: float) -> Home | None:
        """A user's home after `wanted` was taken into account. After three lost races it is left as it is."""
        for _ in range(TRIES):
            row = await self.tables.get(keys.AFFINITY, keys.user_partition(user), user)
            stored = self._stored_home(row)
            stays = stored is not None and (leaves is None or stored.region == wanted or stored.version > leaves)
            if wanted is None or stays:
                return stored
            home = Home(wanted, 1 if stored is None else stored.version + 1, now)
            properties = codec.encode_home(home._replace(since=now + self.tables.skew_s))
            etag = "" if row is None else row.etag
            try:
                await self.tables.put(keys.AFFINITY, Row(keys.user_partition(user), user, properties, etag))
            except Conflict:
                continue
            return home
        return None

    def _stored_home(self, row: Row | None) -> Home | None:
        try:
            return None if row is None else codec.decode_home(row.properties, self.tables.skew_s)
        except Refused as refused:
            self._reject("affinity", refused)
            return None

    # ------------------------------------------------------------------ orders of operators
    async def overrides(self, now: float) -> list[Override]:
        """The orders that hold now."""
        orders = []
        for row in await self.tables.query(keys.OVERRIDES, keys.VERSION, "", END):
            try:
                orders.append(codec.decode_override(row.key, row.properties, self.tables.skew_s))
            except Refused as refused:
                self._reject("overrides", refused)
        return [order for order in orders if order.expires_at > now]

    async def order(self, override: Override) -> None:
        """Set an override. Raises codec.Refused for one that makes no sense."""
        moved = override._replace(expires_at=override.expires_at + self.tables.skew_s)
        row = Row(keys.VERSION, override.deployment, codec.encode_override(moved))
        await self.tables.upsert(keys.OVERRIDES, [row])

    async def lift(self, deployment: str) -> None:
        """Remove a deployment's override."""
        await self.tables.delete(keys.OVERRIDES, keys.VERSION, deployment)

    # ------------------------------------------------------------------ the rest
    async def lease(self, name: str, owner: str, now: float, for_s: float) -> bool:
        """Whether `owner` has the lease now. Its own lease is renewed."""
        at = now + self.tables.skew_s
        row = await self.tables.get(keys.LEASES, name, name)
        held = row is not None and row.properties.get("owner") != owner and _expiry(row) > at
        if held:
            return False
        lease = {"v": codec.VERSION, "owner": owner, "expires_at": at + for_s}
        try:
            await self.tables.put(keys.LEASES, Row(name, name, lease, "" if row is None else row.etag))
        except Conflict:
            return False
        return True

    async def purge(self, now: float) -> list[str]:
        """Drop the tables of samples that are past their retention."""
        names = await self.tables.names(keys.SAMPLES)
        old = [name for name in names if keys.is_past_retention(name, now + self.tables.skew_s)]
        for name in old:
            await self.tables.drop(name)
        return old

    async def close(self) -> None:
        """Close connections."""
        await self.tables.close()

    def _reject(self, table: str, refused: Refused) -> None:
        self.rejected[f"{table}:{refused.reason}"] += 1


def _moved(learned: Learned, skew_s: float) -> Learned:
    """The same on the store's clock."""
    newest = None if learned.newest_at is None else learned.newest_at + skew_s
    return replace(learned, at=learned.at + skew_s, newest_at=newest)


def _expiry(row: Row) -> float:
    """A lease that cannot be read has expired."""
    value = row.properties.get("expires_at")
    return float(value) if isinstance(value, int | float) else 0.0

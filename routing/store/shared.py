"""The store: what is written where, and what is taken from others' writing. The same over any kind of tables.

An instance writes its own running total per deployment, not what is new: writing it again changes nothing, a lost
write is in the next one, and what a dead instance learned stays and fades. The merge is the sum of the newest totals,
so it may run twice, late, or in two places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from routing.ports import Flushed, Head, Home, Learned, Override, Profiles
from routing.store import codec, keys
from routing.store.bounds import Refused
from routing.store.tables import Conflict, Row, Tables

MOST_AT_ONCE = 8  # partitions read at the same time
ROWS_A_TURN = 100  # decoded before other tasks of the loop run
# Who reads profiles serves requests. A request takes several turns of the loop, and each would meet another piece of
# such work if there were no rest between the pieces: it has the loop for itself then.
PROFILES_A_PAGE, PROFILES_A_TURN, REST_S = 50, 10, 0.005
TOTALS_A_TURN = 10  # encoded
MODEL_COLUMNS = "v", "at", "sums"  # of another region's profiles, of which nothing else is used
FORGET_S = 7_200.0  # a profile that was not merged for so long has faded to nothing
ENDED_S = 3_600.0  # an order is kept so long after its end: a clock that is wrong by less can remove none that holds
TRIES = 3  # at a row that others write, too
END = "\U0010ffff"  # behind every key


class SharedStore:
    """Routing's shared memory on tables. See routing.ports.Store for what each call promises."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.shared = tables.shared
        self.rejected: Counter[str] = Counter()
        self._orders: dict[str, Override] = {}  # by deployment, as they were read last

    # ------------------------------------------------------------------ samples
    async def flush(self, origin: str, instance: str, version: int, totals: Mapping[str, Learned], now: float) -> None:
        """Write an instance's own totals: one transaction for each hundred deployments. Others run meanwhile."""
        at, skew = now + self.tables.skew_s, self.tables.skew_s
        partition = keys.samples_partition(origin, keys.shard(instance))
        rows = []
        for n, (deployment, learned) in enumerate(totals.items(), 1):
            if n % TOTALS_A_TURN == 0:
                await asyncio.sleep(0)
            try:
                properties = codec.encode_flushed(deployment, version, _moved(learned, skew))
            except Refused as refused:
                self._reject("samples", refused)
                continue
            rows.append(Row(partition, keys.sample_key(at, instance, deployment), properties))
        if rows:
            await self.tables.upsert(keys.samples_table(at), rows)

    async def flushed(self, origin: str, now: float) -> list[Flushed]:
        """The newest total of each instance and deployment. Rows are decoded as they come, a page of each shard."""
        limit = asyncio.Semaphore(MOST_AT_ONCE)
        newest: dict[tuple[str, str], Flushed] = {}

        async def read(table: str, number: int, first: str, last: str) -> None:
            partition, writer = keys.samples_partition(origin, number), ""
            async with limit:
                async for rows in self.tables.pages(table, partition, first, last):
                    # A page is true of one moment. Whose rows lie on two may have flushed between them: then some of
                    # its totals would be of the newest version, and some not, though `holds` can name but one. It is
                    # read again, at once; in earlier steps nobody writes any more.
                    if rows and writer.startswith(first) and rows[0].key.startswith(writer):
                        rows += await self.tables.query(table, partition, writer, keys.after(writer))  # noqa: PLW2901
                    for n, row in enumerate(rows, 1):
                        if n % ROWS_A_TURN == 0:
                            await asyncio.sleep(0)
                        self._take(row, newest, now)
                    writer = keys.of_writer(rows[-1].key) if rows else writer

        ranges = keys.sample_ranges(now + self.tables.skew_s)
        try:
            async with asyncio.TaskGroup() as reads:  # of which the others end with the first that fails
                for table, first, last in ranges:
                    for number in range(keys.SHARDS):
                        reads.create_task(read(table, number, first, last))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return list(newest.values())

    def _take(self, row: Row, newest: dict[tuple[str, str], Flushed], now: float) -> None:
        """Newer rows come first: most of the older ones need not be decoded."""
        try:
            instance, deployment, version = codec.decode_place(row.key, row.properties)
            known = newest.get((instance, deployment))
            if known is None or known.version < version:
                total = codec.decode_flushed(row.key, row.properties, now, self.tables.skew_s)
                newest[instance, deployment] = total
        except Refused as refused:
            self._reject("samples", refused)

    # ------------------------------------------------------------------ profiles
    async def head(self, origin: str) -> str | None:
        """A token for a region's profiles as they are now."""
        row = await self.tables.get(keys.PROFILES, keys.profiles_partition(origin), keys.HEAD)
        return None if row is None else row.etag

    async def publish(self, profiles: Profiles, replaces: str | None) -> bool:
        """Replace a region's profiles; False where another merge was faster, or a total is not fit to be stored.

        A profile without that total is not published in its place: `holds` counts for all deployments, and instances
        would drop what of theirs is then nowhere.
        """
        partition, skew = keys.profiles_partition(profiles.origin), self.tables.skew_s
        head = codec.encode_head(profiles.merged_at + skew, profiles.holds, profiles.live)
        try:
            rows = [
                Row(partition, deployment, codec.encode_learned(_moved(learned, skew)))
                for deployment, learned in profiles.learned.items()
            ]
            await self.tables.put(keys.PROFILES, Row(partition, keys.HEAD, head, replaces or ""), rows)
        except Refused as refused:
            self._reject("profiles", refused)
            return False
        except Conflict:
            return False
        return True

    async def heads(self) -> list[Head]:
        """The heads of all origin regions' profiles: one query."""
        heads = []
        for row in await self.tables.scan(keys.PROFILES, keys.HEAD, f"{keys.VERSION}|", f"{keys.VERSION}}}"):
            try:
                heads.append(codec.decode_head(row.partition.partition("|")[2], row.properties, self.tables.skew_s))
            except Refused as refused:
                self._reject("profiles", refused)
        return heads

    async def learned(self, head: Head, whole: bool, now: float) -> dict[str, Learned] | None:
        """A region's profiles, by deployment. None where a row is of a later merge than the head that was read."""
        partition, columns = keys.profiles_partition(head.origin), () if whole else MODEL_COLUMNS
        learned: dict[str, Learned] = {}
        rows = await self.tables.query(keys.PROFILES, partition, "", keys.HEAD, columns, PROFILES_A_PAGE)
        for n, row in enumerate(rows, 1):
            if n % PROFILES_A_TURN == 1:
                await asyncio.sleep(REST_S)
            try:
                learned[row.key] = codec.decode_learned(row.properties, now, self.tables.skew_s)
            except Refused as refused:
                self._reject("profiles", refused)
                continue
            if row.properties["at"] > head.revision:
                return None
        return learned

    # ------------------------------------------------------------------ homes
    async def home(self, user: str, wanted: str | None, leaves: int | None, now: float) -> Home | None:
        """A user's home after `wanted` was taken into account. After three lost races it is left as it is."""
        if wanted is not None and leaves is None:
            # Mostly the answer took longer than it took to ask, and there was none: then reading is a call too many
            with suppress(Conflict):
                return await self._put_home(user, Home(wanted, 1, now), "")
        for _ in range(TRIES):
            row = await self.tables.get(keys.AFFINITY, keys.user_partition(user), user)
            stored = self._stored_home(row)
            stays = stored is not None and (leaves is None or stored.region == wanted or stored.version > leaves)
            if wanted is None or stays:
                return stored
            home = Home(wanted, 1 if stored is None else stored.version + 1, now)
            with suppress(Conflict):
                return await self._put_home(user, home, "" if row is None else row.etag)
        return None

    async def _put_home(self, user: str, home: Home, etag: str) -> Home:
        """Store a home over the row of this etag, or the first one. Raises Conflict."""
        properties = codec.encode_home(home._replace(since=home.since + self.tables.skew_s))
        await self.tables.put(keys.AFFINITY, Row(keys.user_partition(user), user, properties, etag))
        return home

    def _stored_home(self, row: Row | None) -> Home | None:
        try:
            return None if row is None else codec.decode_home(row.properties, self.tables.skew_s)
        except Refused as refused:
            self._reject("affinity", refused)
            return None

    # ------------------------------------------------------------------ orders of operators
    async def overrides(self, now: float) -> list[Override]:
        """The orders that hold now. Where one cannot be read, as of a newer router, what was read there last holds on.

        It was not lifted, and who renewed it wants at least something like it.
        """
        orders: dict[str, Override] = {}
        for row in await self.tables.query(keys.OVERRIDES, keys.VERSION, "", END):
            try:
                orders[row.key] = codec.decode_override(row.key, row.properties, now, self.tables.skew_s)
            except Refused as refused:
                self._reject("overrides", refused)
                if row.key in self._orders:
                    orders[row.key] = self._orders[row.key]
        self._orders = orders
        return [order for order in orders.values() if order.expires_at > now]

    async def order(self, override: Override, now: float) -> None:
        """Set an override. Raises codec.Refused for one that makes no sense."""
        properties = codec.encode_override(override, now, self.tables.skew_s)
        await self.tables.upsert(keys.OVERRIDES, [Row(keys.VERSION, override.deployment, properties)])

    async def lift(self, deployment: str) -> bool:
        """Remove a deployment's override. False where there was none."""
        found = await self.tables.get(keys.OVERRIDES, keys.VERSION, deployment)
        await self.tables.delete(keys.OVERRIDES, keys.VERSION, deployment)
        return found is not None

    # ------------------------------------------------------------------ the rest
    async def lease(self, name: str, owner: str, now: float, for_s: float) -> bool:
        """Whether `owner` has the lease now. Its own lease is renewed."""
        at = now + self.tables.skew_s
        row = await self.tables.get(keys.LEASES, name, name)
        held = row is not None and row.properties.get("owner") != owner and codec.decode_expiry(row.properties) > at
        if held:
            return False
        lease = {"v": codec.VERSION, "owner": owner, "expires_at": at + for_s}
        try:
            await self.tables.put(keys.LEASES, Row(name, name, lease, "" if row is None else row.etag))
        except Conflict:
            return False
        return True

    async def purge(self, now: float) -> list[str]:
        """Drop tables of samples past their retention, profiles of deployments that are no more, and ended orders."""
        names = await self.tables.names(keys.SAMPLES)
        old = [name for name in names if keys.is_past_retention(name, now + self.tables.skew_s)]
        for name in old:
            await self.tables.drop(name)
        await self._forget_profiles(now + self.tables.skew_s)
        await self._forget_orders(now)
        return old

    async def _forget_orders(self, now: float) -> None:
        """Remove orders that have ended, but none that was given anew meanwhile, and none that cannot be read."""
        for row in await self.tables.query(keys.OVERRIDES, keys.VERSION, "", END):
            with suppress(Refused, Conflict):
                order = codec.decode_override(row.key, row.properties, now, self.tables.skew_s)
                if now - order.expires_at > ENDED_S:
                    await self.tables.delete(keys.OVERRIDES, keys.VERSION, row.key, row.etag)

    async def _forget_profiles(self, at: float) -> None:
        """Remove profiles that no merge has renewed for long: nobody sends their deployments anything any more."""
        for head in await self.heads():
            partition = keys.profiles_partition(head.origin)
            for row in await self.tables.query(keys.PROFILES, partition, "", keys.HEAD, ("at",)):
                merged_at = row.properties.get("at")
                if not isinstance(merged_at, int | float) or at - merged_at > FORGET_S:
                    await self.tables.delete(keys.PROFILES, partition, row.key)

    async def close(self) -> None:
        """Close connections."""
        await self.tables.close()

    def _reject(self, table: str, refused: Refused) -> None:
        self.rejected[f"{table}:{refused.reason}"] += 1


def _moved(learned: Learned, skew_s: float) -> Learned:
    """The same on the store's clock."""
    newest = None if learned.newest_at is None else learned.newest_at + skew_s
    return replace(learned, at=learned.at + skew_s, newest_at=newest)

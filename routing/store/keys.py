"""Where a row lies: table names, partition keys and row keys, and the arithmetic of who writes how often.

table             PartitionKey           RowKey                               one row is
samplesYYYYMMDD   {origin}|{shard}       {hour, reversed}|{instance}|{deployment}   an instance's own total
profiles          v1|{origin}            {deployment}, and ~head              a region's merged total
affinity          2 hex of the user      user, hashed                         a home region
overrides         v1                     {deployment}                         an operator's order
leases            {name}                 {name}                               owner and expiry
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zlib import crc32

SAMPLES, PROFILES, AFFINITY, OVERRIDES, LEASES = "samples", "profiles", "affinity", "overrides", "leases"
HEAD = "~head"  # sorts behind every deployment's name
VERSION = "v1"
SHARDS = 16
HOUR_S = 3600.0
KEEP = timedelta(days=2)  # tables of samples: for people, the router reads two hours
_LAST_HOUR = 9_999_999  # hours since the epoch, reversed, so that the newest rows are the first of their partition


def samples_table(at: float) -> str:
    """The table of a moment's day."""
    return f"{SAMPLES}{datetime.fromtimestamp(at, UTC):%Y%m%d}"


def is_past_retention(table: str, now: float) -> bool:
    """Whether a table of samples is to be dropped. A name that holds no day is not ours."""
    try:
        day = datetime.strptime(table.removeprefix(SAMPLES), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return day + timedelta(days=1) + KEEP < datetime.fromtimestamp(now, UTC)


def shard(instance: str) -> int:
    """The partition of an instance: its rows lie together, so that a flush is one transaction."""
    return crc32(instance.encode()) % SHARDS


def samples_partition(origin: str, number: int) -> str:
    """The partition of a shard."""
    return f"{origin}|{number:02}"


def reversed_hour(at: float) -> str:
    """Falls as time goes on."""
    return f"{_LAST_HOUR - int(at // HOUR_S):07}"


def sample_key(at: float, instance: str, deployment: str) -> str:
    """The row of an instance's total for a deployment in the hour of `at`: written again, it replaces itself."""
    return f"{reversed_hour(at)}|{instance}|{deployment}"


def sample_ranges(now: float) -> list[tuple[str, str, str]]:
    """(table, first key, key after the last) of this hour's and the last hour's rows: one range, two at midnight."""
    last = now - HOUR_S
    today, before = samples_table(now), samples_table(last)
    if today == before:
        return [(today, f"{reversed_hour(now)}|", f"{reversed_hour(last)}}}")]
    return [(table, f"{reversed_hour(at)}|", f"{reversed_hour(at)}}}") for table, at in ((today, now), (before, last))]


def profiles_partition(origin: str) -> str:
    """The partition of a region's profiles."""
    return f"{VERSION}|{origin}"


def user_partition(user: str) -> str:
    """The partition of a user."""
    return user[:2]

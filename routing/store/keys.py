"""Where a row lies: table names, partition keys and row keys, and the arithmetic of who writes how often.

table             PartitionKey           RowKey                               one row is
samplesYYYYMMDD   {origin}|{shard}       {step, reversed}|{instance}|{deployment}   an instance's own total
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
# An instance's total replaces itself within a step, and leaves its last one behind with each new step. A merge reads
# the last READ_S, three times the slowest time constant of a sum: a twentieth is left of what falls out. Steps as long
# as that make the fewest rows to read at any rate at which instances come and go: two of each that lives on, where
# steps of ten minutes would be four. `holds` names every instance whose rows were read, and none is left out for its
# age: one that was cut off has flushes in memory which it adds to a profile that does not name it.
STEP_S = 1800.0  # divides a day, so that a step lies in one table
READ_S = 1800.0
KEEP = timedelta(days=2)  # tables of samples: for people, the router reads an hour at most
_LAST_STEP = 9_999_999  # steps since the epoch, reversed, so that the newest rows are the first of their partition


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


def reversed_step(at: float) -> str:
    """Falls as time goes on."""
    return f"{_LAST_STEP - int(at // STEP_S):07}"


def sample_key(at: float, instance: str, deployment: str) -> str:
    """The row of an instance's total for a deployment in the step of `at`: written again, it replaces itself."""
    return f"{reversed_step(at)}|{instance}|{deployment}"


def of_writer(key: str) -> str:
    """How the keys begin that an instance writes in the step of this one."""
    return key[: key.rfind("|") + 1]


def after(beginning: str) -> str:
    """The first key behind all that begin so; the last character is the divider."""
    return f"{beginning[:-1]}}}"


def sample_ranges(now: float) -> list[tuple[str, str, str]]:
    """(table, first key, key after the last) of the rows of the last READ_S, and up to a step before.

    Soon after midnight they lie in two tables, of which each has its own part of the range.
    """
    since = now - READ_S
    tables = dict.fromkeys((samples_table(now), samples_table(since)))
    return [(table, f"{reversed_step(now)}|", f"{reversed_step(since)}}}") for table in tables]


def profiles_partition(origin: str) -> str:
    """The partition of a region's profiles."""
    return f"{VERSION}|{origin}"


def user_partition(user: str) -> str:
    """The partition of a user."""
    return user[:2]

"""Rows as they are stored. Everything has a version, and what is not as it should be is refused in both directions.

Sums and histograms are JSON in text properties, so that a person can read them in any table browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from routing.ports import Flushed, Head, Home, Learned, Override
from routing.store.bounds import (
    BUCKETS,
    COLUMNS,
    FUTURE_S,
    LONGEST_NAME,
    MERGED,
    OWN,
    Limits,
    Refused,
    check,
    check_override,
    name,
    number,
    whole,
)
from routing.store.tables import Properties

VERSION = 1


def encode_learned(learned: Learned, limits: Limits = MERGED) -> dict[str, Any]:
    """The properties of a total. Raises Refused for one that must not be stored."""
    check(learned, limits)
    row: dict[str, Any] = {
        "v": VERSION,
        "at": learned.at,
        "sums": json.dumps([float(f"{value:.9g}") for value in learned.sums], separators=(",", ":")),
        "ttft_ms": _bins_as_text(learned.ttft_ms),
        "total_ms": _bins_as_text(learned.total_ms),
    }
    if learned.newest_at is not None:
        row["newest_at"] = learned.newest_at
    if learned.round_trip_s is not None:
        row["round_trip_s"] = learned.round_trip_s
    return row


def decode_learned(row: Properties, now: float, skew_s: float, limits: Limits = MERGED) -> Learned:
    """The total in a row, its times moved from the store's clock to ours. Raises Refused."""
    _version(row)
    newest, round_trip = row.get("newest_at"), row.get("round_trip_s")
    learned = Learned(
        at=number(row.get("at")) - skew_s,
        sums=_numbers(row.get("sums")),
        ttft_ms=_bins(row.get("ttft_ms", "[]")),  # not read of other regions' profiles
        total_ms=_bins(row.get("total_ms", "[]")),
        newest_at=None if newest is None else number(newest) - skew_s,
        round_trip_s=None if round_trip is None else number(round_trip),
    )
    check(learned, limits)
    if max(learned.at, learned.newest_at or 0.0) > now + FUTURE_S:
        raise Refused("future")
    return learned


def encode_flushed(deployment: str, version: int, learned: Learned) -> dict[str, Any]:
    """The properties of one instance's total. Raises Refused."""
    name(deployment)
    return encode_learned(learned, OWN) | {"version": version}


def decode_place(key: str, row: Properties) -> tuple[str, str, int]:
    """(instance, deployment, version) of an instance's total: enough to see whether it is newer. Raises Refused."""
    parts = key.split("|")
    if len(parts) != 3 or not all(parts):
        raise Refused("key")
    return name(parts[1]), name(parts[2]), whole(row.get("version"))


def decode_flushed(key: str, row: Properties, now: float, skew_s: float) -> Flushed:
    """The total of one instance, with the names in its key. Raises Refused."""
    return Flushed(*decode_place(key, row), decode_learned(row, now, skew_s, OWN))


def encode_head(merged_at: float, holds: Mapping[str, int], live: int = 0) -> dict[str, Any]:
    """The properties of the row that tells what a region's profiles hold, in pieces below 64 KiB."""
    text = json.dumps(holds, separators=(",", ":"))
    pieces = [text[i : i + 30_000] for i in range(0, len(text), 30_000)]
    holds_as_text = {f"holds{i}": piece for i, piece in enumerate(pieces)}
    return {"v": VERSION, "merged_at": merged_at, "live": live, **holds_as_text}


def decode_head(origin: str, row: Properties, skew_s: float) -> Head:
    """What a region's profiles hold. Raises Refused."""
    _version(row)
    pieces: list[str] = []
    while f"holds{len(pieces)}" in row:
        pieces.append(str(row[f"holds{len(pieces)}"]))
    holds = _json("".join(pieces))
    if not isinstance(holds, dict):
        raise Refused("type")
    versions = {instance: whole(version) for instance, version in holds.items()}
    revision = number(row.get("merged_at"))
    return Head(origin, revision, revision - skew_s, versions, whole(row.get("live", len(versions))))


def encode_home(home: Home) -> dict[str, Any]:
    """The properties of a user's home."""
    return {"v": VERSION, "region": home.region, "version": home.version, "since": home.since}


def decode_home(row: Properties, skew_s: float) -> Home:
    """A user's home. Raises Refused."""
    _version(row)
    version = whole(row.get("version"))
    if version < 1:
        raise Refused("range")
    return Home(name(row.get("region")), version, number(row.get("since")) - skew_s)


def decode_expiry(row: Properties) -> float:
    """When a lease ends, by the store's clock. One that cannot be read has ended."""
    try:
        return number(row.get("expires_at"))
    except Refused:
        return 0.0


def encode_override(override: Override, now: float, skew_s: float) -> dict[str, Any]:
    """The properties of an order, on the store's clock. Raises Refused, with its field, for one that makes no sense."""
    check_override(override, now)
    row: dict[str, Any] = {
        "v": VERSION,
        "author": override.author,
        "expires_at": override.expires_at + skew_s,
        "state": override.state,
        "weight": override.weight,
        "reason": override.reason,
    }
    return row if override.limit is None else row | {"limit": override.limit}


def decode_override(deployment: str, row: Properties, now: float, skew_s: float) -> Override:
    """An order. Raises Refused."""
    _version(row)
    limit = row.get("limit")
    override = Override(
        deployment=deployment,
        author=row.get("author", ""),
        expires_at=number(row.get("expires_at")) - skew_s,
        state=str(row.get("state", "")),
        weight=number(row.get("weight", 1.0)),
        limit=None if limit is None else int(number(limit)),
        reason=str(row.get("reason", ""))[:LONGEST_NAME],
    )
    check_override(override, now)
    return override


# ---------------------------------------------------------------------- values
def _version(row: Properties) -> None:
    if row.get("v") != VERSION:
        raise Refused("version")


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        raise Refused("type")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise Refused("json") from e


def _numbers(text: Any) -> list[float]:
    values = _json(text)
    if not isinstance(values, list) or len(values) > COLUMNS:
        raise Refused("shape")
    return [number(value) for value in values]


def _bins(text: Any) -> dict[int, float]:
    """`[[bucket, count], ...]`"""
    pairs = _json(text)
    if not isinstance(pairs, list) or len(pairs) > BUCKETS:
        raise Refused("shape")
    bins = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not int:
            raise Refused("shape")
        bins[pair[0]] = number(pair[1])
    return bins


def _bins_as_text(bins: Mapping[int, float]) -> str:
    return json.dumps([[bucket, float(f"{count:.6g}")] for bucket, count in bins.items()], separators=(",", ":"))

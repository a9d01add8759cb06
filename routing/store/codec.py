"""Rows as they are stored. Everything has a version, and what is not as it should be is refused in both directions.

Sums and histograms are JSON in text properties, so that a person can read them in any table browser.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from routing.ports import Flushed, Home, Learned, Override
from routing.store.tables import Properties

VERSION = 1
COLUMNS = 11  # decayed sums of a sketch, as routing.latency.sums numbers them; a test holds the two together
FUTURE_S = 60.0  # a row from further ahead is nobody's measurement: clocks that are known to differ are translated
MOST = 1e9  # samples in one count, or a sum under it
MOST_BUCKETS = 512
MOST_ROUND_TRIP_S = 10.0
LONGEST_NAME = 128  # of an instance, a deployment, a region, an author
WEIGHTS = (0.01, 10.0)
MOST_IN_FLIGHT = 100_000
STATES = ("", "drain", "disable")
_UNFIT = re.compile(r"[/\\#?|\x00-\x1f\x7f-\x9f]")  # what a key may not hold, and what our own are divided by
_COUNTS = (0, 2, 3, 4, 6, 8, 9, 10)  # columns that are counts, squares or weights: never negative


class Refused(Exception):
    """A row or a total that is not stored and not used. `reason` is a label for the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode_learned(learned: Learned) -> dict[str, Any]:
    """The properties of a total. Raises Refused for one that must not be stored."""
    _check(learned)
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


def decode_learned(row: Properties, now: float, skew_s: float) -> Learned:
    """The total in a row, its times moved from the store's clock to ours. Raises Refused."""
    _version(row)
    newest, round_trip = row.get("newest_at"), row.get("round_trip_s")
    learned = Learned(
        at=_number(row.get("at")) - skew_s,
        sums=_numbers(row.get("sums")),
        ttft_ms=_bins(row.get("ttft_ms")),
        total_ms=_bins(row.get("total_ms")),
        newest_at=None if newest is None else _number(newest) - skew_s,
        round_trip_s=None if round_trip is None else _number(round_trip),
    )
    _check(learned)
    if max(learned.at, learned.newest_at or 0.0) > now + FUTURE_S:
        raise Refused("future")
    return learned


def encode_flushed(deployment: str, version: int, learned: Learned) -> dict[str, Any]:
    """The properties of one instance's total. Raises Refused."""
    _name(deployment)
    return encode_learned(learned) | {"version": version}


def decode_flushed(key: str, row: Properties, now: float, skew_s: float) -> Flushed:
    """The total of one instance, with the names in its key. Raises Refused."""
    parts = key.split("|")
    if len(parts) != 3 or not all(parts):
        raise Refused("key")
    version = row.get("version")
    if isinstance(version, bool) or not isinstance(version, int):
        raise Refused("type")
    return Flushed(_name(parts[1]), _name(parts[2]), version, decode_learned(row, now, skew_s))


def encode_head(merged_at: float, holds: Mapping[str, int]) -> dict[str, Any]:
    """The properties of the row that tells what a region's profiles hold, in pieces below 64 KiB."""
    text = json.dumps(holds, separators=(",", ":"))
    pieces = [text[i : i + 30_000] for i in range(0, len(text), 30_000)]
    return {"v": VERSION, "merged_at": merged_at, **{f"holds{i}": piece for i, piece in enumerate(pieces)}}


def decode_head(row: Properties, skew_s: float) -> tuple[float, dict[str, int]]:
    """(moment of the merge, instance -> version). Raises Refused."""
    _version(row)
    pieces: list[str] = []
    while f"holds{len(pieces)}" in row:
        pieces.append(str(row[f"holds{len(pieces)}"]))
    holds = _json("".join(pieces))
    if not isinstance(holds, dict) or not all(type(version) is int for version in holds.values()):
        raise Refused("type")
    return _number(row.get("merged_at")) - skew_s, holds


def encode_home(home: Home) -> dict[str, Any]:
    """The properties of a user's home."""
    return {"v": VERSION, "region": home.region, "version": home.version, "since": home.since}


def decode_home(row: Properties, skew_s: float) -> Home:
    """A user's home. Raises Refused."""
    _version(row)
    version = row.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise Refused("type")
    return Home(_name(row.get("region")), version, _number(row.get("since")) - skew_s)


def encode_override(override: Override) -> dict[str, Any]:
    """The properties of an order. Raises Refused for one that makes no sense."""
    _number(override.expires_at)
    _check_override(override)
    row: dict[str, Any] = {
        "v": VERSION,
        "author": override.author,
        "expires_at": override.expires_at,
        "state": override.state,
        "weight": override.weight,
        "reason": override.reason,
    }
    _name(override.deployment)
    _name(override.author)
    return row if override.limit is None else row | {"limit": override.limit}


def decode_override(deployment: str, row: Properties, skew_s: float) -> Override:
    """An order. Raises Refused."""
    _version(row)
    limit = row.get("limit")
    override = Override(
        deployment=_name(deployment),
        author=_name(row.get("author")),
        expires_at=_number(row.get("expires_at")) - skew_s,
        state=str(row.get("state", "")),
        weight=_number(row.get("weight", 1.0)),
        limit=None if limit is None else int(_number(limit)),
        reason=str(row.get("reason", ""))[:LONGEST_NAME],
    )
    _check_override(override)
    return override


# ---------------------------------------------------------------------- checks
def _check(learned: Learned) -> None:
    """Raises Refused for what cannot have been measured."""
    bins = [*learned.ttft_ms.items(), *learned.total_ms.items()]
    times = [learned.at, 0.0 if learned.newest_at is None else learned.newest_at]
    if len(learned.sums) != COLUMNS or len(bins) > MOST_BUCKETS:
        raise Refused("shape")
    if not all(map(math.isfinite, (*learned.sums, *times, *(count for _, count in bins)))):
        raise Refused("not_finite")
    if any(learned.sums[column] < 0 for column in _COUNTS) or any(count < 0 for _, count in bins) or min(times) < 0:
        raise Refused("negative")
    if any(abs(value) > MOST for value in learned.sums) or any(b < 0 or count > MOST for b, count in bins):
        raise Refused("range")
    if learned.round_trip_s is not None and not 0 < learned.round_trip_s <= MOST_ROUND_TRIP_S:
        raise Refused("range")


def _check_override(override: Override) -> None:
    if override.state not in STATES or not WEIGHTS[0] <= override.weight <= WEIGHTS[1]:
        raise Refused("range")
    if len(override.reason) > LONGEST_NAME:
        raise Refused("name")
    if override.limit is not None and not 1 <= override.limit <= MOST_IN_FLIGHT:
        raise Refused("range")


def _version(row: Properties) -> None:
    if row.get("v") != VERSION:
        raise Refused("version")


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or _UNFIT.search(value):
        raise Refused("name")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("type")
    if not math.isfinite(value):
        raise Refused("not_finite")
    return float(value)


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
    return [_number(value) for value in values]


def _bins(text: Any) -> dict[int, float]:
    """`[[bucket, count], ...]`"""
    pairs = _json(text)
    if not isinstance(pairs, list) or len(pairs) > MOST_BUCKETS:
        raise Refused("shape")
    bins = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not int:
            raise Refused("shape")
        bins[pair[0]] = _number(pair[1])
    return bins


def _bins_as_text(bins: Mapping[int, float]) -> str:
    return json.dumps([[bucket, float(f"{count:.6g}")] for bucket, count in bins.items()], separators=(",", ":"))

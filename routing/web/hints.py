"""The caller's hints: headers win over the body's `routing`, which wins over a suffix of the model's name.

Nothing is taken and then ignored: what is no hint, or has no effect beside another, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from routing.errors import RequestError
from routing.fleet import Fleet
from routing.request import Hints, LatencyPriority

LONGEST_MS, MOST_TOKENS, MOST_PER_SECOND, MOST_USD = 600_000.0, 10_000_000, 100_000.0, 1_000_000.0
LONGEST_TEXT, MOST_REGIONS = 256, 32
# OpenRouter's and our own suffixes: what a model's name may end in
SUFFIXES = {":fast": "streaming", ":nitro": "throughput", ":floor": "price"}
HEADERS = {
    "x-slo-ttft-ms": "max_ttft_ms",  # llm-d's name; ours comes later and wins
    "x-router-priority": "priority",
    "x-router-max-ttft-ms": "max_ttft_ms",
    "x-router-max-total-ms": "max_total_ms",
    "x-router-min-quality-tier": "min_quality_tier",
    "x-router-allowed-regions": "allowed_regions",
    "x-router-user-region": "user_region",
    "x-router-user-id": "user_id",
    "x-router-session-id": "session_id",
    "x-router-hedge": "hedge",
    "x-router-explain": "explain",
}
NOT_HINTS = {"x-router-geo"}  # Front Door's word, not the caller's
# Limits that a priority does not look at. `max_total_ms` counts for all: it is the deadline, too
UNUSED = {
    LatencyPriority.STREAMING: ("min_tokens_per_second",),
    LatencyPriority.TOTAL: ("max_ttft_ms", "min_tokens_per_second"),
    LatencyPriority.THROUGHPUT: ("max_ttft_ms",),
}


def split(model: str) -> tuple[str, str]:
    """(model, what its suffix asks for): `gpt-4o:fast` is `gpt-4o` and `streaming`."""
    for suffix, meaning in SUFFIXES.items():
        if model.endswith(suffix):
            return model.removesuffix(suffix), meaning
    return model, ""


def hints(body: Mapping[str, Any], headers: Mapping[str, str], fleet: Fleet, suffix: str = "") -> Hints:
    """The checked hints of a request. Raises RequestError that names the hint or the header."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}  # where each hint was said
    for name, value in body.items():
        if name not in CHECKS:
            place = f"routing.{name[:LONGEST_TEXT]}"
            raise RequestError(f"`{place}` is no hint; there are {', '.join(sorted(CHECKS))}", place)
        if value is not None:
            places[name] = f"routing.{name}"
            values[name] = CHECKS[name](value, places[name])
    for header in headers:
        if header.startswith("x-router-") and header not in HEADERS and header not in NOT_HINTS:
            raise RequestError(f"the header `{header}` is no hint; there are {', '.join(HEADERS)}", header)
    for header, name in HEADERS.items():
        if header in headers:
            places[name] = header
            values[name] = CHECKS[name](_from_text(name, headers[header], header), header)
    if suffix in ("streaming", "throughput"):
        values.setdefault("priority", LatencyPriority(suffix))
    _one_goal(values, places)
    if "allowed_regions" in values:
        allowed = (_place(name, fleet, places["allowed_regions"]) for name in values["allowed_regions"])
        values["allowed_regions"] = tuple(dict.fromkeys(allowed))
    if "user_region" in values:
        values["user_region"] = _place(values["user_region"], fleet, places["user_region"])
    return Hints(**values)


def _one_goal(values: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """Refuse a limit that the request's priority does not look at."""
    priority: LatencyPriority | None = values.get("priority")
    if priority is None and "max_ttft_ms" in values:
        priority = LatencyPriority.STREAMING
    if priority is None:
        return
    for name in UNUSED[priority]:
        if name in values:
            why = f"no limit for the priority {priority.value}, which the request's other hints or its suffix ask for"
            raise RequestError(f"`{places[name]}` is {why}", places[name])


def _place(name: str, fleet: Fleet, where: str) -> str:
    """A region's name as the fleet's id; a geography stays what it is."""
    known = {name: region.id for name, region in fleet.region_by_name.items()}
    known |= {str(region.geography): region.geography for region in fleet.regions}
    if name not in known:
        raise RequestError(f"`{where}`: there is no region '{name[:40]}'; there are {', '.join(sorted(known))}", where)
    return known[name]


def _from_text(name: str, text: str, header: str) -> Any:
    """A header's text as the JSON value that the hint takes."""
    if name == "allowed_regions":
        return [part.strip() for part in text.split(",")]
    if name == "explain":
        if text.lower() not in ("true", "false"):
            raise RequestError(f"`{header}` must be true or false", header)
        return text.lower() == "true"
    if name == "min_quality_tier":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else text
    if name in ("max_ttft_ms", "max_total_ms"):
        try:
            return float(text)
        except ValueError:
            return text
    return text


# ---------------------------------------------------------------------- checks of one value each
def _number(least: float, most: float) -> Callable[[Any, str], float]:
    def check(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RequestError(f"`{where}` must be a number", where)
        if not least <= value <= most:
            raise RequestError(f"`{where}` must be from {least:g} to {most:g}", where)
        return float(value)

    return check


def _whole(least: int, most: int) -> Callable[[Any, str], int]:
    def check(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RequestError(f"`{where}` must be a whole number from {least} to {most}", where)
        return value

    return check


def _one_of(*words: str) -> Callable[[Any, str], str]:
    def check(value: Any, where: str) -> str:
        if value not in words:
            raise RequestError(f"`{where}` must be one of {', '.join(words)}", where)
        return str(value)

    return check


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise RequestError(f"`{where}` must be text of 1 to {LONGEST_TEXT} characters", where)
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"`{where}` must be true or false", where)
    return value


def _regions(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_REGIONS:
        raise RequestError(f"`{where}` must be a list of 1 to {MOST_REGIONS} regions", where)
    return tuple(_text(region, where) for region in value)


def _priority(value: Any, where: str) -> LatencyPriority:
    return LatencyPriority(_one_of("streaming", "total", "throughput")(value, where))


CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "priority": _priority,
    "max_ttft_ms": _number(1, LONGEST_MS),
    "max_total_ms": _number(1, LONGEST_MS),
    "min_tokens_per_second": _number(0.001, MOST_PER_SECOND),
    "percentile": _number(1, 99.9),
    "require": _flag,
    "min_quality_tier": _whole(1, 5),
    "max_cost_usd": _number(0, MOST_USD),
    "allowed_regions": _regions,
    "user_id": _text,
    "user_region": _text,
    "user_location": _text,
    "session_id": _text,
    "hedge": _one_of("auto", "off"),
    "expected_tokens": _whole(1, MOST_TOKENS),
    "explain": _flag,
}

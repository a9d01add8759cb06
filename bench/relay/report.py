"""The table of a run: medians over its rounds, and ratios to the bare relay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.relay.imports import Import

type Rounds = Sequence[Mapping[str, float]]  # one program's figures, a round each

BASE = "c"
UNKNOWN = "n/a"
FULL_CORE = 0.9  # below it a program could have done more than was measured
LEAST_SHARE, MOST_ADDED_MS, MOST_IMPORT_S = 0.5, 1.5, 0.7  # what the product aims at


class Row(NamedTuple):
    """One figure of the table."""

    key: str
    title: str
    digits: int


ROWS = (
    Row("ttft_p50_ms", "added TTFT p50, ms", 2),
    Row("ttft_p99_ms", "added TTFT p99, ms", 2),
    Row("lag_p50_ms", "chunk lag p50, ms", 2),
    Row("lag_p99_ms", "chunk lag p99, ms", 2),
    Row("streams_per_s", "streams/s of 32 tokens", 0),
    Row("tokens_per_s", "tokens/s forwarded", 0),
    Row("busy", "its core busy meanwhile, share", 2),
    Row("cpu_ms_per_stream", "CPU per stream, ms", 2),
    Row("calls_per_s", "plain calls/s", 0),
    Row("cpu_ms_per_call", "CPU per plain call, ms", 2),
    Row("calls_per_answer", "upstream calls per answer", 3),
    Row("kb_per_stream", "memory per open stream, kB", 0),
    Row("rss_mb", "memory with no stream open, MB", 0),
)


def middle(rounds: Rounds, key: str) -> float:
    """The median over the rounds that have the figure; NaN where none has."""
    values = _values(rounds, key)
    return median(values) if values else math.nan


def spread(rounds: Rounds, key: str) -> float:
    """How far the rounds are apart, as a share of their median; NaN of fewer than two."""
    values = _values(rounds, key)
    return (max(values) - min(values)) / median(values) if len(values) > 1 and median(values) else math.nan


def table(columns: Mapping[str, tuple[str, Rounds]]) -> str:
    """Markdown, of `letter: (title, rounds)`; the bare relay must be among them."""
    others = [letter for letter in columns if letter != BASE]
    titles = [f"({letter}) {title}" for letter, (title, _) in columns.items()]
    ratios = [f"{letter} ÷ {BASE}" for letter in others]
    head = ["one process each", *titles, *ratios, "rounds differ by"]
    lines = [_line(head), _line(["---", *["--:"] * (len(head) - 1)])]
    for row in ROWS:
        values = {letter: middle(rounds, row.key) for letter, (_, rounds) in columns.items()}
        cells = [_number(value, row.digits) for value in values.values()]
        cells += [_number(ratio(values[letter], values[BASE]), 2) for letter in others]
        spreads = [share for _, rounds in columns.values() if not math.isnan(share := spread(rounds, row.key))]
        lines.append(_line([row.title, *cells, f"{max(spreads):.0%}" if spreads else UNKNOWN]))
    return "\n".join(lines)


def aims(app: Rounds, base: Rounds, imported: Import) -> list[str]:
    """What the product aims at, each with what was measured; never a reason to fail a run."""
    streams = ratio(middle(app, "streams_per_s"), middle(base, "streams_per_s"))
    per_cpu = ratio(middle(base, "cpu_ms_per_stream"), middle(app, "cpu_ms_per_stream"))
    more = middle(app, "ttft_p50_ms") - middle(base, "ttft_p50_ms")
    seen = f"{_number(streams, 2)} of (c), by CPU time {_number(per_cpu, 2)}"
    took = f"{_number(imported.wall_s, 2)} s, {_number(imported.cpu_s, 2)} s of CPU"
    # the two agree on a quiet machine; on a busy one neither column has its core and the first says little
    enough = streams >= LEAST_SHARE and not per_cpu < LEAST_SHARE
    return [
        _aim(enough, f"streams/s and tokens/s: {seen}; aim {LEAST_SHARE} or more"),
        _aim(more <= MOST_ADDED_MS, f"added TTFT p50: {_number(more, 2)} ms over (c); aim {MOST_ADDED_MS} or less"),
        _aim(imported.wall_s <= MOST_IMPORT_S, f"import function_app: {took}; aim {MOST_IMPORT_S} s or less"),
    ]


def caveats(columns: Mapping[str, tuple[str, Rounds]]) -> list[str]:
    """Which programs were held up by something else, so that their throughput is not their capacity."""
    shares = {letter: middle(rounds, "busy") for letter, (_, rounds) in columns.items()}
    return [
        f"({letter}) had {share:.0%} of its core: something else held it up, so only its CPU times count"
        for letter, share in shares.items()
        if share < FULL_CORE
    ]


def ratio(value: float, base: float) -> float:
    """`value` by `base`; NaN where there is nothing to divide by."""
    return value / base if base else math.nan


def _values(rounds: Rounds, key: str) -> list[float]:
    return [found[key] for found in rounds if not math.isnan(found.get(key, math.nan))]


def _aim(met: bool, measured: str) -> str:
    return f"{'met   ' if met else 'missed'} {measured}"


def _number(value: float, digits: int) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:,.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

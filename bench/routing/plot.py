"""Plots as SVG, written by hand: a dot plot of hit rates needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.routing.report import mean
from bench.routing.runs import Run

WIDTH, ROW, LEFT, RIGHT, TOP = 900, 30, 150, 30, 60
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#ff7f0e")


def dot_plot(runs: Sequence[Run], policies: Sequence[str], scenarios: Sequence[str], measure: str = "hit") -> str:
    """One row a scenario, one dot a policy, at its mean share in %."""
    rows = [*scenarios, "mean"]
    values = {(row, p): 100 * mean(runs, p, measure, None if row == "mean" else row) for row in rows for p in policies}
    low = 10 * (min(values.values()) // 10)
    height = TOP + ROW * len(rows) + 40

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (100 - low)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    parts += _legend(policies)
    for tick in range(int(low), 101, 10):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - 30}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 12}" font-size="11" text-anchor="middle">{tick} %</text>')
    for k, row in enumerate(rows):
        y = TOP + ROW * k + ROW / 2
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" font-size="12" text-anchor="end">{escape(row)}</text>')
        parts += [
            f'<circle cx="{x(values[row, p]):.1f}" cy="{y:.1f}" r="5" fill="{_colour(j)}" fill-opacity="0.8">'
            f"<title>{escape(p)}: {values[row, p]:.1f} %</title></circle>"
            for j, p in enumerate(policies)
        ]
    return "\n".join([*parts, "</svg>", ""])


def _legend(policies: Sequence[str]) -> list[str]:
    parts, step = [], (WIDTH - 20) / max(1, min(6, len(policies)))
    for j, policy in enumerate(policies):
        left, top = 15 + step * (j % 6), 18 + 18 * (j // 6)
        parts.append(f'<circle cx="{left:.0f}" cy="{top}" r="5" fill="{_colour(j)}"/>')
        parts.append(f'<text x="{left + 9:.0f}" y="{top + 4}" font-size="12">{escape(policy)}</text>')
    return parts


def _colour(j: int) -> str:
    return COLOURS[j % len(COLOURS)]

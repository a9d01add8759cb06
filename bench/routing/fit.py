"""Fit the distributions that ship with the repository: `TRACES=DIR python -m bench.routing.fit` writes shipped.json.

Only summary figures leave the traces: means and deviations over groups of deployments, quantiles of token counts,
dispersions of arrivals. No row of any trace does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.routing import measured
from bench.routing.deployments import Series
from bench.routing.shipped import FILE, GROUPED, Group
from bench.routing.traces import Column, Floats, load, where

TRACES = ("arrivals_azure_conv_2023", "arrivals_azure_code_2023", "arrivals_long_prompt")
QUANTILES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)
FAST_S, SLOW_S = 1.0, 30.0  # widths of the bins whose counts tell how bursty arrivals are
DIGITS = 5


def fit(folder: Path) -> dict[str, Any]:
    """All that shipped.json holds."""
    probes = measured.probes(folder, azure_only=False)[0]
    azure = [s for s in probes if s.name.startswith(("azure", "openai"))]
    return {
        "endpoints": grouped(measured.endpoints(folder, np.random.default_rng(0))),
        "sequences": grouped(measured.sequences(folder)),
        "azure": grouped(azure),
        "probes": grouped([s for s in probes if s not in azure]),
        "arrivals": {name: arrivals(folder, name) for name in TRACES},
        "clients": clients(folder),
    }


def grouped(series: Sequence[Series]) -> list[Group]:
    """One group a tier."""
    tiers = sorted({s.tier for s in series})
    return [group([s for s in series if s.tier == tier]) for tier in tiers]


def group(series: Sequence[Series]) -> Group:
    """Of each quantity: mean of the deployments' means, deviation of these, deviation within, lag-1 correlation."""
    fitted: Group = {"tier": series[0].tier, "count": len(series), "regimes": max(len(s.log_ttft) for s in series)}
    for name, take in GROUPED.items():
        columns = [take(s) for s in series]
        means, within = [float(c.mean()) for c in columns], [c - c.mean() for c in columns]
        fitted[name] = [
            *_rounded(np.mean(means), np.std(means), np.sqrt(np.mean(np.concatenate(within) ** 2))),
            *_rounded(_lag_one(within)),
        ]
    return fitted


def _lag_one(parts: Sequence[Floats]) -> float:
    pairs = [(p[:-1], p[1:]) for p in parts if len(p) > 2]
    if not pairs:
        return 0.0
    a, b = np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
    spread = float(np.sqrt(np.mean(a * a) * np.mean(b * b)))
    return max(0.0, float(np.mean(a * b)) / spread) if spread > 0 else 0.0


def arrivals(folder: Path, name: str) -> dict[str, Any]:
    """Rate, burstiness at two time scales, token counts and how prompt and answer go together."""
    trace = load(folder, name)
    slow = _log_variance(trace["t_s"], SLOW_S)
    fast = max(0.0, _log_variance(trace["t_s"], FAST_S) - slow)
    ranks = [np.argsort(np.argsort(trace[c])).astype(np.float64) for c in ("in_tokens", "out_tokens")]
    return {
        "rate_per_s": _rounded(len(trace["t_s"]) / (trace["t_s"].max() + 1))[0],
        "slow_sd": _rounded(np.sqrt(slow))[0],
        "fast_sd": _rounded(np.sqrt(fast))[0],
        "correlation": _rounded(np.corrcoef(ranks[0], ranks[1])[0, 1])[0],
        "in_tokens": _quantiles(trace["in_tokens"]),
        "out_tokens": _quantiles(np.maximum(1, trace["out_tokens"])),
    }


def _log_variance(t: Column, width: float) -> float:
    """Variance of the log of a rate that varies log-normally, from counts in bins: what is beyond Poisson's."""
    counts = np.bincount((t / width).astype(int))
    mean = counts.mean()
    return float(np.log1p(max(0.0, counts.var() - mean) / mean**2))


def clients(folder: Path) -> dict[str, Any]:
    """Many bursty clients: how many, their rates and burstiness, token counts."""
    table = load(folder, "servegen_client_rates_hourly")
    table = where(table, (table["model"] == "m-large") & (table["rate_per_s"] > 0.01))
    rate, cv = np.log(table["rate_per_s"]), np.log(np.clip(table["cv"], 0.5, 8.0))
    tokens = load(folder, "servegen_token_quantiles")

    def quantiles(kind: str) -> list[list[float]]:
        m = (tokens["model"] == "m-large") & (tokens["kind"] == kind)
        logs = np.log(np.maximum(1, tokens["tokens"][m]))
        return [_rounded(q, np.exp(np.interp(q, tokens["q"][m], logs))) for q in QUANTILES]

    return {
        "count": round(len(rate) / len(set(table["t_s"]))),
        "log_rate": _rounded(rate.mean(), rate.std()),
        "log_cv": _rounded(cv.mean(), cv.std()),
        "in_tokens": quantiles("input"),
        "out_tokens": quantiles("output"),
    }


def _quantiles(x: Column) -> list[list[float]]:
    return [_rounded(q, np.quantile(x, q)) for q in QUANTILES]


def _rounded(*values: Any) -> list[float]:
    return [float(f"{float(v):.{DIGITS}g}") for v in values]


if __name__ == "__main__":
    FILE.write_text(json.dumps(fit(Path(os.environ["TRACES"])), indent=1) + "\n")

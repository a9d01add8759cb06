"""When requests come, from which router region, and how long prompt and answer are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.routing.traces import Column, Floats, Table, load, where

type Rng = np.random.Generator
type Requests = tuple[Floats, Floats, Floats]  # times, tokens in, tokens out
LONGEST_GAP_CV, SHORTEST_GAP_CV = 8.0, 0.5


class ArrivalSource(Protocol):
    """Where requests come from."""

    def requests(self, kind: str, rng: Rng, duration: float, rate: float) -> Requests:
        """Requests at `rate` a second for `duration` seconds."""
        ...


class MeasuredArrivals:
    """Requests from a folder of traces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def requests(self, kind: str, rng: Rng, duration: float, rate: float) -> Requests:
        """A trace by name, or `servegen`: many bursty clients added up."""
        if kind == "servegen":
            return self._superposed(rng, rate, duration)
        return replayed(load(self._folder, kind), rng, rate, duration)

    def _superposed(self, rng: Rng, rate: float, duration: float) -> Requests:
        clients = load(self._folder, "servegen_client_rates_hourly")
        day, hour = int(rng.integers(0, 13)), int(rng.integers(8, 20))
        at = (clients["model"] == "m-large") & (clients["t_s"] == day * 86400 + hour * 3600)
        active = where(clients, at & (clients["rate_per_s"] > 0.01))
        t = superposed(rng, active["rate_per_s"], active["cv"], rate, duration)
        quantiles = load(self._folder, "servegen_token_quantiles")

        def tokens(kind: str) -> Floats:
            m = (quantiles["model"] == "m-large") & (quantiles["kind"] == kind)
            return drawn(rng, quantiles["q"][m], quantiles["tokens"][m], len(t))

        return t, tokens("input"), tokens("output")


def replayed(trace: Table, rng: Rng, rate: float, duration: float) -> Requests:
    """A real trace from a random offset, its clock scaled to the wanted rate."""
    base = trace["t_s"]
    span = base.max() + 1
    scale = rate / (len(base) / span)
    need = duration * scale
    offset = rng.uniform(0, span)
    copies = int(np.ceil(need / span)) + 2
    t = np.concatenate([base + span * c for c in range(copies)])
    row = np.tile(np.arange(len(base)), copies)
    m = (t >= offset) & (t < offset + need)
    t, row = (t[m] - offset) / scale, row[m]
    t = t + rng.uniform(0, 0.05, len(t))
    return t, trace["in_tokens"][row], trace["out_tokens"][row]


def superposed(rng: Rng, rates: Column, cvs: Column, rate: float, duration: float) -> Floats:
    """Times of many clients with Gamma gaps, each with its own share of the rate and its own burstiness."""
    times = []
    for client_rate, client_cv in zip(rates, cvs, strict=True):
        lam = client_rate / rates.sum() * rate
        shape = 1 / min(max(client_cv, SHORTEST_GAP_CV), LONGEST_GAP_CV) ** 2
        gaps = rng.gamma(shape, 1 / (shape * lam), int(lam * duration * 1.5) + 5)
        t = np.cumsum(gaps) - gaps[0] * rng.uniform()
        times.append(t[(t > 0) & (t < duration)])
    return np.sort(np.concatenate(times))


def drawn(rng: Rng, q: Column, tokens: Column, n: int) -> Floats:
    """n token counts from a table of quantiles, log-linear between them."""
    counts: Floats = np.exp(np.interp(rng.uniform(0.005, 0.995, n), q, np.log(tokens)))
    return counts


def arrivals(
    source: ArrivalSource, kind: str, rng: Rng, duration: float, rate: float, weights: Sequence[float]
) -> Floats:
    """Requests of all router regions in order of time: columns t, region, tokens in, tokens out."""
    parts = []
    for region, weight in enumerate(weights):
        t, tokens_in, tokens_out = source.requests(kind, rng, duration, rate * weight)
        parts.append(np.stack([t, np.full(len(t), region), tokens_in, np.maximum(1, tokens_out)], 1))
    x = np.concatenate(parts)
    ordered: Floats = x[np.argsort(x[:, 0], kind="stable")]
    return ordered

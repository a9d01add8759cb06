"""Worlds without traces: series and arrivals drawn from the distributions in shipped.json, which fit.py fitted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.routing.arrivals import Requests, drawn, replayed, superposed
from bench.routing.deployments import Series
from bench.routing.places import AZURE_HOSTS, PROBE_HOSTS, PROBE_ROUTERS, ROUTERS, estimated_rtt
from bench.routing.traces import Floats

FILE = Path(__file__).with_name("shipped.json")
TRACE_S = 3600.0  # length of a drawn trace
SLOW_TAU_S = 60.0  # of the slow part of a rate
LEAST_SIGMA = 0.05
PROVIDERS = 6  # names that drawn deployments are spread over

type Rng = np.random.Generator
type Group = dict[str, Any]

# What is fitted of a group of deployments, each as [mean, deviation between, deviation within, lag-1 correlation]
GROUPED: dict[str, Callable[[Series], Floats]] = {
    "log_ttft": lambda s: s.log_ttft,
    "log_sigma_up": lambda s: np.log(s.sigma_up),
    "log_sigma_tail": lambda s: np.log(s.sigma_tail),
    "log_tpot": lambda s: s.log_tpot,
    "log_price_in": lambda s: np.array([math.log(s.price_in)]),
    "log_price_out": lambda s: np.array([math.log(s.price_out)]),
}


class Shipped:
    """Both sources: of fleets and of requests."""

    def __init__(self) -> None:
        self._fitted: dict[str, Any] = json.loads(FILE.read_text())

    # ------------------------------------------------------------------ deployments
    def endpoints(self, rng: Rng) -> list[Series]:
        """See fleets.Source."""
        return _drawn(rng, self._fitted["endpoints"], "endpoint")

    def sequences(self, rng: Rng) -> list[Series]:
        """See fleets.Source."""
        return _drawn(rng, self._fitted["sequences"], "model")

    def probes(self, rng: Rng, azure_only: bool) -> tuple[list[Series], list[str], Floats]:
        """See fleets.Source."""
        series = _drawn(rng, self._fitted["azure"], "azure")
        hosts = [AZURE_HOSTS[i % len(AZURE_HOSTS)] for i in range(len(series))]
        if not azure_only:
            others = _drawn(rng, self._fitted["probes"], "other")
            hosts += [PROBE_HOSTS[i] for i in rng.integers(0, len(PROBE_HOSTS), len(others))]
            series += others
        return series, hosts, estimated_rtt(PROBE_ROUTERS, hosts)

    def rtt(self, hosts: list[str]) -> Floats:
        """See fleets.Source."""
        return estimated_rtt(ROUTERS, hosts)

    # ------------------------------------------------------------------ requests
    def requests(self, kind: str, rng: Rng, duration: float, rate: float) -> Requests:
        """See arrivals.ArrivalSource."""
        if kind != "servegen":
            return replayed(_trace(rng, self._fitted["arrivals"][kind]), rng, rate, duration)
        clients = self._fitted["clients"]
        rates = np.exp(_normal(rng, clients["log_rate"], clients["count"]))
        t = superposed(rng, rates, np.exp(_normal(rng, clients["log_cv"], clients["count"])), rate, duration)
        return t, _tokens(rng, clients["in_tokens"], len(t)), _tokens(rng, clients["out_tokens"], len(t))


def _drawn(rng: Rng, groups: Sequence[Group], kind: str) -> list[Series]:
    named = [(group, f"{kind}-{group['tier']}-{k}@p{k % PROVIDERS}") for group in groups for k in range(group["count"])]
    return [_series(rng, group, name) for group, name in named]


def _series(rng: Rng, group: Group, name: str) -> Series:
    def walk(quantity: str) -> Floats:
        mean, between, within, correlation = group[quantity]
        around: Floats = rng.normal(mean, between) + _autoregressive(rng, group["regimes"], within, correlation)
        return around

    return Series(
        name=name,
        tier=group["tier"],
        log_ttft=walk("log_ttft"),
        sigma_up=np.maximum(LEAST_SIGMA, np.exp(walk("log_sigma_up"))),
        sigma_tail=np.maximum(LEAST_SIGMA, np.exp(walk("log_sigma_tail"))),
        log_tpot=walk("log_tpot"),
        price_in=float(np.exp(walk("log_price_in")[0])),
        price_out=float(np.exp(walk("log_price_out")[0])),
    )


def _normal(rng: Rng, mean_and_deviation: Sequence[float], n: int) -> Floats:
    mean, deviation = mean_and_deviation
    return rng.normal(mean, deviation, n)


def _autoregressive(rng: Rng, n: int, deviation: float, correlation: float) -> Floats:
    x = rng.normal(0, deviation, n)
    for i in range(1, n):
        x[i] = correlation * x[i - 1] + math.sqrt(1 - correlation**2) * x[i]
    return x


def _trace(rng: Rng, fitted: dict[str, Any]) -> dict[str, Floats]:
    """A trace whose rate is log-normal at two time scales; prompt and answer go together as their ranks did."""
    seconds = int(TRACE_S)
    slow = _autoregressive(rng, seconds, fitted["slow_sd"], math.exp(-1 / SLOW_TAU_S))
    variance = fitted["slow_sd"] ** 2 + fitted["fast_sd"] ** 2
    rate = fitted["rate_per_s"] * np.exp(slow + rng.normal(0, fitted["fast_sd"], seconds) - variance / 2)
    t = _times(rng, rate)
    shared = rng.standard_normal(len(t))
    c = fitted["correlation"]
    other = c * shared + math.sqrt(1 - c * c) * rng.standard_normal(len(t))
    prompts, answers = _ranked(shared, fitted["in_tokens"]), _ranked(other, fitted["out_tokens"])
    return {"t_s": t, "in_tokens": prompts, "out_tokens": answers}


def _times(rng: Rng, rate: Floats) -> Floats:
    second = np.repeat(np.arange(len(rate)), rng.poisson(rate))
    return np.sort(second + rng.random(len(second)))


def _ranked(normal: Floats, quantiles: Sequence[Sequence[float]]) -> Floats:
    """Values with these quantiles, in the order of normal draws."""
    q, tokens = np.array(quantiles).T
    share = (np.argsort(np.argsort(normal)) + 0.5) / len(normal)
    values: Floats = np.maximum(1, np.exp(np.interp(share, q, np.log(tokens))))
    return values


def _tokens(rng: Rng, quantiles: Sequence[Sequence[float]], n: int) -> Floats:
    q, tokens = np.array(quantiles).T
    return drawn(rng, q, tokens, n)

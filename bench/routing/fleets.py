"""The four fleets, built from measured series (`measured`) or from drawn ones (`shipped`).

Each builder draws from `rng` in a fixed order, so that a seed means the same fleet for every policy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.routing import measured
from bench.routing.deployments import LUCK_SHARE, Deployments, Series, noisy, replay_all, wobble
from bench.routing.places import HOSTS, PROBE_ROUTERS, ROUTERS, measured_rtt
from bench.routing.traces import Floats

type Rng = np.random.Generator


class Source(Protocol):
    """Where series and round trips come from."""

    def endpoints(self, rng: Rng) -> list[Series]:
        """Production endpoints of 2026, some 27 of them."""
        ...

    def sequences(self, rng: Rng) -> list[Series]:
        """Models of 2023 whose latency changes within seconds."""
        ...

    def probes(self, rng: Rng, azure_only: bool) -> tuple[list[Series], list[str], Floats]:
        """Deployments of 2024: series, where each is hosted, round trips from the three probing places."""
        ...

    def rtt(self, hosts: list[str]) -> Floats:
        """Round trips in seconds from the routers' regions."""
        ...


class Measured:
    """Series from a folder of traces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def endpoints(self, rng: Rng) -> list[Series]:
        """See Source."""
        return measured.endpoints(self._folder, rng)

    def sequences(self, rng: Rng) -> list[Series]:
        """See Source."""
        return measured.sequences(self._folder)

    def probes(self, rng: Rng, azure_only: bool) -> tuple[list[Series], list[str], Floats]:
        """See Source."""
        return measured.probes(self._folder, azure_only)

    def rtt(self, hosts: list[str]) -> Floats:
        """See Source."""
        return measured_rtt(self._folder, ROUTERS, hosts)


def openrouter(source: Source, rng: Rng, steps: int, segment: float) -> Deployments:
    """Production endpoints of 2026: each day's quantiles are one regime, with a short wobble on top."""
    series = source.endpoints(rng)
    hosts, phase = _hosts(rng, len(series)), rng.uniform(0, segment * 20, len(series))
    fleet = _fleet(series, hosts, list(ROUTERS), source.rtt(hosts), steps, segment, phase, tpot_sd=0.25)
    fleet.sigma_up *= LUCK_SHARE
    fleet.sigma_tail *= LUCK_SHARE
    fleet.sigma_low = 0.5 * fleet.sigma_up
    fleet.log_ttft += wobble(rng, steps, fleet.size, 15.0, 0.18)
    fleet.prior_log_ttft = noisy(rng, [s.log_ttft[0] for s in series], 0.3)
    fleet.prior_log_tpot = noisy(rng, [s.log_tpot[0] for s in series], 0.25)
    fleet.prior_sigma = LUCK_SHARE * fleet.prior_sigma
    return fleet


def probes(source: Source, rng: Rng, steps: int, segment: float, azure_only: bool = False) -> Deployments:
    """Probes of 2024 from three places: three probes make one regime."""
    series, hosts, rtt = source.probes(rng, azure_only)
    phase = rng.uniform(0, segment * 30, len(series))
    fleet = _fleet(series, hosts, list(PROBE_ROUTERS), rtt, steps, segment, phase, tpot_sd=0.25)
    fleet.log_ttft += wobble(rng, steps, fleet.size, 15.0, 0.12)
    fleet.prior_log_ttft = noisy(rng, [s.log_ttft[0] for s in series], 0.2)
    fleet.prior_log_tpot = noisy(rng, [s.log_tpot[0] for s in series], 0.2)
    return fleet


def azure(source: Source, rng: Rng, steps: int, segment: float) -> Deployments:
    """The probes of Azure and OpenAI alone."""
    return probes(source, rng, steps, segment, azure_only=True)


def sequences(source: Source, rng: Rng, steps: int, segment: float) -> Deployments:
    """Request sequences of 2023 in order: cold starts and queues that build up within seconds."""
    series = source.sequences(rng)
    hosts = _hosts(rng, len(series))
    segment *= 3  # a regime is the median of three probes
    phase = rng.uniform(0, segment * 50, len(series))
    fleet = _fleet(series, hosts, list(ROUTERS), source.rtt(hosts), steps, segment, phase, tpot_sd=0.1)
    fleet.prior_log_ttft = noisy(rng, [np.median(s.log_ttft) for s in series], 0.3)
    fleet.prior_log_tpot = noisy(rng, [np.median(s.log_tpot) for s in series], 0.2)
    return fleet


FLEETS: dict[str, Callable[[Source, Rng, int, float], Deployments]] = {
    "openrouter": openrouter,
    "probes": probes,
    "azure": azure,
    "sequences": sequences,
}


def _hosts(rng: Rng, n: int) -> list[str]:
    return [HOSTS[i] for i in rng.integers(0, len(HOSTS), n)]


def _fleet(
    series: list[Series],
    hosts: list[str],
    routers: list[str],
    rtt: Floats,
    steps: int,
    segment: float,
    phase: Floats,
    tpot_sd: float,
) -> Deployments:
    """Deployments that replay `series`; priors are for the caller to set."""
    sigma_up = replay_all([s.sigma_up for s in series], steps, segment, phase)
    return Deployments(
        name=[s.name for s in series],
        provider=[s.name.split("@")[-1].split("/")[0].split(".")[0] for s in series],
        tier=np.array([s.tier for s in series]),
        price_in=np.array([s.price_in for s in series]),
        price_out=np.array([s.price_out for s in series]),
        place=hosts,
        router_places=routers,
        rtt=rtt,
        log_ttft=replay_all([s.log_ttft for s in series], steps, segment, phase),
        sigma_low=0.5 * sigma_up,
        sigma_up=sigma_up,
        sigma_tail=replay_all([s.sigma_tail for s in series], steps, segment, phase),
        log_tpot=replay_all([s.log_tpot for s in series], steps, segment, phase),
        prior_log_ttft=np.zeros(len(series)),
        prior_log_tpot=np.zeros(len(series)),
        prior_sigma=np.array([float(np.median(s.sigma_up)) for s in series]),
        tpot_sd=tpot_sd,
    )

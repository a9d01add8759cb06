"""Two bounds: policies that may look at the world. They go through the same plan as any other, and never hedge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import cast

from bench.routing.adapter import SimulatedAsk
from bench.routing.deployments import Z90
from bench.routing.simulation import Simulation
from bench.routing.world import STREAMING
from routing.latency.prediction import LENGTH_POINTS
from routing.policy.seam import Choice, Score
from routing.policy.view import View
from routing.request import Ask

PATIENCE_S = 30.0
TIER_PENALTY = 0.02
ENOUGH = 1.2  # of a request in a bucket: another may be under way
LOAD_WEIGHT, LOAD_FROM = 0.25, 0.6  # what using a deployment beyond 60 % costs


class Looking:
    """What both oracles share: who could take a request right now, and after what wait."""

    name = "looking"
    cool_down_s = 0.0

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._world, self._servers = simulation, simulation.world, simulation.servers
        self._goal: list[int] = self._world.goal.tolist()

    def choose(
        self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float, rng: Random, retry: bool
    ) -> Choice:
        """See the seam."""
        assert left is not None, "every simulated request has a target"
        d, p = self._best(cast(SimulatedAsk, ask).number, candidates, left, now)
        return Choice(Score(d, p, p, 0.0, 0.0, 0.0, 0.0), None, self.name, left)

    def score(self, view: View, ask: Ask, candidates: Sequence[int], left: float | None, now: float) -> list[Score]:
        """Nothing is asked to be met for certain in simulations."""
        return [Score(d, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0) for d in candidates]

    def hedge_after(self, view: View, ask: Ask, choice: Choice, left: float, now: float) -> float | None:
        """Never."""
        return None

    def hedge(
        self, view: View, ask: Ask, primary: int, age: float, candidates: Sequence[int], left: float, now: float
    ) -> int | None:
        """Never."""
        return None

    def patience(self, view: View, ask: Ask, deployment: int, second: int | None, left: float) -> float:
        """A constant."""
        return PATIENCE_S

    def _best(self, i: int, candidates: Sequence[int], left: float, now: float) -> tuple[int, float]:
        """(deployment, probability to meet the target)."""
        raise NotImplementedError

    def _rtt(self, i: int, d: int) -> float:
        return float(self._world.fleet.rtt[self._world.region[i], d])

    def _wait(self, i: int, d: int, at: float) -> float | None:
        """Seconds in the queue of d for a call that arrives at `at`; None if it would be refused."""
        servers, world = self._servers, self._world
        if world.down[self._servers.step(at), d]:
            return None
        if servers.tokens_per_s[d] < math.inf:
            wanted = min(servers.token_burst[d], float(world.tokens_in[i] + world.hint[i]))
            if servers.token_level(d, at) < wanted:
                return None
        if not servers.dedicated[d]:
            return 0.0 if servers.bucket_level(d, at) >= ENOUGH else None
        if servers.running[d] < servers.slots[d]:
            return 0.0
        if servers.queued[d] >= servers.slots[d] // 2:
            return None
        return float((servers.queued[d] + 1) * world.capacity.service_s[d] / servers.slots[d])


class Clairvoyant(Looking):
    """Knows the luck of this request everywhere: the least used deployment that meets the target, else the fastest."""

    name = "clairvoyant"

    def _best(self, i: int, candidates: Sequence[int], left: float, now: float) -> tuple[int, float]:
        world, servers = self._world, self._servers
        left = float(world.deadline[i] - world.known_deadline[i]) + left
        meets: list[tuple[float, int]] = []
        fastest = (math.inf, candidates[0])
        for d in candidates:
            rtt = self._rtt(i, d)
            at = now + rtt / 2
            wait = self._wait(i, d, at)
            if wait is None or world.u_err[i, d] < world.errors[self._servers.step(at), d]:
                continue
            if world.u_break[i] < world.break_share[d]:
                continue
            ttft, pace = servers.service(i, d, at + wait)
            took = rtt + wait + ttft
            if self._goal[i] != STREAMING:
                took += float(world.tokens_out[i] - 1) * pace
            fastest = min(fastest, (took, d))
            if took <= left:
                meets.append((servers.running[d] / servers.slots[d] + 0.15 * float(world.fleet.tier[d]), d))
        return (min(meets)[1], 1.0) if meets else (fastest[1], 0.0)


class StateOracle(Looking):
    """Knows how every deployment is at this moment, not the luck of the request: the bound of selection alone."""

    name = "state_oracle"

    def _best(self, i: int, candidates: Sequence[int], left: float, now: float) -> tuple[int, float]:
        world, servers = self._world, self._servers
        best, chosen, probability = -math.inf, candidates[0], 0.0
        for d in candidates:
            rtt = self._rtt(i, d)
            step = self._servers.step(now + rtt / 2)
            wait = self._wait(i, d, now + rtt / 2)
            if wait is None:
                continue
            p = self._meets(i, d, left - rtt - wait, step) * float(1 - world.errors[step, d])
            used = min(1.5, servers.running[d] / servers.slots[d])
            value = p - TIER_PENALTY * float(world.fleet.tier[d]) - LOAD_WEIGHT * max(0.0, used - LOAD_FROM)
            if value > best:
                best, chosen, probability = value, d, p
        return chosen, probability

    def _meets(self, i: int, d: int, rest: float, step: int) -> float:
        world, factor = self._world, self._servers.load_factor[d]
        fleet, used = world.fleet, min(1.5, self._servers.running[d] / self._servers.slots[d])
        scale = float(fleet.prompt_scale[d])
        prompt = (1 + float(world.tokens_in[i]) / scale) / (1 + 1000 / scale)
        median = math.exp(fleet.log_ttft[step, d]) * prompt * (1 + 0.5 * factor * used * used)
        if self._goal[i] == STREAMING:
            return self._below(rest, median, step, d)
        answer = float(world.hint[i]) * math.exp(fleet.log_tpot[step, d]) * (1 + factor * used**1.5)
        return sum(share * self._below(rest - answer * f, median, step, d) for f, share in LENGTH_POINTS)

    def _below(self, x: float, median: float, step: int, d: int) -> float:
        """P(TTFT <= x) of the three-piece log-normal."""
        if x <= 0:
            return 0.0
        fleet, y = self._world.fleet, math.log(x / median)
        up = float(fleet.sigma_up[step, d])
        if y < 0:
            z = y / float(fleet.sigma_low[step, d])
        else:
            z = y / up if y < Z90 * up else Z90 + (y - Z90 * up) / float(fleet.sigma_tail[step, d])
        return 0.5 * (1 + math.erf(z / math.sqrt(2)))

"""The event loop in virtual time: one run is one world under one policy.

A call travels to its deployment (half a round trip), is refused, queued or served there, and its first token, end or
error travels back. What to send, when to hedge, whom to give up and what to learn is decided by the product's own
`Plan`; the loop only turns what happens into its events and its actions into calls.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from random import Random

import numpy as np

from bench.routing.adapter import NAME, Asks, AskSource, fleet_of
from bench.routing.calls import DEAD, DONE, QUEUED, SERVING, Call, Record
from bench.routing.instances import Instance, SharedStore
from bench.routing.places import REGIONS
from bench.routing.servers import Servers
from bench.routing.world import HANGS, REFUSES, World
from routing.errors import AttemptError, ConnectionLost, RateLimited, ServerError
from routing.fleet import Fleet
from routing.outcome import LatencyMeasurement
from routing.plan import (
    Action,
    Cancel,
    Commit,
    Ended,
    Event,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Plan,
    Progress,
    Start,
    Tick,
    WakeAt,
)
from routing.policy.seam import Policy

PACE_TOKENS = 24  # a stream tells its pace after so many
REFUSAL_S, ERROR_S = 0.02, 0.15  # that a deployment takes to refuse, and to fail
SHARING_JITTER = 0.2


class Simulation:
    """The state of one run. Oracles may read it; policies see their view alone."""

    def __init__(
        self,
        world: World,
        make: Callable[[Simulation], Policy],
        fleet: Fleet | None = None,
        asks: AskSource | None = None,
        origins: Sequence[str] | None = None,
    ) -> None:
        self.world, self.servers, self.record = world, Servers(world), Record(world.n)
        self.fleet, self._make = fleet or fleet_of(world), make
        self._origins = origins or [REGIONS[place].id for place in world.fleet.router_places]
        self.instances = [self._instance(k, 0) for k in range(world.routers)]
        self.store = SharedStore()
        self._asks = asks or Asks(world)
        self._t: list[float] = world.t.tolist()
        self._instance_of: list[int] = world.instance.tolist()
        self._half_rtt: list[list[float]] = (world.fleet.rtt[world.region] * 0.5).tolist()
        self._tokens_in: list[float] = world.tokens_in.tolist()
        self._tokens_out: list[float] = world.tokens_out.tolist()
        self._errors: list[list[float]] = world.errors.tolist()
        self._down: list[list[int]] = world.down.tolist()
        self._plans: dict[int, tuple[Plan, Instance, list[Call], list[float]]] = {}
        self._events: list[tuple[float, int, Callable[..., None], object]] = []
        self._order = itertools.count()
        self._luck = Random(world.seed)

    def _instance(self, k: int, life: int) -> Instance:
        origin = self._origins[k // self.world.scenario.instances]
        return Instance(self.fleet, origin, self._make(self), (self.world.seed * 1000 + k) * 1000 + life)

    # ------------------------------------------------------------------ the loop
    def run(self) -> Record:
        """To the end."""
        self._begin_sharing()
        events, t, n, i = self._events, self._t, self.world.n, 0
        while True:
            if i < n and (not events or t[i] <= events[0][0]):
                self._arrival(i, t[i])
                i += 1
            elif events:
                now, _, handle, what = heapq.heappop(events)
                handle(what, now)
            else:
                return self.record

    def _at(self, at: float, handle: Callable[..., None], what: object) -> None:
        """Call `handle(what, at)` at a moment; equal times keep their order."""
        heapq.heappush(self._events, (at, next(self._order), handle, what))

    # ------------------------------------------------------------------ the router's side
    def _arrival(self, i: int, now: float) -> None:
        instance = self.instances[self._instance_of[i]]
        plan = Plan(self._asks.of(i, instance.lengths), instance.view, instance.policy, instance.rng, now)
        self._plans[i] = plan, instance, [], [math.inf]
        self._tell(i, Start(), now)
        if plan.attempts:
            predicted = plan.attempts[0].score
            self.record.first_choice[i], self.record.predicted[i] = predicted.deployment, predicted.probability

    def _tell(self, i: int, event: Event, now: float) -> None:
        """Give an event to the plan of request i and do what it asks for."""
        life = self._plans.get(i)
        if life is None:
            return
        plan = life[0]
        self._do(i, plan.on(event, now), now)
        if plan.over:
            self._plans.pop(i, None)

    def _do(self, i: int, actions: Iterable[Action], now: float) -> None:
        _, _, calls, wake = self._plans[i]
        for action in actions:
            kind = type(action)
            if kind is WakeAt:
                at = action.at  # type: ignore[union-attr]
                if at != wake[0]:
                    wake[0] = at
                    if at < math.inf:
                        self._at(at, self._on_wake, i)
            elif kind is Open:
                self._open(i, action, calls, now)  # type: ignore[arg-type]
            elif kind is Cancel:
                self._cancel(calls[action.attempt], now)  # type: ignore[union-attr]
            elif kind is Commit:
                self._commit(i, calls[action.attempt], now)  # type: ignore[union-attr]
            elif isinstance(action, GiveUp):
                code = action.error.code
                self.record.errors[code] = self.record.errors.get(code, 0) + 1

    def _open(self, i: int, action: Open, calls: list[Call], now: float) -> None:
        call = Call(i, action.attempt, action.deployment, now)
        calls.append(call)
        self.record.sends.append((now, call.d))
        self.record.hedges += action.hedge
        self._at(now + self._half_rtt[i][call.d], self._on_reach, call)

    def _commit(self, i: int, call: Call, now: float) -> None:
        self.record.winner[i], self.record.first_at[i] = call.d, now
        self.record.hedge_wins += self._plans[i][0].attempts[call.number].hedge

    def _on_wake(self, i: int, now: float) -> None:
        life = self._plans.get(i)
        if life is not None and life[3][0] == now:
            life[3][0] = math.inf
            self._tell(i, Tick(), now)

    def _cancel(self, call: Call, now: float) -> None:
        """Drop a call; what was or will be done for it until the news arrives is waste."""
        if call.state == DEAD:
            return
        i, d, servers = call.request, call.d, self.servers
        if call.state == QUEUED:
            servers.queued[d] -= 1
            self._note_alone(call, *servers.service(i, d, now), now)  # judged as if it had been served at once
        elif call.state in (SERVING, DONE):
            stop = min(call.end_at, now + self._half_rtt[i][d])
            made = 0.0
            if stop >= call.started_at + call.ttft:
                made = min(self._tokens_out[i], 1 + (stop - call.started_at - call.ttft) / call.tpot)
            fleet = self.world.fleet
            self.record.wasted_tokens += self._tokens_in[i] + made
            self.record.wasted_usd += float(self._tokens_in[i] * fleet.price_in[d] + made * fleet.price_out[d])
            if call.state == SERVING:  # else the whole answer is on its way, and its slot is free
                self._at(stop, self._release, d)
        call.state = DEAD

    def _note_alone(self, call: Call, ttft: float, tpot: float, start: float) -> None:
        """When a first choice that is served from `start` on gives its first token and its end, whoever wins."""
        i, half = call.request, self._half_rtt[call.request][call.d]
        if call.number or self._breaks(call):
            return
        first = start + ttft + half
        end = max(first, start + ttft + (self._tokens_out[i] - 1) * tpot) + half
        streamed = self._plans[i][0].ask.streamed
        self.record.alone_first_at[i], self.record.alone_end_at[i] = first if streamed else end, end

    def _breaks(self, call: Call) -> bool:
        return bool(self.world.u_break[call.request] < self.world.break_share[call.d])

    # ------------------------------------------------------------------ the deployments' side
    def _on_reach(self, call: Call, now: float) -> None:
        """A call reaches its deployment."""
        if call.state == DEAD:
            return
        i, d, step, servers = call.request, call.d, self.servers.step(now), self.servers
        down = self._down[step][d]
        if down == HANGS:
            return
        if down == REFUSES:
            self._fail(call, ServerError("down"), now + REFUSAL_S)
        elif self.world.u_err[i, d] < self._errors[step][d]:
            self._fail(call, ServerError("bad luck"), now + ERROR_S)
        else:
            wait = servers.refused(d, now, self._tokens_in[i] + self._asks.hint(i))
            if wait is not None:
                self._fail(call, RateLimited("full", wait), now + REFUSAL_S)
            elif servers.dedicated[d] and servers.running[d] >= servers.slots[d]:
                call.state, call.queued_at = QUEUED, now
                servers.queued[d] += 1
                servers.queue[d].append(call)
            else:
                self._serve(call, now)

    def _fail(self, call: Call, error: AttemptError, at: float) -> None:
        self._at(at + self._half_rtt[call.request][call.d], self._on_failed, (call, error))

    def _serve(self, call: Call, now: float) -> None:
        """A call begins to be served."""
        i, d = call.request, call.d
        call.state, call.started_at = SERVING, now
        call.ttft, call.tpot = self.servers.service(i, d, now)
        self.servers.running[d] += 1
        self.servers.used_at[d] = now
        call.first_at = now + call.ttft + self._half_rtt[i][d]
        call.end_at = max(call.first_at, now + call.ttft + (self._tokens_out[i] - 1) * call.tpot)
        self._note_alone(call, call.ttft, call.tpot, now)
        if self._plans[i][0].ask.streamed:
            self._at(call.first_at, self._on_first, call)
        if self._breaks(call):
            cut = call.first_at + float(self.world.break_at[i]) * (call.end_at - call.first_at)
            self._at(cut, self._on_break, call)
        else:
            self._at(call.end_at, self._on_served, call)

    def _release(self, d: int, now: float) -> None:
        """A slot becomes free; the queue moves up."""
        servers = self.servers
        servers.running[d] -= 1
        servers.used_at[d] = now
        while servers.queue[d] and servers.running[d] < servers.slots[d]:
            call = servers.queue[d].popleft()
            if call.state == QUEUED:
                servers.queued[d] -= 1
                self.record.waited[call.request] = now - call.queued_at > 0.25
                self._serve(call, now)

    # ------------------------------------------------------------------ what comes back
    def _on_first(self, call: Call, now: float) -> None:
        if call.state == DEAD:
            return
        i = call.request
        self._tell_first(call, now)
        if self._tokens_out[i] >= PACE_TOKENS:
            self._at(call.first_at + (PACE_TOKENS - 1) * call.tpot, self._on_pace, call)

    def _tell_first(self, call: Call, now: float) -> None:
        i, d = call.request, call.d
        network = self._plans[i][1].connect(d, 2 * self._half_rtt[i][d])
        self._tell(i, FirstContent(call.number, network, self.servers.used(d, now)), now)

    def _on_pace(self, call: Call, now: float) -> None:
        if call.state in (SERVING, DONE):
            self._tell(call.request, Progress(call.number, call.tpot), now)

    def _on_served(self, call: Call, now: float) -> None:
        """The answer is complete: the slot is free at once, the last token still has to travel."""
        if call.state == DEAD:
            return
        call.state = DONE
        self._release(call.d, now)
        self._at(now + self._half_rtt[call.request][call.d], self._on_end, call)

    def _on_end(self, call: Call, now: float) -> None:
        if call.state == DEAD:
            return
        i = call.request
        plan, instance, *_ = self._plans[i]
        tokens, streamed = int(self._tokens_out[i]), plan.ask.streamed
        ttft, total = 1000 * (call.first_at - call.sent_at), 1000 * (now - call.sent_at)
        generation, events = 1000 * (tokens - 1) * call.tpot, tokens
        if not streamed:  # all of it is its first content: how much was wait and how much pace is not seen
            self._tell_first(call, now)
            ttft, generation, events = total, 0.0, 1
        network = min(ttft, 2000 * self._half_rtt[i][call.d])
        self.record.end_at[i] = now
        measurement = LatencyMeasurement(network, 0.0, ttft, generation, total, tokens)
        self._tell(i, Ended(call.number, measurement, events), now)
        instance.lengths.saw(NAME, 0, int(self._tokens_in[i]), tokens, None)

    def _on_break(self, call: Call, now: float) -> None:
        """The stream is cut."""
        if call.state != DEAD:
            call.state = DEAD
            self._release(call.d, now)
            self._tell(call.request, Failed(call.number, ConnectionLost("cut")), now)

    def _on_failed(self, what: tuple[Call, AttemptError], now: float) -> None:
        call, error = what
        if call.state == DEAD:
            return
        call.state = DEAD
        if isinstance(error, RateLimited):
            self.record.met_429[call.request] = 1
        self._tell(call.request, Failed(call.number, error), now)

    # ------------------------------------------------------------------ sharing
    def _begin_sharing(self) -> None:
        """Flushes, merges and pulls begin at moments of chance, the same for all policies."""
        rng, scenario = np.random.default_rng([self.world.seed, 31]), self.world.scenario
        for k in range(len(self.instances)):
            self._at(float(rng.uniform(0, scenario.flush_s)), self._on_flush, k)
            self._at(float(rng.uniform(0, scenario.pull_s)), self._on_pull, k)
            if scenario.instance_life_s:
                self._at(float(rng.uniform(0, scenario.instance_life_s)), self._on_replace, k)
        self._at(float(rng.uniform(0, scenario.merge_s)), self._on_merge, None)

    def _again(self, period: float, handle: Callable[..., None], what: object, now: float) -> None:
        if now < self._t[-1]:
            self._at(now + period * self._luck.uniform(1 - SHARING_JITTER, 1 + SHARING_JITTER), handle, what)

    def _on_flush(self, k: int, now: float) -> None:
        self.store.flush(self.instances[k], now)
        self._again(self.world.scenario.flush_s, self._on_flush, k, now)

    def _on_merge(self, _: None, now: float) -> None:
        self.store.merge(now)
        self._again(self.world.scenario.merge_s, self._on_merge, None, now)

    def _on_pull(self, k: int, now: float) -> None:
        self.store.pull(self.instances[k], now)
        self._again(self.world.scenario.pull_s, self._on_pull, k, now)

    def _on_replace(self, k: int, now: float) -> None:
        """An instance goes, after a last flush, and a fresh one takes its place and pulls."""
        self.store.flush(self.instances[k], now)
        self.instances[k] = self._instance(k, int(now))
        self.store.pull(self.instances[k], now)
        self._again(self.world.scenario.instance_life_s, self._on_replace, k, now)

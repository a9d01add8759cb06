"""One router instance without sockets: a model that answers at once, so that what is left is the router's own time."""

from __future__ import annotations

from random import Random
from time import perf_counter
from uuid import uuid4

from routing.engine.clock import Clock
from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.errors import RouterError
from routing.fleet import Deployment, Fleet
from routing.latency.tracker import LatencyTracker
from routing.outcome import Signals
from routing.policy.view import View
from routing.ports import Answer, Piece, Store, Way
from routing.request import Ask, ChatRequest, Conversation, Demand, Hints


class Canned:
    """An answer of two pieces."""

    dialect = "openai"

    def __init__(self) -> None:
        self.signals = Signals()
        self._pieces = [Piece(b"x", 1), Piece(b"y", 1, finish="stop", last=True)]

    async def read(self) -> Piece | None:
        """The next piece."""
        return self._pieces.pop(0) if self._pieces else None

    def abort(self, error: RouterError) -> None:
        """Nothing is open."""

    async def close(self) -> None:
        """Nothing is open."""


class Instant:
    """A provider that answers at once."""

    async def open(self, deployment: Deployment, request: ChatRequest, way: Way) -> Answer:
        """An answer."""
        return Canned()

    async def warm(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing is open."""


class Instance:
    """A router and its part in sharing."""

    def __init__(self, fleet: Fleet, store: Store, clock: Clock | None = None) -> None:
        tracker, provider = LatencyTracker(fleet), Instant()
        providers = [provider] * len(fleet.deployments)
        view = View.of(fleet, tracker)
        self.router = LatencyRouter(tracker, view=view, providers=providers, clock=clock, rng=Random(1))
        self.sync = Sync(self.router, store)

    async def ask(self, user: str) -> float:
        """One request; returns the seconds it took."""
        began = perf_counter()
        exchange = self.router.exchange(_request(user), self.router.clock.now())
        try:
            await exchange.start()
            while await exchange.read() is not None:
                pass
        finally:
            await exchange.close()
            self.router.learn(exchange)
        return perf_counter() - began


def _request(user: str) -> ChatRequest:
    return ChatRequest(
        id=uuid4().hex,
        dialect="openai",
        body={},
        ask=Ask(Demand(), tokens_in=500, hedge=False),
        hints=Hints(),
        conversation=lambda: Conversation("", (("user", "x"),)),
        stream=True,
        user_key=user,
    )

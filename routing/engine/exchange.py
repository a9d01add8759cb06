"""One request's exchange with the models: carries out what its plan decides, and hands the answer on.

Everything that happens is an event for the plan, at once and in order; everything the plan asks for is done at once.
There is no queue between the two, and after the commit no task between the provider's socket and the caller.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from random import Random

from routing.engine.call import Call
from routing.engine.clock import Clock
from routing.errors import (
    OUR_FAULT,
    AdapterFault,
    AttemptError,
    AttemptTimedOut,
    CallerLeft,
    ProtocolError,
    RouterError,
)
from routing.fleet import Deployment, Model
from routing.outcome import LatencyMeasurement, Outcome, Usage
from routing.plan import (
    FEWEST_EVENTS,
    PACE_EVENTS,
    Cancel,
    ClientGone,
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
from routing.policy.view import View
from routing.ports import Piece, Provider
from routing.request import ChatRequest, LatencyPriority

IDLE_GAPS, LEAST_IDLE_S = 80.0, 15.0  # a stream is dead after so many of its usual gaps in silence, not within 15 s
EXTRA_EVENTS = 64  # answers may have this many content events more than the model's longest have tokens
LOG = logging.getLogger("routing.exchange")


class Exchange:
    """One request, from its first attempt to its last token. `close` must be called, once or more, however it ends."""

    def __init__(
        self,
        request: ChatRequest,
        view: View,
        policy: Policy,
        providers: Sequence[Provider | None],
        clock: Clock,
        rng: Random,
        received_at: float,
    ) -> None:
        self.request, self.view, self.received_at = request, view, received_at
        self.plan = Plan(request.ask, view, policy, rng, received_at)
        self.usage: Usage | None = None
        self.first_at = self.last_at = 0.0
        self.events = 0
        self._most_events = 0
        self.error: RouterError | None = None
        self._providers, self._clock = providers, clock
        self._loop = asyncio.get_running_loop()
        self._calls: list[Call] = []
        self._call: Call | None = None
        self._committed: asyncio.Future[None] = self._loop.create_future()
        self._wake: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._reading_since = math.inf
        self._reasoned = False  # whether its reasoning came as a part of the stream
        self._closed = False

    # ------------------------------------------------------------------ before the commit
    async def start(self) -> None:
        """Returns at the commit: the first content of some deployment is there. Raises RouterError instead."""
        self._post(Start())
        await self._committed

    @property
    def deployment(self) -> Deployment:
        """The deployment that answers. Only after the commit."""
        assert self._call is not None
        return self._call.deployment

    @property
    def model(self) -> Model:
        """Its model."""
        return self.view.fleet.model_of(self.deployment)

    @property
    def dialect(self) -> str:
        """The dialect of its answer."""
        assert self._call is not None
        assert self._call.answer is not None
        return self._call.answer.dialect

    # ------------------------------------------------------------------ after the commit
    async def read(self) -> Piece | None:
        """The next piece of the committed answer, None at its proper end. Raises RouterError for a broken one."""
        call = self._call
        assert call is not None
        piece: Piece | None
        if call.first is not None:
            piece, call.first = call.first, None
        else:
            assert call.answer is not None
            self._reading_since = self._loop.time()
            try:
                piece = await call.answer.read()
            except AttemptError as error:
                self._post(Failed(call.number, error))
                raise self.error or error from error
            finally:
                self._reading_since = math.inf
        if piece is None:
            self._post(Ended(call.number, self.measurement(), self.events, self.usage is not None))
        else:
            self._count(piece, call)
        return piece

    def measurement(self) -> LatencyMeasurement:
        """What the committed attempt's answer took. Its queue is the provider's where a header tells it."""
        call = self._call
        assert call is not None
        assert call.answer is not None
        ttft = 1000 * (self.first_at - call.sent_at)
        generation = 1000 * (self.last_at - self.first_at) if self.request.stream else 0.0  # not seen in a whole answer
        network = min(ttft, 1000 * self.view.tracker.net_s[self.plan.attempts[call.number].deployment])
        processing = call.answer.signals.processing_ms
        queue = 0.0 if processing is None else max(0.0, ttft - network - processing)
        tokens = self.answer_tokens
        if tokens is None:
            tokens = round(self.events * self.view.tracker.tokens_per_event[self.plan.attempts[call.number].deployment])
        return LatencyMeasurement(network, queue, ttft, generation, ttft + generation, tokens, processing is None)

    @property
    def answer_tokens(self) -> int | None:
        """Tokens that came from the first content on, as the provider counted them: what was thought in silence before
        is part of the wait. None where it counted none."""
        if self.usage is None:
            return None
        silent = 0 if self._reasoned else self.usage.reasoning_tokens
        return max(self.usage.completion_tokens - silent, 0)

    def _count(self, piece: Piece, call: Call) -> None:
        if piece.usage is not None:
            self.usage = piece.usage
        if not piece.content:
            return
        self._reasoned = self._reasoned or piece.reasoning
        before, self.events = self.events, self.events + piece.content
        self.last_at = self._clock.now()
        if before < PACE_EVENTS <= self.events and self.last_at > self.first_at:
            self._post(Progress(call.number, (self.last_at - self.first_at) / (self.events - 1)))
        if self.events > self._most_events:
            error = ProtocolError("the answer is longer than the model's longest")
            self._post(Failed(call.number, error))
            raise error

    def _cut(self, call: Call) -> None:
        """A stream that is cut before its PACE_EVENTS-th event has shown how slow it is, too.

        While we wait for the provider, the time that has passed is a lower bound, even with hardly an event.
        """
        if not self.request.stream or not 0 < self.events < PACE_EVENTS:
            return
        now, waiting = self._clock.now(), self._reading_since < math.inf
        shown = (self.last_at - self.first_at) / (self.events - 1) if self.events >= FEWEST_EVENTS else 0.0
        least = (now - self.first_at) / max(self.events, FEWEST_EVENTS) if waiting else 0.0
        d, tracker = self.plan.attempts[call.number].deployment, self.view.tracker
        slower = least > tracker.beliefs[d].pace * tracker.tokens_per_event[d]
        if shown or slower:
            self._post(Progress(call.number, max(shown, least)))

    # ------------------------------------------------------------------ endings
    def client_gone(self) -> None:
        """The caller has left: stop everything at once."""
        self._post(ClientGone())
        self._give_up(CallerLeft("the caller has left"))

    async def close(self) -> None:
        """Stop what still runs and give connections back. Every lease is closed after it."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._wake, self._idle):
            if timer is not None:
                timer.cancel()
        self._post(ClientGone())  # asks for nothing where the plan is over
        if self._committed.done() and not self._committed.cancelled():
            self._committed.exception()
        for call in self._calls:
            if call is not self._call:
                call.cancel()
            await call.close()

    def outcome(self, status: int) -> Outcome:
        """The record of this request, once it is over."""
        attempts, call = self.plan.records(), self._call
        outcome = Outcome(
            request_id=self.request.id,
            caller=self.request.caller,
            status=status,
            reason=self.plan.reason or None,
            slo=self.slo(),
            error=self.error.code if self.error else None,
            usage=self.usage,
            total_ms=1000 * (self._clock.now() - self.received_at),
            attempts=attempts,
        )
        if call is not None:
            outcome.deployment, outcome.model = call.deployment.id, call.deployment.model
            if self.error is None:
                outcome.measurement = self.measurement()
        return outcome

    def slo(self) -> str:
        """Whether the caller's target was met; for a whole answer known only at its end."""
        ask, attempts = self.request.ask, self.plan.attempts
        if ask.target_s is None or not attempts:
            return "none"
        if ask.priority is LatencyPriority.STREAMING and self.first_at:
            return "met" if self.first_at - self.received_at <= ask.target_s else "missed"
        if self.plan.over and self.error is None and self.last_at:
            return "met" if self._met(ask.target_s) else "missed"
        if ask.priority is not LatencyPriority.THROUGHPUT and self._clock.now() - self.received_at > ask.target_s:
            return "missed"
        return "predicted_met" if attempts[0].score.probability >= ask.percentile / 100 else "predicted_miss"

    def _met(self, target_s: float) -> bool:
        """Whether an answer that has come to its end kept what was asked: a rate is held against its own tokens."""
        rate = self.request.hints.min_tokens_per_second
        if rate is None or self.request.ask.priority is not LatencyPriority.THROUGHPUT:
            return self.last_at - self.received_at <= target_s
        measured = self.measurement()
        took_ms = measured.generation_ms or measured.total_ms  # of an answer that came whole the parts are not seen
        return 1000 * measured.tokens_generated >= rate * took_ms

    # ------------------------------------------------------------------ the plan's hands
    def _post(self, event: Event) -> None:
        try:
            self._do(event)
        except Exception:  # a fault of ours: nobody awaits what a timer or a task calls, and the caller must not wait
            LOG.exception("request %s", self.request.id)
            self._give_up(RouterError(OUR_FAULT))

    def _do(self, event: Event) -> None:
        for action in self.plan.on(event, self._clock.now()):
            match action:
                case Open(number, d):
                    self._open(number, d)
                case Cancel(number):
                    self._calls[number].cancel()
                case Commit(number):
                    self._commit(self._calls[number])
                case WakeAt(at):
                    self._wake_at(at)
                case GiveUp(error):
                    self._give_up(error)

    def _open(self, number: int, d: int) -> None:
        provider = self._providers[d]
        assert provider is not None, "a deployment without an endpoint is no candidate"
        call = Call(number, self.view.fleet.deployments[d], self._clock.now())
        self._calls.append(call)
        way = self.plan.attempts[number].way
        call.start(provider, self.request, way, self._clock.now, self._content_or_failure)

    def _content_or_failure(self, call: Call, failure: BaseException | None) -> None:
        if failure is None:
            self._post(self._first_content(call))
            return
        if not isinstance(failure, AttemptError):
            LOG.error("request %s on %s", self.request.id, call.deployment.id, exc_info=failure)
            failure = AdapterFault(OUR_FAULT)
        call.abort(failure)
        self._post(Failed(call.number, failure))

    def _first_content(self, call: Call) -> FirstContent:
        assert call.answer is not None
        signals = call.answer.signals
        network = None if signals.connect_ms is None else signals.connect_ms / 1000
        if signals.processing_ms is not None:
            network = call.headers_at - call.sent_at - signals.processing_ms / 1000
        return FirstContent(call.number, network, signals.utilisation)

    def _commit(self, call: Call) -> None:
        self._call = call
        self.first_at = self.last_at = self._clock.now()
        self._most_events = self.request.ask.answers * self.model.max_output_tokens + EXTRA_EVENTS
        d = self.plan.attempts[call.number].deployment
        gap = self.view.tracker.beliefs[d].pace
        self._idle_s = min(self.model.idle_timeout_s, max(LEAST_IDLE_S, IDLE_GAPS * gap))
        self._idle = self._loop.call_later(self._idle_s, self._watch_idle)
        if not self._committed.done():
            self._committed.set_result(None)

    def _watch_idle(self) -> None:
        """Looks once per idle limit, not once per event, whether the stream has fallen silent."""
        waited = self._loop.time() - self._reading_since
        if waited >= self._idle_s:
            assert self._call is not None
            self._call.abort(AttemptTimedOut("the stream fell silent"))
            return
        self._idle = self._loop.call_later(self._idle_s - max(0.0, waited), self._watch_idle)

    def _wake_at(self, at: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at < math.inf and not self._closed:
            self._wake = self._loop.call_later(max(0.0, at - self._clock.now()), self._tick)

    def _tick(self) -> None:
        """After a stall of the loop its timers run before its sockets are read: what has arrived must not be late."""
        self._wake = None
        self._loop.call_soon(self._post, Tick())

    def _give_up(self, error: RouterError) -> None:
        self.error = self.error or error
        if not self._committed.done():
            self._committed.set_exception(error)
        elif self._call is not None:
            self._cut(self._call)
            self._call.abort(error)

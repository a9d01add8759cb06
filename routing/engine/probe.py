"""Probes: tiny requests to deployments that traffic has not measured, over the same path as any other request."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any
from uuid import uuid4

from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.errors import AttemptTimedOut, RouterError, StoreUnavailable
from routing.plan import Failed
from routing.request import Ask, ChatRequest, Conversation, Demand, Hints, LatencyPriority

UNMEASURED_S = 300.0  # a deployment whose newest sample is older is probed
FIRING_S = 60.0  # between two firings of the timer
SPREAD_S = 5.0  # longest wait before each probe: regions that start together must not meet at a deployment
# A probe is small: of the models we know the slowest begin within 14 s nine times of ten, even with prompts that are
# not, and it takes three failures in a row to take a deployment out
SILENT_S = 20.0  # without content, a deployment has failed
LONGEST_S = 30.0  # a whole probe: it has ended before the next firing
TOKENS = 64  # enough for a reasoning model to say something
PROMPT = "Answer with the one word: ready"
LOG = logging.getLogger("routing.probe")


async def probe(sync: Sync) -> list[str]:
    """Measure the deployments that have gone unmeasured longest, side by side; returns their ids.

    The timer may run on an instance of its own, which sees no traffic, and on two at once: what others know is taken
    first, a lease keeps a deployment from being probed twice in a window, and what was seen is flushed at once.
    """
    await sync.catch_up()
    router = sync.router
    granted = await _granted(sync)
    probes = [_measure(router, d, router.rng.uniform(0, SPREAD_S)) for d in granted]
    ended = await asyncio.gather(*probes, return_exceptions=True)  # a fault in one of them must not stop the others
    await sync.flushing.beat()
    for fault in ended:
        if fault is not None:
            raise fault
    return [router.fleet.deployments[d].id for d in granted]


def most(endpoints: int) -> int:
    """Probes of one firing: so many that each of the deployments may have one in every UNMEASURED_S."""
    return math.ceil(endpoints * FIRING_S / UNMEASURED_S)


async def _granted(sync: Sync) -> list[int]:
    """The deployments to probe in this firing. Without the store there are no more: who should learn of them?"""
    granted: list[int] = []
    enough = most(sum(provider is not None for provider in sync.router.providers))
    try:
        for d in _due(sync):
            if len(granted) < enough and await _leased(sync, d):
                granted.append(d)
    except StoreUnavailable as error:
        LOG.warning("no probes: %s", error.message)
    return granted


async def _leased(sync: Sync, d: int) -> bool:
    """Whether nobody else of this region probes it in this window. Either way it is not asked for again within it."""
    now = sync.router.clock.now()
    name = f"probe|{sync.origin}|{sync.router.fleet.deployments[d].id}"
    granted = await sync.store.lease(name, uuid4().hex, now, UNMEASURED_S + SPREAD_S)
    sync.probed_at[d] = now
    return granted


def _due(sync: Sync) -> list[int]:
    """Deployments with an endpoint that are unmeasured and not closed, by health or an operator's order.

    Those that were tried longest ago come first: what always fails is never measured, and must not keep others from
    their turn. Of them, those never measured, then those measured longest ago; equals in random order.
    """
    router, tried = sync.router, sync.probed_at
    now, known, view = router.clock.now(), router.tracker.known, router.view
    unmeasured = [
        (tried.get(d, 0.0), known[d].newest_at or 0.0, router.rng.random(), d)
        for d, provider in enumerate(router.providers)
        if provider is not None
        and now - max(known[d].newest_at or 0.0, tried.get(d, 0.0)) > UNMEASURED_S
        and view.health.closed_until[d] <= now
        and not (d in view.orders and view.orders[d].state)
    ]
    return [d for *_, d in sorted(unmeasured)]


async def _measure(router: LatencyRouter, d: int, wait_s: float) -> None:
    await asyncio.sleep(wait_s)
    await _ask(router, router.fleet.deployments[d].id)


async def _ask(router: LatencyRouter, deployment: str) -> None:
    """One request. What hangs has failed, as it would have for a caller who waits longer than we do."""
    exchange = router.exchange(_request(deployment), router.clock.now())
    try:
        async with asyncio.timeout(SILENT_S):
            await exchange.start()
        while await exchange.read() is not None:
            pass
    except TimeoutError:
        silent = AttemptTimedOut("a probe of it was silent for too long")
        exchange.plan.on(Failed(0, silent), router.clock.now())
        LOG.warning("probe of %s: %s", deployment, silent.code)
    except RouterError as error:
        LOG.warning("probe of %s: %s", deployment, error.code)
    finally:
        await exchange.close()


def _request(deployment: str) -> ChatRequest:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "stream": True,
    }
    ask = Ask(
        demand=Demand(pinned=deployment),
        priority=LatencyPriority.STREAMING,
        deadline_s=LONGEST_S,
        tokens_in=0,  # the few that it has would soon be the mean prompt of a quiet night
        expected_tokens=float(TOKENS),
        reserved_tokens=TOKENS,
        hedge=False,
    )
    return ChatRequest(
        id=f"probe-{uuid4().hex}",
        dialect="openai",
        body=body,
        ask=ask,
        hints=Hints(),
        conversation=lambda: Conversation("", (("user", PROMPT),), max_tokens=TOKENS),
        stream=True,
        caller="probe",
    )

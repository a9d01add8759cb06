"""Probes: tiny requests to deployments that traffic has not measured, over the same path as any other request."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import uuid4

from routing.engine.router import LatencyRouter
from routing.engine.sync import Sync
from routing.errors import RouterError, StoreUnavailable
from routing.request import Ask, ChatRequest, Conversation, Demand, Hints, LatencyPriority

UNMEASURED_S = 300.0  # a deployment whose newest sample is older is probed
MOST = 3  # probes of one firing: they cost money and quota
SPREAD_S = 5.0  # longest wait before each probe: regions that start together must not meet at a deployment
TOKENS = 64  # enough for a reasoning model to say something
PROMPT = "Answer with the one word: ready"
LOG = logging.getLogger("routing.probe")


async def probe(sync: Sync) -> list[str]:
    """Measure the deployments that have gone unmeasured longest; returns their ids.

    The timer may run on an instance of its own, which sees no traffic, and on two at once: what others know is taken
    first, a lease keeps a deployment from being probed twice in a window, and what was seen is flushed at once.
    """
    await sync.pulling.beat()
    router = sync.router
    probed: list[str] = []
    try:
        for d in _due(sync):
            if len(probed) < MOST and await _granted(sync, d):
                await asyncio.sleep(router.rng.uniform(0, SPREAD_S))
                await _ask(router, router.fleet.deployments[d].id)
                probed.append(router.fleet.deployments[d].id)
    except StoreUnavailable as error:  # without the store: who should learn of it?
        LOG.warning("no probes: %s", error.message)
    await sync.flushing.beat()
    return probed


async def _granted(sync: Sync, d: int) -> bool:
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


async def _ask(router: LatencyRouter, deployment: str) -> None:
    exchange = router.exchange(_request(deployment), router.clock.now())
    try:
        await exchange.start()
        while await exchange.read() is not None:
            pass
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

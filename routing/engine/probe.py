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
    router, probed = sync.router, []
    for d in _due(router):
        deployment = router.fleet.deployments[d].id
        await asyncio.sleep(router.rng.uniform(0, SPREAD_S))
        if await _granted(sync, deployment):
            await _ask(router, deployment)
            probed.append(deployment)
    await sync.flushing.beat()
    return probed


async def _granted(sync: Sync, deployment: str) -> bool:
    """Whether nobody else of this region probes it in this window. Not while the store is away: who should learn it?"""
    now = sync.router.clock.now()
    name = f"probe|{sync.origin}|{deployment}"
    try:
        return await sync.store.lease(name, uuid4().hex, now, UNMEASURED_S)
    except StoreUnavailable:
        return False


def _due(router: LatencyRouter) -> list[int]:
    """Deployments with an endpoint, never measured first, then the longest ago; equals in random order."""
    now, known = router.clock.now(), router.tracker.known
    unmeasured = [
        (known[d].newest_at or 0.0, router.rng.random(), d)
        for d, provider in enumerate(router.providers)
        if provider is not None
        and now - (known[d].newest_at or 0.0) > UNMEASURED_S
        and router.view.health.closed_until[d] <= now
    ]
    return [d for _, _, d in sorted(unmeasured)[:MOST]]


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
        tokens_in=len(PROMPT) // 4,
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

"""From a parsed body and the caller's hints to the request that the router works on."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from routing.dialects.parsed import Parsed
from routing.errors import RequestError
from routing.fleet import ANY_MODEL, Fleet
from routing.load.lengths import LONG_ANSWER_TOKENS, Lengths
from routing.request import Ask, ChatRequest, Demand, Hints, LatencyPriority
from routing.web import hints as hinted
from routing.web.places import geography

TRAVELS_ON = ("traceparent", "tracestate", "x-ms-client-request-id")  # to the provider
LONGEST_HEADER = 512  # characters: `tracestate` may have as many (W3C Trace Context, 3.3.1.1)
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request(
    parsed: Parsed,
    headers: Mapping[str, str],
    fleet: Fleet,
    lengths: Lengths,
    caller: str,
    dialect: str,
    country: str | None = None,
) -> ChatRequest:
    """The request to route. `country` is the user's as Front Door knows it.

    Raises UnknownModel, and RequestError that names the field.
    """
    name, suffix = hinted.split(parsed.model or "")
    if not name and not parsed.models:
        raise RequestError("`model` is missing; `auto` takes any", "model")
    hints = hinted.hints(parsed.routing, headers, fleet)
    names = ([name] if name else []) + [hinted.split(model)[0] for model in parsed.models]
    ask = _ask(parsed, hints, suffix, _demand(parsed, hints, names, fleet), names[0], lengths)
    user = hints.user_id or parsed.user or hints.session_id
    if "x-stainless-retry-count" in headers and headers["x-stainless-retry-count"] != "0":
        ask = replace(ask, client_retry=True)
    return ChatRequest(
        id=request_id(headers),
        dialect=dialect,
        body=parsed.body,
        ask=_near_home(ask, hints, fleet, country),
        hints=hints,
        conversation=parsed.conversation,
        stream=parsed.stream,
        include_usage=parsed.include_usage,
        model=names[0],
        text_bytes=parsed.text_bytes,
        caller=caller,
        user_key=user_key(caller, user),
        headers={name: headers[name] for name in TRAVELS_ON if _travels(headers.get(name, ""))},
    )


def _demand(parsed: Parsed, hints: Hints, names: list[str], fleet: Fleet) -> Demand:
    models: list[str] = []
    fallbacks: list[str] = []
    for name in names:
        first, standby = fleet.resolve(name)
        models += first
        fallbacks += standby
    return Demand(
        models=() if ANY_MODEL in names else tuple(dict.fromkeys(models)),
        fallbacks=tuple(dict.fromkeys(fallbacks)),
        min_quality_tier=hints.min_quality_tier,
        allowed_regions=hints.allowed_regions,
        dialect="openai" if parsed.untranslatable else None,
        untranslatable=parsed.untranslatable,
        needs=parsed.needs,
        parameters=parsed.parameters,
    )


def _ask(parsed: Parsed, hints: Hints, suffix: str, demand: Demand, name: str, lengths: Lengths) -> Ask:
    tokens_in = lengths.prompt(name, parsed.text_bytes, parsed.images)
    priority = _priority(hints, suffix, parsed.stream)
    expected = float(hints.expected_tokens or lengths.answer(name, parsed.max_tokens))
    if priority is LatencyPriority.THROUGHPUT and not hints.expected_tokens:
        expected = max(expected, min(LONG_ANSWER_TOKENS, float(parsed.max_tokens or LONG_ANSWER_TOKENS)))
    return Ask(
        demand=demand,
        priority=priority,
        streamed=parsed.stream,
        target_s=_target(hints, priority, expected),
        deadline_s=None if hints.max_total_ms is None else hints.max_total_ms / 1000,
        percentile=hints.percentile,
        require=hints.require,
        tokens_in=tokens_in,
        expected_tokens=expected,
        length_spread=lengths.spread(name, hinted=bool(hints.expected_tokens)),
        most_tokens=float(parsed.max_tokens or math.inf),
        reserved_tokens=tokens_in + parsed.answers * (parsed.max_tokens or int(expected)),
        max_cost_usd=hints.max_cost_usd,
        cheapest=suffix == "price",
        hedge=hints.hedge == "auto",
        one_try=parsed.one_try,
    )


def _priority(hints: Hints, suffix: str, stream: bool) -> LatencyPriority:
    """What the caller said, else what the limits that were given are about, else what a stream is for."""
    if hints.priority is not None:
        return hints.priority
    if suffix in ("streaming", "throughput"):
        return LatencyPriority(suffix)
    if hints.max_ttft_ms is not None:
        return LatencyPriority.STREAMING
    if hints.min_tokens_per_second is not None:
        return LatencyPriority.THROUGHPUT
    if hints.max_total_ms is not None:
        return LatencyPriority.TOTAL
    return LatencyPriority.STREAMING if stream else LatencyPriority.TOTAL


def _target(hints: Hints, priority: LatencyPriority, expected: float) -> float | None:
    """Seconds to the goal of `priority`; where its own limit is missing, the limit on the whole answer counts."""
    total = None if hints.max_total_ms is None else hints.max_total_ms / 1000
    if priority is LatencyPriority.STREAMING:
        return total if hints.max_ttft_ms is None else hints.max_ttft_ms / 1000
    if priority is LatencyPriority.THROUGHPUT and hints.min_tokens_per_second is not None:
        paced = expected / hints.min_tokens_per_second
        return paced if total is None else min(paced, total)
    return total


def _near_home(ask: Ask, hints: Hints, fleet: Fleet, country: str | None) -> Ask:
    """A user who is not known yet is taken to be at home where the caller says, else where Front Door saw them."""
    if hints.user_region is not None:
        return replace(ask, home=hints.user_region)
    location = hints.user_location or country
    place = geography(location) if location else None
    region = next((r.id for r in fleet.regions if r.geography == place), None)
    return ask if region is None else replace(ask, home=region)


def user_key(caller: str, user: str | None) -> str | None:
    """A hash of caller and user: one caller's names mean nothing to another, and no name is kept."""
    return hashlib.sha256(f"{caller}\0{user}".encode()).hexdigest() if user else None


def _travels(value: str) -> bool:
    """Whether a header of the caller's may go on to a provider: what is no plain text would break the request."""
    return 0 < len(value) <= LONGEST_HEADER and value.isascii() and value.isprintable()


def request_id(headers: Mapping[str, str]) -> str:
    """The caller's `x-request-id` where it is plain, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _PLAIN_ID.fullmatch(given) else uuid4().hex

"""From a parsed body and the caller's hints to the request that the router works on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from uuid import uuid4

from routing.dialects.parsed import Parsed
from routing.errors import RequestError
from routing.fleet import ANY_MODEL, Fleet
from routing.load.lengths import LONG_ANSWER_TOKENS, Lengths
from routing.request import Ask, ChatRequest, Demand, Hints, LatencyPriority
from routing.web import hints as hinted
from routing.web.places import geography, of_country

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
    origin: str,
    country: str | None = None,
) -> ChatRequest:
    """The request to route. `origin` is the region that this app runs in, `country` the user's as Front Door knows it.

    Raises UnknownModel, and RequestError that names the field.
    """
    names, suffix = _names(parsed)
    hints = hinted.hints(parsed.routing, headers, fleet, suffix)
    demand = _demand(parsed, hints, names, fleet)
    most = _most_tokens(parsed, demand, fleet)
    if hints.expected_tokens is not None:
        hints.expected_tokens = min(hints.expected_tokens, most)
    user = hints.user_id or parsed.user or hints.session_id
    ask = _ask(parsed, hints, demand, names[0], lengths, most)
    ask.cheapest = suffix == "price"
    ask.home = _home(hints, fleet, origin, country if user else None)
    if "x-stainless-retry-count" in headers and headers["x-stainless-retry-count"] != "0":
        ask.client_retry = True
    return ChatRequest(
        id=request_id(headers),
        dialect=dialect,
        body=parsed.body,
        ask=ask,
        hints=hints,
        conversation=parsed.conversation,
        stream=parsed.stream,
        include_usage=parsed.include_usage,
        model=names[0],
        text_bytes=parsed.text_bytes if parsed.plain else 0,
        caller=caller,
        user_key=user_key(caller, user),
        headers={name: headers[name] for name in TRAVELS_ON if _travels(headers.get(name, ""))},
    )


def _names(parsed: Parsed) -> tuple[list[str], str]:
    """(models that are named, what their suffix asks for). A request has one goal: two suffixes would be two.

    `auto` as `model` leaves it to the list `models`: most clients must send some `model`.
    """
    named = {"model": parsed.model} if parsed.model else {}
    named |= {f"models[{i}]": model for i, model in enumerate(parsed.models)}
    names, wanted = [], ""
    for place, model in named.items():
        name, suffix = hinted.split(model)
        if suffix and wanted and suffix != wanted:
            raise RequestError(f"`{place}` asks for another goal than the names before it: use one suffix", place)
        wanted = wanted or suffix
        if place != "model" or (name and not (name == ANY_MODEL and parsed.models)):
            names.append(name)
    if not names:
        raise RequestError("`model` is missing; `auto` takes any", "model")
    return names, wanted


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
        parameters=parsed.parameters & fleet.refused_parameters,  # no other makes a difference, and callers invent many
        output_tokens=fleet.output_step(parsed.max_tokens or 0),
    )


def _most_tokens(parsed: Parsed, demand: Demand, fleet: Fleet) -> int:
    """The longest answer: what the caller allows, else what the models write at most. Raises RequestError."""
    names = (*demand.models, *demand.fallbacks) if demand.models else fleet.model_by_id
    largest = max(fleet.model_by_id[name].max_output_tokens for name in names)
    asked, field = parsed.max_tokens, parsed.limit_field
    if asked is not None and asked > largest:
        raise RequestError(f"`{field}` is {asked}, and no model that may answer writes more than {largest}", field)
    return asked or largest


def _ask(parsed: Parsed, hints: Hints, demand: Demand, name: str, lengths: Lengths, most: int) -> Ask:
    tokens_in = lengths.prompt(name, parsed.text_bytes, parsed.images)
    priority = _priority(hints, parsed.stream)
    expected = float(hints.expected_tokens or lengths.answer(name, most))
    if priority is LatencyPriority.THROUGHPUT and not hints.expected_tokens:
        expected = max(expected, min(LONG_ANSWER_TOKENS, float(most)))
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
        most_tokens=float(most),
        answers=parsed.answers,
        reserved_tokens=tokens_in + parsed.answers * (parsed.max_tokens or int(expected)),
        max_cost_usd=hints.max_cost_usd,
        hedge=hints.hedge == "auto",
        one_try=parsed.one_try,
    )


def _priority(hints: Hints, stream: bool) -> LatencyPriority:
    """What the caller said, else what the limits that were given are about, else what a stream is for."""
    if hints.priority is not None:
        return hints.priority
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


def _home(hints: Hints, fleet: Fleet, origin: str, country: str | None) -> str | None:
    """Where a user who is not known yet is taken to be at home: where the caller says, else in their country.

    Of a geography's regions it is the nearest to this app, because Front Door has brought the user here. `country` is
    that of a user with a name: without one nobody comes back, and a home would only crowd one region.
    """
    place = hints.user_region
    if place is None and hints.user_location is not None:
        place = geography(hints.user_location)
    elif place is None and country is not None:
        place = of_country(country)
    return None if place is None else fleet.nearest(place, origin)


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

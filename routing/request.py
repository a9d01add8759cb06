"""What a caller asks for, free of any dialect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

PACE_SPREAD = 0.25  # how much the pace of single answers differs, in logs, which no caller can know


class LatencyPriority(Enum):
    """What the caller wants to be fast."""

    STREAMING = "streaming"  # time to first token
    TOTAL = "total"  # the whole answer
    THROUGHPUT = "throughput"  # tokens per second of a long answer


@dataclass(slots=True)
class Hints:
    """The caller's wishes, checked. Times in ms, money in US dollars; None = no wish."""

    priority: LatencyPriority | None = None
    max_ttft_ms: float | None = None
    max_total_ms: float | None = None
    min_tokens_per_second: float | None = None
    percentile: float = 95.0
    require: bool = False
    min_quality_tier: int = 1
    max_cost_usd: float | None = None
    allowed_regions: tuple[str, ...] = ()
    user_id: str | None = None
    user_region: str | None = None  # a region or a geography
    user_location: str | None = None
    session_id: str | None = None
    hedge: str = "auto"
    expected_tokens: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """What a deployment must be to serve a request at all: the part that does not change while it runs.

    Hashable, so that the answer is computed once per kind of request. Empty `models` means any.
    """

    models: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()  # used only where no deployment of `models` is left
    min_quality_tier: int = 1
    allowed_regions: tuple[str, ...] = ()
    dialect: str | None = None  # set where the request cannot be translated
    untranslatable: str = ""  # why not, for the explanation
    needs: frozenset[str] = frozenset()  # capabilities
    parameters: frozenset[str] = frozenset()  # of the request body: those that some model refuses
    output_tokens: int = 0  # a model must be able to write so many
    pinned: str | None = None  # the one deployment that may serve it


@dataclass(slots=True)
class Ask:
    """One request as the policy and the plan see it: numbers only. Times in seconds from its arrival."""

    demand: Demand
    priority: LatencyPriority = LatencyPriority.TOTAL
    streamed: bool = True  # False: the answer comes whole, so its first content is also its last
    target_s: float | None = None  # to the first token or to the end, as `priority` says
    deadline_s: float | None = None  # to the end; the request is given up there
    percentile: float = 95.0
    require: bool = False
    tokens_in: int = 0
    expected_tokens: float = 200.0
    length_spread: float = 0.38  # deviation of ln(answer's tokens / expected), and of its pace
    most_tokens: float = math.inf  # that the answer may have
    answers: int = 1  # asked for at once; `expected_tokens` and `most_tokens` are of one
    reserved_tokens: int = 0  # prompt and max_tokens: what the provider counts against quota
    max_cost_usd: float | None = None
    cheapest: bool = False  # the cheapest deployment that meets the target, instead of the likeliest
    hedge: bool = True
    client_retry: bool = False  # the caller's own second try: spread it, do not hedge it
    one_try: bool = False  # True: never sent twice once a provider has accepted it
    home: str | None = None  # the user's home region


@dataclass(slots=True)
class Conversation:
    """A chat in no dialect: what every provider can be asked. Text only."""

    system: str
    turns: tuple[tuple[str, str], ...]  # (`user` or `assistant`, text), strictly alternating from `user`
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class ChatRequest:
    """A parsed chat request: what goes to a provider, and what the router must know of it."""

    id: str
    dialect: str  # the caller's: `openai` or `anthropic`
    body: dict[str, Any]  # as sent, without the fields that are ours
    ask: Ask
    hints: Hints
    conversation: Callable[[], Conversation]  # the neutral form, made where a provider of another dialect needs it
    stream: bool = False
    include_usage: bool = False
    model: str = "auto"  # as the caller named it
    text_bytes: int = 0  # of a prompt that is text alone; 0 where its bytes do not tell how many tokens they are
    caller: str = ""
    user_key: str | None = None
    user_region: str | None = None  # where the user is, as far as the caller or Front Door tells
    headers: dict[str, str] = field(default_factory=dict)  # those that travel on to the provider

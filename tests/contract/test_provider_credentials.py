"""Credentials in time: a token is renewed in the background, and no request waits for it while the old one is good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from routing.errors import AttemptError, Misconfigured, RateLimited
from routing.providers import sdk
from routing.providers.sdk import FRESH_S, STALE_S
from tests.contract.endpoints import Endpoint, endpoint, whole
from tests.harness import anthropic_wire, openai_wire
from tests.harness.anthropic_wire import Message
from tests.harness.eventually import eventually
from tests.harness.incoming import Hit
from tests.harness.leaks import no_leaks
from tests.harness.openai_wire import Chat
from tests.harness.script import Script
from tests.harness.upstream import Upstream

kinds = pytest.mark.parametrize("kind", ["azure_openai", "claude_foundry"])


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Identity:
    """Yields token-1, token-2 …; `fault` is raised, or returned, instead; while `gate` is shut, it waits."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Any = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if isinstance(self.fault, Exception):
            raise self.fault
        return f"token-{number}" if self.fault is None else self.fault[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sdk, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.fixture
def identity() -> Identity:
    return Identity()


def answer(hit: Hit) -> Script:
    return Message().stream(1) if hit.path.endswith("/messages") else Chat().stream(1)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(answer) as served:
        yield served


async def renewed(asked: Endpoint) -> None:
    """Returns once the renewal in the background is over."""
    renewal: asyncio.Task[Any] = asked.provider._sdk._refreshing  # type: ignore[attr-defined]
    await asyncio.wait([renewal])


async def used(asked: Endpoint, upstream: Upstream) -> str | None:
    """The token that one request is sent with."""
    await whole(await asked.open())
    return (upstream.hits[-1].header("authorization") or "").removeprefix("Bearer ")


@kinds
async def test_a_token_serves_all_requests_while_it_is_fresh(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with endpoint(kind, upstream.url, identity) as asked:
        await asked.provider.warm()
        for _ in range(3):
            clock.now += (FRESH_S - 1) / 3
            assert await used(asked, upstream) == "token-1"
    assert identity.asked == 1


@kinds
async def test_requests_that_come_together_ask_for_one_token(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        await asyncio.gather(*(used(asked, upstream) for _ in range(5)))
    assert identity.asked == 1


@kinds
async def test_a_token_is_renewed_in_the_background_and_the_old_one_used_meanwhile(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        assert await used(asked, upstream) == "token-1"
        identity.gate.clear()
        clock.now += FRESH_S
        assert await used(asked, upstream) == "token-1"
        assert await used(asked, upstream) == "token-1"
        assert identity.asked == 2, "one renewal at a time"
        identity.gate.set()
        await renewed(asked)
        assert await used(asked, upstream) == "token-2"
    assert identity.asked == 2


@kinds
async def test_a_token_too_old_to_be_trusted_is_waited_for(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        assert await used(asked, upstream) == "token-1"
        clock.now += STALE_S
        assert await used(asked, upstream) == "token-2"


@kinds
async def test_a_renewal_that_fails_is_tried_again_by_the_next_request_while_the_old_token_serves(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        assert await used(asked, upstream) == "token-1"
        identity.fault = ClientAuthenticationError("the identity is gone")
        clock.now += FRESH_S
        for tries in (2, 3):
            assert await used(asked, upstream) == "token-1"
            await renewed(asked)
            assert identity.asked == tries
        clock.now += STALE_S
        with pytest.raises(Misconfigured):
            await asked.open()
        identity.fault = None
        assert await used(asked, upstream) == "token-5"


FAULTS = [
    ClientAuthenticationError("no identity here: secret-tenant"),
    ServiceRequestError("the identity's endpoint is away"),
    OSError("no route"),
    TimeoutError(),
    [""],
    [None],
    ["two\nlines"],
    ["naïve"],
]


@kinds
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_credential_that_cannot_be_had_is_our_own_misconfiguration(
    kind: str, upstream: Upstream, identity: Identity, fault: Any
) -> None:
    identity.fault = fault
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        for _ in range(2):
            with pytest.raises(Misconfigured) as failure:
                await asked.open()
            assert "secret" not in failure.value.message
        with pytest.raises(Misconfigured):
            await asked.provider.warm()
        assert not upstream.hits
        identity.fault = None
        assert (await used(asked, upstream) or "").startswith("token-")


async def test_a_key_that_no_header_can_carry_is_our_own_misconfiguration(upstream: Upstream) -> None:
    """A line end at the end of a pasted key would else be a fault within every request."""
    async with no_leaks(), endpoint("openai", upstream.url, "sk-pasted\n") as asked:
        with pytest.raises(Misconfigured, match="line end"):
            await asked.open()
    assert not upstream.hits


@kinds
async def test_a_waiting_request_that_is_cancelled_does_not_take_the_token_from_the_others(
    kind: str, upstream: Upstream, identity: Identity
) -> None:
    async with no_leaks(), endpoint(kind, upstream.url, identity) as asked:
        identity.gate.clear()
        first, second = (asyncio.create_task(used(asked, upstream)) for _ in range(2))
        await eventually(lambda: identity.asked)
        first.cancel()
        identity.gate.set()
        assert await second == "token-1"
        assert identity.asked == 1


@kinds
async def test_a_renewal_under_way_ends_with_the_provider(
    kind: str, upstream: Upstream, identity: Identity, clock: Clock
) -> None:
    async with no_leaks():
        async with endpoint(kind, upstream.url, identity) as asked:
            await used(asked, upstream)
            identity.gate.clear()
            clock.now += FRESH_S
            await used(asked, upstream)
        await asyncio.sleep(0)
    assert identity.asked == 2


@pytest.mark.parametrize(
    ("kind", "script"),
    [("azure_openai", openai_wire.error(429)), ("claude_foundry", anthropic_wire.error(429, "rate_limit_error"))],
)
async def test_an_error_is_told_without_asking_for_a_token(kind: str, script: Script, identity: Identity) -> None:
    """Else an identity service that is away would hide every other error, and delay it."""
    async with Upstream(script) as upstream, endpoint(kind, upstream.url, identity) as asked:
        await asked.provider.warm()
        identity.fault = ClientAuthenticationError("gone since")
        with pytest.raises(AttemptError) as failure:
            await asked.open()
    assert isinstance(failure.value, RateLimited)
    assert identity.asked == 1


@pytest.mark.parametrize("kind", ["azure_openai", "claude_foundry"])
async def test_errors_of_requests_at_the_same_time_are_not_mixed_up(kind: str, identity: Identity) -> None:
    statuses = [400, 401, 429, 500] * 5
    error = openai_wire.error if kind == "azure_openai" else anthropic_wire.error
    names = {400: "RequestRejected", 401: "Misconfigured", 429: "RateLimited", 500: "ServerError"}

    def by_order(hit: Hit) -> Script:
        return error(int(hit.header("x-ms-client-request-id") or 0))

    async with Upstream(by_order) as upstream, endpoint(kind, upstream.url, identity) as asked:
        calls = [asked.open({"x-ms-client-request-id": str(status)}) for status in statuses]
        raised = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(failure).__name__ for failure in raised] == [names[status] for status in statuses]

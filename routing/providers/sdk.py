"""What a vendor's SDK supplies to each call: URL, credentials, headers, and the class of every error.

The SDK does all of that through its public calls, over a transport that records instead of sending. The bytes then
travel over aiohttp: an SDK call costs ten times what sending a prepared request costs. A test holds the prepared
request against the one that the SDK itself would send.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

from yarl import URL

from routing.errors import (
    AttemptError,
    ContextTooLong,
    Misconfigured,
    ProtocolError,
    RateLimited,
    RequestRejected,
    ServerError,
)
from routing.providers import retry_after

if TYPE_CHECKING:
    import httpx2

FRESH_S = 60.0  # how long a prepared request is used before the SDK is asked again, in the background
STALE_S = 240.0  # azure-identity hands out tokens with at least five minutes to live; beyond this a call waits
# The transport sets these itself; the SDK's idea of time-outs does not hold here; nothing may arrive compressed,
# since a compressor holds tokens back
NOT_TAKEN = {
    "host",
    "connection",
    "content-length",
    "accept-encoding",
    "x-stainless-timeout",
    "x-stainless-read-timeout",
}
ANY_KEY = "none"  # for what never leaves this process
LONGEST_MESSAGE = 1000  # characters of a provider's own words that are passed on
# How providers without a code of their own for it say that a prompt does not fit: Anthropic (twice), vLLM, llama.cpp
TOO_LONG = (
    "prompt is too long",
    "exceed context limit",
    "maximum context length",
    "exceeds the available context size",
)
REJECTED = {400, 413, 422}  # the request itself is wrong
BROKEN = {408, 409, 425}  # as passing as a 5xx

type Key = str | Callable[[], Awaitable[str]]  # a key, or where to get tokens


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request but for its body."""

    url: URL
    headers: Mapping[str, str]


class Sdk:
    """One endpoint, through the eyes of its SDK.

    `load` imports the SDK and returns (module, client over the given HTTP client with the given key); `call` makes a
    minimal request. Importing takes most of a second, so it happens in a thread, and not before it is needed.
    """

    def __init__(
        self,
        load: Callable[[httpx2.AsyncClient, Key], tuple[ModuleType, Any]],
        call: Callable[[Any], Awaitable[object]],
        key: Key,
    ) -> None:
        self._load, self._call, self._key = load, call, key
        self._module: ModuleType | None = None
        self._client: Any = None
        self._judge: Any = None  # a client that needs no credential, so that an error waits for none
        self._prepared: Prepared | None = None
        self._prepared_at = 0.0
        self._refreshing: asyncio.Task[Prepared] | None = None

    async def prepared(self) -> Prepared:
        """URL and headers with valid credentials. Raises Misconfigured where no credential can be had."""
        age = time.monotonic() - self._prepared_at
        if self._prepared is not None and age < FRESH_S:
            return self._prepared
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._prepare())
            self._refreshing.add_done_callback(_retrieved)
        if self._prepared is not None and age < STALE_S:
            return self._prepared
        return await asyncio.shield(self._refreshing)

    async def error(self, status: int, headers: Mapping[str, str], body: bytes) -> AttemptError:
        """What the SDK makes of an error response, as one of ours."""
        import httpx2  # noqa: PLC0415  # loaded by then; not at start

        await self._loaded()
        assert self._module is not None
        hints = [(name, value) for name, value in headers.items() if name.lower() in retry_after.HEADERS]
        ascii_only = [(name, value) for name, value in hints if value.isascii()]
        _canned.set(httpx2.Response(status, headers=ascii_only, content=body))
        try:
            await self._call(self._judge)
        except self._module.APIStatusError as e:
            return attempt_error(self._module, e, retry_after.parse(e.response.headers, datetime.now(UTC)))
        finally:
            _canned.set(None)
        return ProtocolError(f"the provider answered with status {status}")

    async def close(self) -> None:
        """Stop preparing and close the SDK's client."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        if self._client is not None:
            await self._client.close()

    async def _loaded(self) -> Any:
        if self._client is None:
            self._module, self._judge, self._client = await asyncio.to_thread(self._build)
        return self._client

    def _build(self) -> tuple[ModuleType, Any, Any]:
        import httpx2  # noqa: PLC0415  # costs a quarter of a second

        http = httpx2.AsyncClient(transport=_recorder(httpx2), follow_redirects=False)
        module, client = self._load(http, self._key)
        return module, self._load(http, ANY_KEY)[1], client

    async def _prepare(self) -> Prepared:
        from azure.core.exceptions import AzureError  # noqa: PLC0415  # not at start

        client = await self._loaded()
        assert self._module is not None
        recorded: list[httpx2.Request] = []
        _recorded.set(recorded)
        try:
            await self._call(client)
        except (AzureError, self._module.APIConnectionError, OSError, TypeError, ValueError) as e:
            # the last two: what the SDKs raise for a token that is none
            raise Misconfigured("no credential for the provider could be had") from e
        request = recorded[-1]
        headers = {name: value for name, value in request.headers.items() if name not in NOT_TAKEN}
        headers["accept-encoding"] = "identity"
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise Misconfigured("the credential for the provider holds what no header can carry, such as a line end")
        self._prepared = Prepared(URL(str(request.url), encoded=True), headers)
        self._prepared_at = time.monotonic()
        return self._prepared


def attempt_error(sdk: ModuleType, error: Any, retry_after_s: float | None) -> AttemptError:
    """Our error for one of the SDK's status errors."""
    status = error.status_code
    if isinstance(error, sdk.RateLimitError):
        return RateLimited("the provider is limiting our rate", retry_after_s)
    if status >= 500 or status in BROKEN:
        return ServerError(f"the provider failed with status {status}")
    if status not in REJECTED:
        return Misconfigured(f"the provider refused us with status {status}")
    return _rejected(status, error.body if isinstance(error.body, dict) else {})


def _rejected(status: int, body: Mapping[str, Any]) -> AttemptError:
    """The provider's word on a wrong request: `error` of its body, or the body itself, whatever is in it."""
    told = body["error"] if isinstance(body.get("error"), dict) else body
    message, param = told.get("message"), told.get("param")
    # JSON may hold half a surrogate pair, which no answer of ours could be encoded with
    text = message.encode("utf-8", "replace").decode() if isinstance(message, str) else ""
    # vLLM and Azure's gateway repeat the status as the code
    codes = [code for code in (told.get("code"), told.get("type")) if isinstance(code, str) and not code.isdigit()]
    if "context_length_exceeded" in codes or any(phrase in text for phrase in TOO_LONG):
        return ContextTooLong(text[:LONGEST_MESSAGE])
    return RequestRejected(
        text[:LONGEST_MESSAGE] or "the provider refused the request",
        status=status,
        param=param if isinstance(param, str) else None,
        vendor_code=codes[0] if codes else "invalid_request",
    )


_recorded: ContextVar[list[Any] | None] = ContextVar("_recorded", default=None)
_canned: ContextVar[Any] = ContextVar("_canned", default=None)


def _recorder(httpx2: ModuleType) -> Any:
    class Recorder(httpx2.AsyncBaseTransport):  # type: ignore[name-defined, misc]  # the module comes late
        """Sends nothing: notes the request, and answers with the response at hand or an empty object."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # type: ignore[name-defined]
            recorded = _recorded.get()
            if recorded is not None:
                recorded.append(request)
            return _canned.get() or httpx2.Response(200, json={})

    return Recorder()


def _retrieved(task: asyncio.Task[Prepared]) -> None:
    """A background refresh that failed is tried again by the next call; nobody else waits for it."""
    if not task.cancelled():
        task.exception()

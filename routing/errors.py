"""Every error the product raises, in one tree.

RouterError                         code, status, retriable, and what to do, in the message
├── ConfigurationError              start-up: a setting or a place in the fleet file is wrong
├── RequestError (400)              the caller's to mend; `param` names the field
│   ├── AuthenticationError (401)   no key, or not one of ours
│   ├── PermissionDenied (403)      a known key, not allowed this
│   ├── UnknownModel (404)
│   ├── RequestTooLarge (413)
│   ├── UploadTimeout (408)
│   ├── NoEligibleDeployment        filters of the request leave nothing
│   └── ProviderRejected            the provider says that the request itself is wrong: passed on as it is
├── CapacityError                   come back later; `retry_after_s` says when
│   ├── AllRateLimited (429)
│   ├── TooManyRequests (429)       this caller, of this kind
│   ├── Overloaded (503)
│   └── SloUnattainable (503)       `require` asked for a target that nothing is predicted to meet
├── DeadlineExceeded (504)          `ttft_timeout` or `total_timeout`
├── CallerLeft (499)                the caller closed the connection: there is nobody to tell
├── CallerStalled (499)             the caller reads no more
├── StoreUnavailable                the shared store did not answer; in the background only, no caller ever sees it
├── AllDeploymentsFailed (502)
└── AttemptError                    one attempt on one deployment failed; the plan decides what follows
    ├── RateLimited                 429, with the provider's Retry-After
    ├── ServerError                 5xx, or an error event in a stream
    ├── ConnectFailed               refused, DNS, TLS, connect time-out: no byte was accepted
    ├── ConnectionLost              cut after the request was sent
    ├── ProtocolError               not the wire format: HTML, bad JSON, a truncated stream
    ├── AdapterFault                a fault of our own in asking this provider; the log has it
    ├── AttemptTimedOut             our own deadline for this attempt passed
    ├── ContextTooLong              may fit a model with a larger window
    ├── RequestRejected             400, 422, content filter: no other deployment is tried
    └── Misconfigured               401, 403, 404 from a provider: our fault, never the caller's
"""

from __future__ import annotations

from typing import ClassVar

OUR_FAULT = "the router failed; it has been logged"


class RouterError(Exception):
    """Base of everything raised on purpose. `message` is for people and holds no secret, endpoint or key."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retriable: ClassVar[bool] = False
    type: ClassVar[str] = "api_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(RouterError):
    """A setting or the fleet file is wrong; the message names the place."""

    code = "configuration_error"


class RequestError(RouterError):
    """The caller's to mend. `param` is the path of the field, as in `routing.max_ttft_ms`."""

    code = "invalid_request"
    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class AuthenticationError(RequestError):
    """No key was sent, or not one of ours."""

    code = "invalid_api_key"
    status = 401
    type = "authentication_error"


class PermissionDenied(RequestError):
    """The key is known and may not do this."""

    code = "permission_denied"
    status = 403
    type = "permission_error"


class UploadTimeout(RequestError):
    """The caller sends its request too slowly."""

    code = "upload_timeout"
    status = 408
    type = "timeout_error"


class UnknownModel(RequestError):
    """Neither a model of the fleet nor an alias."""

    code = "model_not_found"
    status = 404


class RequestTooLarge(RequestError):
    """The body is over the limit of its route."""

    code = "request_too_large"
    status = 413
    type = "request_too_large"


class NoEligibleDeployment(RequestError):
    """The request's own filters (tier, residency, price, capability, dialect) leave no deployment."""

    code = "no_eligible_deployment"


class CapacityError(RouterError):
    """Come back in `retry_after_s` seconds."""

    retriable = True

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AllRateLimited(CapacityError):
    """Every deployment that may serve this is rate-limited."""

    code = "all_deployments_rate_limited"
    status = 429
    type = "rate_limit_error"


class TooManyRequests(CapacityError):
    """One caller sends more of a kind of request than it may."""

    code = "too_many_requests"
    status = 429
    type = "rate_limit_error"


class Overloaded(CapacityError):
    """Our own capacity (slots, or memory for bodies) is taken."""

    code = "overloaded"
    status = 503
    type = "overloaded_error"


class SloUnattainable(CapacityError):
    """`require` is set and no deployment is predicted to meet the target.

    Who requires it wants to know at once, and a second later the prediction is hardly another: no client should retry.
    """

    code = "slo_unattainable"
    retriable = False
    status = 503
    type = "overloaded_error"


class DeadlineExceeded(RouterError):
    """The request's deadline passed. `code` tells which: `ttft_timeout` or `total_timeout`."""

    status = 504
    type = "timeout_error"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # the one error whose code depends on the limit that passed


class AllDeploymentsFailed(RouterError):
    """Every attempt failed before its first token."""

    code = "all_deployments_failed"
    status = 502


class CallerLeft(RouterError):
    """The caller closed the connection; there is nobody to tell."""

    code = "caller_left"
    status = 499


class CallerStalled(RouterError):
    """The caller keeps the connection open and reads nothing; there is nobody to tell."""

    code = "caller_stalled"
    status = 499


class StoreUnavailable(RouterError):
    """The shared store could not be reached, refused, or took too long. What was to be shared is kept for later."""

    code = "store_unavailable"
    retriable = True


class AttemptError(RouterError):
    """One attempt on one deployment failed. `accepted` is False where the provider has not begun to work on it."""

    code = "attempt_failed"
    status = 502
    retriable = True
    accepted: ClassVar[bool] = True


class RateLimited(AttemptError):
    """The provider answered 429; `retry_after_s` is its hint, parsed and capped, or None."""

    code = "rate_limited"
    status = 429
    accepted = False

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerError(AttemptError):
    """The provider answered 5xx, or sent an error event instead of an answer."""

    code = "server_error"


class ConnectFailed(AttemptError):
    """No connection: refused, name not found, TLS refused, or too slow to connect."""

    code = "connect_failed"
    accepted = False


class ConnectionLost(AttemptError):
    """The connection was cut after the request had been sent."""

    code = "connection_lost"


class ProtocolError(AttemptError):
    """What came back is not the provider's wire format, or a stream ended before its end marker."""

    code = "protocol_error"


class AdapterFault(AttemptError):
    """Our own code for this provider failed. Another's may not: it is an attempt that failed, as others do."""

    code = "adapter_fault"


class AttemptTimedOut(AttemptError):
    """Our own limit for connect, first content, idle or total time passed for this attempt."""

    code = "attempt_timed_out"


class ContextTooLong(AttemptError):
    """The prompt does not fit this model; one with a larger window may take it."""

    code = "context_length_exceeded"
    status = 400


class RequestRejected(AttemptError):
    """The provider says the request is wrong (400, 422, content filter): passed on, never tried elsewhere."""

    code = "request_rejected"
    retriable = False

    def __init__(self, message: str, status: int, param: str | None = None, vendor_code: str | None = None) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # the provider's own
        self.param, self.vendor_code = param, vendor_code


class Misconfigured(AttemptError):
    """The provider refused our credentials or knows no such deployment (401, 403, 404): an alarm for us."""

    code = "provider_misconfigured"
    accepted = False


class ProviderRejected(RequestError):
    """A `RequestRejected` or `ContextTooLong` on its way to the caller, with the provider's status and code."""

    def __init__(self, message: str, status: int, code: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.status = status  # type: ignore[misc]  # the provider's own
        self.code = code  # type: ignore[misc]

"""The error that a request ends with when its attempts are used up, or when there was nothing to attempt."""

from __future__ import annotations

from collections.abc import Sequence

from routing.errors import (
    AllDeploymentsFailed,
    AllRateLimited,
    AttemptError,
    AttemptTimedOut,
    ContextTooLong,
    DeadlineExceeded,
    NoEligibleDeployment,
    Overloaded,
    ProviderRejected,
    RateLimited,
    RequestRejected,
    RouterError,
    SloUnattainable,
)
from routing.plan.candidates import Candidates
from routing.policy.view import View

FIELDS = {  # of a request, by what they rule deployments out for
    "quality_tier": "routing.min_quality_tier",
    "residency": "routing.allowed_regions",
    "price": "routing.max_cost_usd",
    "context_window": "messages",
}
SOON_S = 1.0  # to come back in where nothing says how long it will take


def failed(errors: Sequence[AttemptError], candidates: Candidates, now: float, deadline_passed: bool) -> RouterError:
    """After attempts that ended with `errors`, none of them with content."""
    too_long = next((e for e in errors if isinstance(e, ContextTooLong)), None)
    if too_long is not None and all(isinstance(e, ContextTooLong) for e in errors):
        return ProviderRejected(too_long.message, 400, "context_length_exceeded", "messages")
    if deadline_passed:
        return too_late("total_timeout")
    if errors and all(isinstance(e, RateLimited) for e in errors):
        return _rate_limited(candidates, now)
    if all(isinstance(e, AttemptTimedOut) for e in errors):  # or nothing was sent, because it was too late already
        return too_late("ttft_timeout")
    return AllDeploymentsFailed(f"{len(errors)} deployment(s) were tried and none gave an answer")


def nothing_to_choose(view: View, candidates: Candidates, now: float) -> RouterError:
    """Without any attempt."""
    usable = candidates.usable()
    if _out_of_service(view, candidates):
        return Overloaded("every deployment that may serve this is out of service")
    if not usable:
        said = {reason.split(" by ")[0] for reason in candidates.exclusions(now).values()} - {"model"}  # not by whom
        reasons, fields = ", ".join(sorted(said)) or "the fleet", {_field(reason) for reason in said - {"no_endpoint"}}
        param = fields.pop() if len(fields) == 1 else None  # of several, to mend one would not do
        return NoEligibleDeployment(f"no deployment can serve this request; ruled out by {reasons}", param)
    full = sum(view.slots.full(d) for d in usable)
    if full:
        also = "" if full == len(usable) else " or rate-limited"
        return Overloaded(f"every deployment that may serve this is at capacity{also}")
    return _rate_limited(candidates, now)


def too_late(code: str) -> DeadlineExceeded:
    """`ttft_timeout` or `total_timeout`."""
    what = "the whole answer" if code == "total_timeout" else "a first token"
    return DeadlineExceeded(f"no deployment gave {what} in time", code)


def unattainable(probability: float, percentile: float) -> SloUnattainable:
    """`require` asks for more than the likeliest deployment's `probability`."""
    return SloUnattainable(
        f"the likeliest deployment meets the target with probability {probability:.2f}, "
        f"asked for is {percentile / 100:.2f}; relax the target or drop `require`"
    )


def passed_on(error: RequestRejected) -> ProviderRejected:
    """The provider's own refusal of the request, for the caller."""
    return ProviderRejected(error.message, error.status, error.vendor_code or "invalid_request", error.param)


def _field(reason: str) -> str | None:
    """The field of the request that excludes a deployment for this reason; None where no single one does."""
    kind, _, what = reason.partition(": ")
    return what if kind == "parameter" else FIELDS.get(kind)


def _rate_limited(candidates: Candidates, now: float) -> AllRateLimited:
    free, panic = candidates.ready(now)
    if free and not panic:  # but no tries are left
        return AllRateLimited("the deployments that were tried are rate-limited; others are free", SOON_S)
    return AllRateLimited("every deployment that may serve this is rate-limited", candidates.retry_after(now))


def _out_of_service(view: View, candidates: Candidates) -> bool:
    """Whether operators have disabled all that could serve the request."""
    able = (*candidates.eligible.first, *candidates.eligible.standby)
    return bool(able) and all(d in view.orders and view.orders[d].state == "disable" for d in able)

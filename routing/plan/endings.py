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


def failed(errors: Sequence[AttemptError], candidates: Candidates, now: float, deadline_passed: bool) -> RouterError:
    """After attempts that ended with `errors`, none of them with content."""
    too_long = next((e for e in errors if isinstance(e, ContextTooLong)), None)
    if too_long is not None:
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
    if not usable:
        reasons = sorted({reason.split(" for ")[0] for reason in candidates.exclusions(now).values()} - {"model"})
        return NoEligibleDeployment(
            "no deployment can serve this request; ruled out by " + (", ".join(reasons) or "the fleet")
        )
    if any(view.slots.full(d) for d in usable):
        return Overloaded("every deployment that may serve this is at capacity")
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


def _rate_limited(candidates: Candidates, now: float) -> AllRateLimited:
    return AllRateLimited("every deployment that may serve this is rate-limited", candidates.retry_after(now))

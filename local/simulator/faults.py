"""Faults set from outside while the simulator runs, one per deployment; each takes effect on the next call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.simulator.fields import first_fault
from routing.fleet import Fleet

Mode = Literal["slow", "dead", "hang", "429", "500", "cut"]
DAY_S = 86_400


class Invalid(Exception):
    """An order is wrong; `field` names where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a deployment, until when (None: until lifted)."""

    mode: Mode
    factor: float
    retry_after_s: float
    until: float | None

    def active(self, now: float) -> bool:
        """Whether it still holds."""
        return self.until is None or now < self.until


class FaultOrder(BaseModel):
    """An order from outside: `ok` lifts, every other mode replaces what was set."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    deployment: str | None = None
    region: str | None = None
    mode: Literal["slow", "dead", "hang", "429", "500", "cut", "ok"]
    factor: Annotated[float, Field(ge=1, le=1_000, description="On TTFT, where slow.")] = 8.0
    retry_after_s: Annotated[float, Field(gt=0, le=DAY_S, description="What a 429 says.")] = 5.0
    for_s: Annotated[float | None, Field(gt=0, le=DAY_S, description="How long; until lifted where absent.")] = None


def parse(raw: bytes) -> FaultOrder:
    """Body of an order. Raises Invalid."""
    try:
        order = FaultOrder.model_validate_json(raw)
    except ValidationError as e:
        field, problem = first_fault(e)
        raise Invalid(field or "body", problem) from e
    if (order.deployment is None) == (order.region is None):
        raise Invalid("deployment", "exactly one of 'deployment' and 'region' must be given")
    return order


class Faults:
    """The fleet's faults."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._by_deployment: dict[str, Fault] = {}

    def set(self, order: FaultOrder, now: float) -> None:
        """Obey an order; one for a region stands for one for each of its deployments. Raises Invalid."""
        for name in self._meant(order):
            if order.mode == "ok":
                self._by_deployment.pop(name, None)
            else:
                until = None if order.for_s is None else now + order.for_s
                self._by_deployment[name] = Fault(order.mode, order.factor, order.retry_after_s, until)

    def clear(self) -> None:
        """Lift all."""
        self._by_deployment.clear()

    def of(self, deployment: str, now: float) -> Fault | None:
        """The fault that `deployment` has at `now`; one that is over is forgotten."""
        fault = self._by_deployment.get(deployment)
        if fault is None or fault.active(now):
            return fault
        del self._by_deployment[deployment]
        return None

    def listed(self, now: float) -> list[dict[str, Any]]:
        """Those that hold at `now`, as JSON."""
        found = ((d.id, self.of(d.id, now)) for d in self._fleet.deployments)
        return [{"deployment": name, **described(fault, now)} for name, fault in found if fault]

    def _meant(self, order: FaultOrder) -> Iterable[str]:
        if order.deployment is not None:
            if all(d.id != order.deployment for d in self._fleet.deployments):
                raise Invalid("deployment", f"no deployment '{order.deployment}'")
            return [order.deployment]
        region = self._fleet.region_by_name.get(order.region or "")
        if region is None:
            raise Invalid("region", f"no region '{order.region}'")
        return [d.id for d in self._fleet.deployments if d.region == region.id]


def described(fault: Fault, now: float) -> dict[str, Any]:
    """A fault as JSON: its mode, what belongs to the mode, and the seconds it still holds (null: until lifted)."""
    told: dict[str, Any] = {"mode": fault.mode}
    if fault.mode == "slow":
        told["factor"] = fault.factor
    if fault.mode == "429":
        told["retry_after_s"] = fault.retry_after_s
    return told | {"remaining_s": None if fault.until is None else round(fault.until - now, 1)}

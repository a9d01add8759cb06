"""Which deployments may serve a request at all, and why the others may not."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from routing.fleet import Deployment, Fleet, Model
from routing.request import Demand

REMEMBERED = 1_024  # kinds of request


class Eligible(NamedTuple):
    """Deployment indices: those to choose from, those that only stand in, and the reason each other one is out."""

    first: tuple[int, ...]
    standby: tuple[int, ...]
    excluded: dict[int, str]


class Eligibility:
    """Answers per kind of request, computed once: nothing in it changes while the router runs."""

    def __init__(self, fleet: Fleet, disabled: frozenset[int]) -> None:
        self._fleet, self._disabled = fleet, disabled
        self._known: OrderedDict[Demand, Eligible] = OrderedDict()

    def of(self, demand: Demand) -> Eligible:
        """The deployments that `demand` leaves."""
        known = self._known.get(demand)
        if known is None:
            known = self._known[demand] = self._compute(demand)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _compute(self, demand: Demand) -> Eligible:
        first, standby, excluded = [], [], {}
        for i, deployment in enumerate(self._fleet.deployments):
            reason = "no_endpoint" if i in self._disabled else self._exclusion(deployment, demand)
            if reason:
                excluded[i] = reason
            elif demand.models and deployment.model not in demand.models:
                standby.append(i)
            else:
                first.append(i)
        return Eligible(tuple(first), tuple(standby), excluded)

    def _exclusion(self, deployment: Deployment, demand: Demand) -> str:
        model = self._fleet.model_of(deployment)
        if demand.pinned and deployment.id != demand.pinned:
            return "pinned"
        if demand.models and model.id not in demand.models and model.id not in demand.fallbacks:
            return "model"
        if model.quality_tier < demand.min_quality_tier:
            return "quality_tier"
        places = self._fleet.inference_may_run_in(deployment)
        if demand.allowed_regions and not set(demand.allowed_regions) & set(places):
            return "residency"
        return _inability(deployment, model, demand)


def _inability(deployment: Deployment, model: Model, demand: Demand) -> str:
    """What the request asks for and the deployment cannot do."""
    if demand.dialect and deployment.dialect != demand.dialect:
        return f"dialect: {demand.untranslatable}"
    missing = demand.needs - set(model.capabilities)
    if missing:
        return f"capability: {min(missing)}"
    refused = demand.parameters & set(model.unsupported_parameters)
    if refused:
        return f"parameter: {min(refused)}"
    most = model.max_output_tokens
    return f"output limit: max_tokens above {most}" if demand.output_tokens > most else ""

"""The fleet as data: models, regions, deployments, priors. One file is the source for the router and for Bicep.

`load` reads and checks a fleet file; everything else in the product takes the frozen result. Endpoints are not in it:
resource names differ per environment, so settings map each deployment's `resource` to an endpoint.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from routing.errors import ConfigurationError, UnknownModel

EARTH_RADIUS_KM = 6371.0
# Least squares over 462 pairs of Azure regions, medians of 30 days to 2025-06-29 (Azure's published round trips):
# half of the pairs are within 15 % of it. Within one region there is no backbone between the two.
RTT_FIXED_MS, RTT_PER_KM_MS, RTT_SAME_REGION_MS = 15.6, 0.0149, 2.0
RETIREMENT_NOTICE = timedelta(days=60)
ANY_MODEL = "auto"
UPPER_Z90 = 1.2816  # the 90 % point of the standard normal distribution

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Capability = Literal["tools", "images", "json_schema", "reasoning"]
Provider = Literal["azure_openai", "claude_foundry", "openai", "anthropic", "openai_compatible"]
DeploymentType = Literal["Standard", "DataZoneStandard", "GlobalStandard", "SelfHosted"]
PROVIDER_DIALECT = {
    "azure_openai": "openai",
    "openai": "openai",
    "openai_compatible": "openai",
    "claude_foundry": "anthropic",
    "anthropic": "anthropic",
}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class LatencyProfile(_Entry):
    """Static latency prior of a model, without network, for a prompt of 1,000 tokens: used until there is data."""

    ttft_ms: Annotated[float, Field(gt=0, le=600_000, description="Median time to first token, ms.")]
    ttft_p90_ms: Annotated[float, Field(gt=0, le=600_000, description="90 % point of time to first token, ms.")]
    ttft_p99_ms: Annotated[float, Field(gt=0, le=600_000, description="99 % point of time to first token, ms.")]
    tokens_per_second: Annotated[float, Field(gt=0, le=10_000, description="Output tokens per second, median.")]
    p95_total_ms: Annotated[float, Field(gt=0, le=600_000, description="95 % point of a whole answer, ms.")]

    @model_validator(mode="after")
    def _quantiles_rise(self) -> Self:
        if not self.ttft_ms <= self.ttft_p90_ms <= self.ttft_p99_ms:
            raise ValueError("ttft_ms, ttft_p90_ms and ttft_p99_ms must not fall")
        return self

    @property
    def spread(self) -> float:
        """Standard deviation of ln(TTFT) above the median, from the 90 % point; at least 0.15."""
        return max(0.15, math.log(self.ttft_p90_ms / self.ttft_ms) / UPPER_Z90)


class Model(_Entry):
    """A model as its vendor sells it."""

    id: Name
    vendor: Literal["openai", "anthropic", "other"]
    version: str = ""
    quality_tier: Annotated[int, Field(ge=1, le=5, description="1 (simplest) to 5 (best).")]
    price_in: Annotated[float, Field(ge=0, description="US dollars per million prompt tokens.")]
    price_out: Annotated[float, Field(ge=0, description="US dollars per million output tokens.")]
    context_window: Annotated[int, Field(gt=0, description="Tokens of prompt and answer together.")]
    default_max_tokens: Annotated[
        int, Field(gt=0, description="Sent where the provider needs a limit and the caller gave none.")
    ]
    max_output_tokens: Annotated[int, Field(gt=0)]
    capabilities: tuple[Capability, ...] = ()
    unsupported_parameters: tuple[str, ...] = ()
    first_content_timeout_s: Annotated[
        float, Field(gt=0, le=200, description="Longest wait for the first token, s.")
    ] = 120.0
    idle_timeout_s: Annotated[float, Field(gt=0, le=200, description="Longest gap between two events, s.")] = 30.0
    retires: date | None = None
    latency: LatencyProfile


class Region(_Entry):
    """A region that runs the router, holds models, or both."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+$", description="Azure's name.")]
    aliases: tuple[Name, ...] = ()
    geography: Literal["us", "eu", "asia", "other"]
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Deployment(_Entry):
    """A model behind one endpoint in one region."""

    id: Name
    provider: Provider
    resource: Annotated[Name, Field(description="Key of ROUTER_ENDPOINTS: the account that holds the deployment.")]
    model: Name
    region: str
    type: DeploymentType
    name: Annotated[str, Field(description="The provider's name of it; the model's id where empty.")] = ""
    concurrency: Annotated[int, Field(gt=0, description="Requests at once that it should get from one instance.")]
    tokens_per_minute: Annotated[int, Field(gt=0)]
    requests_per_minute: Annotated[int, Field(gt=0)]
    provision: Annotated[bool, Field(description="Whether Bicep creates it.")] = False
    latency: Annotated[LatencyProfile | None, Field(description="Overrides the model's prior.")] = None

    @property
    def dialect(self) -> str:
        """The wire format it speaks: `openai` or `anthropic`."""
        return PROVIDER_DIALECT[self.provider]

    @property
    def upstream_name(self) -> str:
        """What the request body's `model` says to the provider."""
        return self.name or self.model


class Alias(_Entry):
    """A name that stands for several models."""

    name: Name
    models: Annotated[tuple[Name, ...], Field(min_length=1)]


class Fallback(_Entry):
    """Models that may serve a request for `model` when none of its own deployments can."""

    model: Name
    models: Annotated[tuple[Name, ...], Field(min_length=1)]


class Fleet(_Entry):
    """Everything that can be routed to."""

    schema_: Annotated[str, Field(alias="$schema")] = ""
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)]
    aliases: tuple[Alias, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterable[str]:
        names = [r.id for r in self.regions] + [a for r in self.regions for a in r.aliases]
        yield from _twice("models", [m.id for m in self.models] + [a.name for a in self.aliases] + [ANY_MODEL])
        yield from _twice("regions", names)
        yield from _twice("deployments", [d.id for d in self.deployments])
        yield from _twice("fallbacks", [f.model for f in self.fallbacks])
        for i, d in enumerate(self.deployments):
            if d.model not in self.model_by_id:
                yield f"deployments[{i}].model: no model '{d.model}'"
            if d.region not in {r.id for r in self.regions}:
                yield f"deployments[{i}].region: no region '{d.region}'"
        for kind, lists in (
            ("aliases", [a.models for a in self.aliases]),
            ("fallbacks", [f.models for f in self.fallbacks]),
        ):
            for i, models in enumerate(lists):
                for name in models:
                    if name not in self.model_by_id:
                        yield f"{kind}[{i}].models: no model '{name}'"
        for i, f in enumerate(self.fallbacks):
            if f.model not in self.model_by_id:
                yield f"fallbacks[{i}].model: no model '{f.model}'"

    @cached_property
    def model_by_id(self) -> dict[str, Model]:
        """Models by id."""
        return {m.id: m for m in self.models}

    @cached_property
    def region_by_name(self) -> dict[str, Region]:
        """Regions by id and by alias."""
        return {name: r for r in self.regions for name in (r.id, *r.aliases)}

    @cached_property
    def alias_by_name(self) -> dict[str, Alias]:
        """Aliases by name."""
        return {a.name: a for a in self.aliases}

    @cached_property
    def fallbacks_of(self) -> dict[str, tuple[str, ...]]:
        """Models that may stand in, by the model asked for."""
        return {f.model: f.models for f in self.fallbacks}

    @cached_property
    def refused_parameters(self) -> frozenset[str]:
        """Parameters that some model refuses."""
        return frozenset(name for m in self.models for name in m.unsupported_parameters)

    @cached_property
    def _output_limits(self) -> list[int]:
        return sorted({m.max_output_tokens for m in self.models})

    def output_step(self, tokens: int) -> int:
        """The least `max_output_tokens` of a model that can write so many, 0 where all can: requests that differ only
        in their limits are of few kinds. `tokens` itself where no model can."""
        limits = self._output_limits
        i = bisect_left(limits, tokens)
        return 0 if i == 0 else limits[i] if i < len(limits) else tokens

    def resolve(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(models, models that may stand in) for a model's name, an alias or `auto`; no models means any.

        Raises UnknownModel.
        """
        if name == ANY_MODEL:
            return (), ()
        if name in self.alias_by_name:
            return self.alias_by_name[name].models, ()
        if name in self.model_by_id:
            return (name,), self.fallbacks_of.get(name, ())
        raise UnknownModel(f"'{name}' is no model of the fleet and no alias; GET /v1/models lists them", "model")

    def model_of(self, deployment: Deployment) -> Model:
        """The model behind a deployment."""
        return self.model_by_id[deployment.model]

    def prior_of(self, deployment: Deployment) -> LatencyProfile:
        """The deployment's static profile, or its model's."""
        return deployment.latency or self.model_of(deployment).latency

    def rtt_ms(self, origin: str, region: str) -> float:
        """Prior of the round trip between two regions, ms, from their distance on the globe."""
        a, b = self.region_by_name[origin], self.region_by_name[region]
        if a is b:
            return RTT_SAME_REGION_MS
        return RTT_FIXED_MS + RTT_PER_KM_MS * _distance_km(a, b)

    def nearest(self, place: str, origin: str) -> str | None:
        """The region that `place` is, or of a geography the one nearest to the region `origin`; None where it has none.

        `place` is a region's id or a geography.
        """
        regions = [r for r in self.regions if place in (r.id, r.geography)]
        here = self.region_by_name[origin]
        return min(regions, key=lambda r: _distance_km(here, r)).id if regions else None

    def inference_may_run_in(self, deployment: Deployment) -> tuple[str, ...]:
        """Names of the places where a deployment's inference stays, by its type; empty = anywhere.

        Standard stays in its region (and so in its geography), DataZoneStandard in its zone, GlobalStandard nowhere in
        particular: the location of the resource says nothing about it.
        """
        region = self.region_by_name[deployment.region]
        if deployment.type in ("Standard", "SelfHosted"):
            return (region.id, *region.aliases, region.geography)
        return (region.geography,) if deployment.type == "DataZoneStandard" else ()

    def retiring(self, today: date) -> list[Model]:
        """Models that retire within 60 days of `today`, or have retired."""
        return [m for m in self.models if m.retires and m.retires - today <= RETIREMENT_NOTICE]


def load(path: Path) -> Fleet:
    """Read and check a fleet file. Raises ConfigurationError that names the place in the file."""
    try:
        return Fleet.model_validate_json(path.read_bytes())
    except OSError as e:
        raise ConfigurationError(f"{path}: {e.strerror}; ROUTER_FLEET names the fleet file") from e
    except ValidationError as e:
        faults = [f"{_place(error['loc'])}{error['msg'].removeprefix('Value error, ')}" for error in e.errors()]
        raise ConfigurationError(f"{path}: " + "; ".join(faults)) from e


def json_schema() -> str:
    """The schema of a fleet file, as text for fleet.schema.json."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema.update(Fleet.model_json_schema(by_alias=True))
    return json.dumps(schema, indent=2) + "\n"


def _place(loc: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return path and f"{path}: "


def _twice(kind: str, names: list[str]) -> Iterable[str]:
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{kind}: the name '{name}' stands twice"


def _distance_km(a: Region, b: Region) -> float:
    """Great-circle distance, haversine formula."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (a.latitude, a.longitude, b.latitude, b.longitude))
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(h))

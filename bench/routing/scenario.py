"""Scenarios: a fleet, arrivals, kinds of request, capacity and incidents, all drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to some deployments from `start` to `end`, seconds."""

    kind: str  # brownout: slower by `factor`, 3 % errors; outage: a region refuses or hangs
    start: float
    end: float
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Parameters of a world."""

    name: str
    fleet: str = "openrouter"
    arrivals: str = "arrivals_azure_conv_2023"
    duration: float = 600.0  # simulated seconds
    warm: float = 60.0  # of which are not counted
    rate: float = 40.0  # requests a second, all routers together
    load: float = 0.25  # mean, of the sum of capacities
    instances: int = 6  # of the router, per region
    flush_s: float = 5.0  # between an instance's writes to the shared store
    merge_s: float = 10.0  # between merges of what was written
    pull_s: float = 5.0  # between an instance's reads of what was merged
    segment: float = 120.0  # seconds a replayed regime lasts
    dedicated: float = 0.4  # share of deployments with slots and a queue; the others have a token bucket
    common: float = 0.25  # share of a request's luck that is the same everywhere: hard prompts
    bad_prior: float = 0.0  # extra error, in logs, of what the router was told
    region_weights: tuple[float, ...] = (0.4, 0.3, 0.15, 0.15)
    incidents: tuple[Incident, ...] = ()
    token_limits: bool = False  # deployments count tokens a minute too, prompt and reserved answer
    breaks: float = 0.0  # probability that a stream is cut somewhere after its first token
    cold_start_s: float = 0.0  # added to TTFT where a deployment has been idle for a minute
    provider_wobble: float = 0.0  # deviation, in logs, of a slowness that a provider's deployments share
    instance_life_s: float = 0.0  # instances are replaced by fresh ones after this time; 0 = never
    hints: bool = True  # whether callers tell how long an answer they expect; else the router goes by what it learned
    deadlines: bool = False  # whether a target for the whole answer is also when the request is given up
    unstreamed: bool = False  # who waits for the whole answer, half of all, gets it in one piece


_BROWNOUT = Incident("brownout", 300.0, 480.0, 6.0)
_OUTAGE = Incident("outage", 300.0, 480.0)

# The fourteen that figures are quoted for
CLASSIC = (
    Scenario("light", load=0.12),
    Scenario("base"),
    Scenario("bursty", arrivals="arrivals_azure_code_2023"),
    Scenario("heavy", load=0.45),
    Scenario("sparse", rate=4.0, duration=2400.0, load=0.15, instances=3),
    Scenario("servegen", arrivals="servegen"),
    Scenario("drift", fleet="probes", segment=60.0),
    Scenario("stale", instances=24, flush_s=15.0, pull_s=60.0),
    Scenario("volatile", fleet="sequences", segment=6.0),
    Scenario("azure", fleet="azure", segment=60.0, duration=700.0, incidents=(_BROWNOUT,)),
    Scenario("azure_out", fleet="azure", segment=60.0, duration=700.0, incidents=(_OUTAGE,)),
    Scenario("brownout", duration=700.0, incidents=(_BROWNOUT,)),
    Scenario("outage", duration=700.0, incidents=(_OUTAGE,)),
    Scenario("coldprior", bad_prior=0.7, duration=700.0, incidents=(Incident("brownout", 300.0, 420.0, 4.0),)),
)
# What else goes wrong
BEYOND = (
    Scenario("tokens", token_limits=True, arrivals="arrivals_azure_code_2023"),
    Scenario("breaks", breaks=0.02),
    Scenario("coldstart", rate=4.0, duration=1200.0, load=0.15, instances=3, cold_start_s=8.0),
    Scenario("correlated", provider_wobble=0.5),
    Scenario("scaleout", instance_life_s=120.0),
    Scenario("nohint", hints=False),
    Scenario("unstreamed", unstreamed=True),
    Scenario("deadlines", duration=700.0, incidents=(_OUTAGE,), unstreamed=True, deadlines=True),
)
SCENARIOS = {s.name: s for s in (*CLASSIC, *BEYOND)}


def shortened(scenario: Scenario, factor: float) -> Scenario:
    """The same scenario for a share of its time, incidents included."""
    return replace(
        scenario,
        duration=scenario.duration * factor,
        warm=scenario.warm * factor,
        incidents=tuple(replace(i, start=i.start * factor, end=i.end * factor) for i in scenario.incidents),
    )

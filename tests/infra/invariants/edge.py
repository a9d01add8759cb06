"""Front Door: every app behind it, streams untouched, callers limited, nothing forged."""

from __future__ import annotations

from tests.infra.expand import Deployment

LONGEST_ORIGIN_TIMEOUT_S = 240  # Front Door's own limit
SHORTEST_PROBE_INTERVAL_S = 60  # each of its sites probes by itself, and every probe is paid for


def every_app_is_an_origin_twice(deployment: Deployment) -> None:
    """Once among all, once alone; found by its own host name, its certificate checked."""
    apps = {f"<app {app.name}: defaultHostName>" for app in deployment.of("Microsoft.Web/sites")}
    origins = deployment.of("Microsoft.Cdn/profiles/originGroups/origins")
    for symbol in ("candidates", "onlyCandidate"):
        assert {o.properties["hostName"] for o in origins if o.symbol == symbol} == apps
    for origin in origins:
        assert origin.properties["originHostHeader"] == origin.properties["hostName"]
        assert origin.properties["enforceCertificateNameCheck"] is True
    alone = [o.parent.name for o in origins if o.symbol == "onlyCandidate" and o.parent]
    assert len(alone) == len(set(alone)) == len(apps)


def probes_are_light_and_rare(deployment: Deployment) -> None:
    """HEAD /healthz over HTTPS, a minute apart or more, and none where there is only one region to choose."""
    everywhere = deployment.one("Microsoft.Cdn/profiles/originGroups", "everywhere").properties
    probe = everywhere["healthProbeSettings"]
    if len(deployment.of("Microsoft.Web/sites")) == 1:
        assert probe is None
        return
    assert (probe["probeRequestType"], probe["probePath"], probe["probeProtocol"]) == ("HEAD", "/healthz", "Https")
    assert probe["probeIntervalInSeconds"] >= SHORTEST_PROBE_INTERVAL_S
    assert "additionalLatencyInMilliseconds" in everywhere["loadBalancingSettings"]


def routes_pass_streams_on_as_they_come(deployment: Deployment) -> None:
    """No cache and so no compression, HTTPS on both sides, and the longest wait there is for a first byte."""
    profile = deployment.one("Microsoft.Cdn/profiles", "profile")
    assert profile.properties["originResponseTimeoutSeconds"] == LONGEST_ORIGIN_TIMEOUT_S
    for route in deployment.of("Microsoft.Cdn/profiles/afdEndpoints/routes"):
        assert "cacheConfiguration" not in route.properties
        assert route.properties["supportedProtocols"] == ["Https"]
        assert route.properties["httpsRedirect"] == "Disabled"
        assert route.properties["forwardingProtocol"] == "HttpsOnly"


def routes_come_after_their_origins(deployment: Deployment) -> None:
    """Azure refuses a route whose group has no origin yet."""
    for route in deployment.of("Microsoft.Cdn/profiles/afdEndpoints/routes"):
        group = route.properties["originGroup"]["id"]
        assert any(o.parent and o.parent.id == group for o in route.after)


def each_region_has_a_path_of_its_own(deployment: Deployment) -> None:
    """/regions/NAME/* reaches that region and no other, without the prefix; everything else reaches the nearest."""
    routes = deployment.of("Microsoft.Cdn/profiles/afdEndpoints/routes")
    assert [r.properties["patternsToMatch"] for r in routes if r.symbol == "route"] == [["/*"]]
    found = {}
    for route in (r for r in routes if r.symbol == "regionRoutes"):
        assert route.properties["originPath"] == "/"
        (origin,) = [o for o in route.after if o.parent and o.parent.id == route.properties["originGroup"]["id"]]
        found[route.properties["patternsToMatch"][0]] = origin.properties["hostName"]
    apps = {app.body["location"]: app.name for app in deployment.of("Microsoft.Web/sites")}
    assert found == {f"/regions/{region}/*": f"<app {name}: defaultHostName>" for region, name in apps.items()}


def the_geography_cannot_be_forged(deployment: Deployment) -> None:
    """Every route overwrites x-router-geo with the country that Front Door saw."""
    rule = deployment.one("Microsoft.Cdn/profiles/ruleSets/rules", "geo")
    (action,) = rule.properties["actions"]
    assert rule.properties["conditions"] == []
    assert action["parameters"]["headerAction"] == "Overwrite"
    assert (action["parameters"]["headerName"], action["parameters"]["value"]) == ("x-router-geo", "{geo_country}")
    assert rule.parent
    for route in deployment.of("Microsoft.Cdn/profiles/afdEndpoints/routes"):
        assert route.properties["ruleSets"] == [{"id": rule.parent.id}]


def the_firewall_limits_rates_and_reads_no_prompts(deployment: Deployment) -> None:
    """One rate limit by TCP peer for everything, no managed rule set, no look into bodies; and it is switched on."""
    firewall = deployment.one("Microsoft.Network/FrontDoorWebApplicationFirewallPolicies", "firewall")
    assert firewall.properties["policySettings"]["enabledState"] == "Enabled"
    assert firewall.properties["policySettings"]["mode"] == "Prevention"
    assert firewall.properties["policySettings"]["requestBodyCheck"] == "Disabled"
    assert "managedRules" not in firewall.properties
    (rule,) = firewall.properties["customRules"]["rules"]
    assert (rule["ruleType"], rule["action"]) == ("RateLimitRule", "Block")
    assert rule["groupBy"] == [{"variableName": "SocketAddr"}]
    protection = deployment.one("Microsoft.Cdn/profiles/securityPolicies", "protection").properties["parameters"]
    endpoint = deployment.one("Microsoft.Cdn/profiles/afdEndpoints", "endpoint")
    assert protection["wafPolicy"]["id"] == firewall.id
    assert protection["associations"] == [{"domains": [{"id": endpoint.id}], "patternsToMatch": ["/*"]}]

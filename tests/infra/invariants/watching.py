"""Logs and alerts: everything that matters is recorded, and the recording can be asked."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.expand import Deployment

RECORDED = (
    "Microsoft.Web/sites",
    "Microsoft.Cdn/profiles",
    "Microsoft.CognitiveServices/accounts",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/tableServices",
)


def everything_reports_to_the_workspace(deployment: Deployment) -> None:
    """Each app, account and Front Door has diagnostic settings, and they lead to the one workspace."""
    (workspace,) = deployment.of("Microsoft.OperationalInsights/workspaces")
    settings = deployment.of("Microsoft.Insights/diagnosticSettings")
    assert all(s.properties["workspaceId"] == workspace.id and s.properties["logs"] for s in settings)
    recorded = {s.scope.id for s in settings if s.scope}
    assert {r.id for kind in RECORDED for r in deployment.of(kind)} == recorded
    for component in deployment.of("Microsoft.Insights/components"):
        assert component.properties["WorkspaceResourceId"] == workspace.id


def alerts_are_on_and_tell_somebody(deployment: Deployment) -> None:
    """The faults that need somebody have an alert each, which leads to the action group."""
    (people,) = deployment.of("Microsoft.Insights/actionGroups")
    queries = deployment.of("Microsoft.Insights/scheduledQueryRules")
    metrics = deployment.of("Microsoft.Insights/metricAlerts")
    wanted = {"slo-burn-fast", "slo-burn-slow", "timer-not-run", "profiles-old", "answers-5xx"}
    several = len(deployment.of("Microsoft.Web/sites")) > 1
    assert {a.name for a in (*queries, *metrics)} == wanted | ({"region-unhealthy"} if several else set())
    assert all(a.properties["enabled"] for a in (*queries, *metrics))
    assert all(q.properties["actions"]["actionGroups"] == [people.id] for q in queries)
    assert all(m.properties["actions"] == [{"actionGroupId": people.id}] for m in metrics)


def queries_are_filled_in(deployment: Deployment) -> None:
    """No placeholder is left in a query; the timers' names every app."""
    for rule in deployment.of("Microsoft.Insights/scheduledQueryRules"):
        query = rule.properties["criteria"]["allOf"][0]["query"]
        code = re.sub(r"//[^\n]*", "", query)
        assert not re.search(r"\b(OBJECTIVE|FIRST_BYTE_SECONDS|RATE|RECENT|APPS|TIMERS|OLDEST_SECONDS)\b", code), query
    (query,) = [
        r.properties["criteria"]["allOf"][0]["query"]
        for r in deployment.of("Microsoft.Insights/scheduledQueryRules")
        if r.name == "timer-not-run"
    ]
    apps = re.search(r"app = dynamic\((\[[^\]]*\])\)", query)
    assert apps
    assert json.loads(apps[1]) == [app.name for app in deployment.of("Microsoft.Web/sites")]


def api_versions_are_known_to_the_checker(deployment: Deployment) -> None:
    """A version outside the checker's data would be checked half-heartedly: every type but one is in it."""
    for resource in deployment.resources:
        if resource.type != "Microsoft.Network/networkSecurityGroups":
            assert resource.api_version in _typed()[resource.type], f"{resource.type}@{resource.api_version}"


@cache
def _typed() -> dict[str, dict[str, Any]]:
    """The resource types whose properties the checker knows, and their versions."""
    data = Path(__file__).parent.parent / "bicep" / "types.json.gz"
    found: dict[str, dict[str, Any]] = json.loads(gzip.decompress(data.read_bytes()))["resources"]
    return found

"""Seeded faults: each template is broken in one place, and the checker or an invariant must notice.

A fault that nothing notices means that the tests would let it through to a subscription.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.expand import expand
from tests.infra.functions import DAY_OF_DEPLOYMENT
from tests.infra.invariants import INVARIANTS, models

CHECKER = Path("tests/infra/bicep/bicep_check.py").resolve()
CLAUDE = {"CLAUDE_ORGANIZATION": "Example"}

# What is broken: file, text, what stands there instead.
FAULTS = {
    # typos and types: the checker's
    "a property that does not exist": ("modules/region.bicep", "httpsOnly: true", "httpsOnyl: true"),
    "a value that is no choice": ("modules/edge.bicep", "mode: 'Prevention'", "mode: 'Prevent'"),
    "an API version that does not exist": ("modules/models.bicep", "accounts@2026-07-01", "accounts@2026-07-02"),
    "a parameter that is not passed": ("main.bicep", "      tuning: tuning\n", ""),
    "an output that does not exist": ("main.bicep", "apps[i].outputs.hostName", "apps[i].outputs.host"),
    "a size without enough memory": ("dev.bicepparam", "instanceMemoryMB: 2048", "instanceMemoryMB: 512"),
    "a quote that is not closed": ("modules/watch.bicep", "name: 'PerGB2018'", "name: 'PerGB2018"),
    # keys
    "keys for storage": ("modules/host-storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    "keys for the store": ("modules/store.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    "open blobs in the store": ("modules/store.bicep", "BlobPublicAccess: false", "BlobPublicAccess: true"),
    "old TLS for the store": ("modules/store.bicep", "'TLS1_2'", "'TLS1_1'"),
    "keys for models": ("modules/models.bicep", "disableLocalAuth: true", "disableLocalAuth: false"),
    "a subdomain that Entra ID lacks": ("modules/models.bicep", "    customSubDomainName: name\n", ""),
    "keys for telemetry": ("modules/region.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false"),
    "a password for publishing": ("modules/region.bicep", "{ allow: false }", "{ allow: true }"),
    "FTP": ("modules/region.bicep", "ftpsState: 'Disabled'", "ftpsState: 'FtpsOnly'"),
    "old TLS": ("modules/region.bicep", "minTlsVersion: '1.2'", "minTlsVersion: '1.1'"),
    # roles
    "a role for Claude that is OpenAI's": ("modules/models.bicep", "'a97b65f3-", "'5e0bd9bd-"),
    "a role that is too much": ("modules/region.bicep", "'3913510d-42f4-4e42-8a64-420c390055eb'", "'8e3af657'"),
    "roles for the first region only": (
        "main.bicep",
        "      callers: [for (region, i) in regions: {",
        "      callers: [for (region, i) in take(regions, 1): {",
    ),
    "a store for the first region only": (
        "main.bicep",
        "store.outputs.name\n    callers: [for (region, i) in regions: {",
        "store.outputs.name\n    callers: [for (region, i) in take(regions, 1): {",
    ),
    "a store to read only": ("modules/store-access.bicep", "'0a9a7e1f-b9d0-", "'76199698-9eea-"),
    "a role for all that is shared": ("modules/store-access.bicep", "    scope: store\n", ""),
    "a role for the whole group": (
        "modules/models.bicep",
        "    scope: account\n    name: guid(account.id, caller",
        "    name: guid(account.id, caller",
    ),
    # who may reach the app
    "open to all": (
        "modules/region.bicep",
        "ipSecurityRestrictionsDefaultAction: 'Deny'",
        "ipSecurityRestrictionsDefaultAction: 'Allow'",
    ),
    "open to every Front Door": ("modules/region.bicep", "          headers: { 'x-azure-fdid': [frontDoorId] }\n", ""),
    "not checked by the app": ("modules/region.bicep", "ROUTER_FRONT_DOOR_ID: frontDoorId", "ROUTER_FRONT_DOOR_ID: ''"),
    "publishing locked out": (
        "modules/region.bicep",
        "scmIpSecurityRestrictionsUseMain: false",
        "scmIpSecurityRestrictionsUseMain: true",
    ),
    # models
    "deployments at once": ("modules/models.bicep", "@batchSize(1)\nresource openAi", "resource openAi"),
    "quota in tokens": ("modules/models.bicep", "capacity: deployment.tokensPerMinute / 1000 //", "capacity: 100 //"),
    "all regions' models": ("main.bicep", " && contains(chosen, d.region))", ")"),
    "no models but where apps are": (
        "main.bicep",
        "var chosen = concat(regions, modelRegions)",
        "var chosen = regions",
    ),
    "models in another region's group": ("main.bicep", "indexOf(places, account.", "indexOf(regions, account."),
    "what is not to be created": ("main.bicep", "(d.?provision ?? false) && ", ""),
    "models that have retired": ("main.bicep", " && !contains(retired, d.model)", ""),
    "Claude without a buyer": ("modules/models.bicep", "      modelProviderData: claude\n", ""),
    "the wrong host for Claude": (
        "main.bicep",
        "'https://${account.name}.services.ai",
        "'https://${account.name}.openai",
    ),
    "endpoints of the account's name": ("main.bicep", "  account => account.resource,", "  account => account.name,"),
    # the app
    "a setting that nobody reads": (
        "modules/region.bicep",
        "  ROUTER_KEYS: routerKeys",
        "  ROUTER_CALLERS: routerKeys",
    ),
    "a region that the fleet has not": ("dev.bicepparam", "regions = ['eastus']", "regions = ['eastus3']"),
    "a region that is another's": ("modules/region.bicep", "ROUTER_REGION: location", "ROUTER_REGION: 'eastus2'"),
    "no concurrency": ("dev.bicepparam", "perInstanceConcurrency: 100", "perInstanceConcurrency: 1"),
    "more streams than memory": ("dev.bicepparam", "perInstanceConcurrency: 100", "perInstanceConcurrency: 9999"),
    "always ready timers": (
        "modules/region.bicep",
        "name: 'http', instanceCount",
        "name: 'function:probe', instanceCount",
    ),
    "another Python": ("modules/region.bicep", "version: '3.13'", "version: '3.12'"),
    "a container that is not there": ("modules/host-storage.bicep", "    name: container\n", "    name: 'package'\n"),
    # the store
    "an app that is not told of the store": (
        "modules/region.bicep",
        "ROUTER_STORE_ACCOUNT: storeEndpoint",
        "ROUTER_STORE_ACCOUNT: ''",
    ),
    "no setting for the store": ("modules/region.bicep", "  ROUTER_STORE_ACCOUNT: storeEndpoint", ""),
    "a connection string of the store": (
        "modules/region.bicep",
        "  ROUTER_STORE_ACCOUNT: storeEndpoint",
        "  ROUTER_STORE_CONNECTION: 'UseDevelopmentStorage=true'\n  ROUTER_STORE_ACCOUNT: storeEndpoint",
    ),
    "another service's endpoint": ("modules/store.bicep", "primaryEndpoints.table", "primaryEndpoints.blob"),
    "a store for blobs": ("modules/store.bicep", "/tableServices@", "/blobServices@"),
    "a store that is far away": ("main.bicep", "regions[0]\n    sku: storeSku", "'westeurope'\n    sku: storeSku"),
    "fewer copies than were asked for": ("main.bicep", "sku: storeSku", "sku: 'Standard_LRS'"),
    # Front Door
    "a cache": (
        "modules/origins.bicep",
        "    patternsToMatch: ['/*']\n",
        "    patternsToMatch: ['/*']\n    cacheConfiguration: { queryStringCachingBehavior: 'UseQueryString' }\n",
    ),
    "keys over HTTP": (
        "modules/origins.bicep",
        "supportedProtocols: ['Https']",
        "supportedProtocols: ['Http', 'Https']",
    ),
    "a short wait": ("modules/edge.bicep", "originResponseTimeoutSeconds: 240", "originResponseTimeoutSeconds: 60"),
    "another host header": (
        "modules/origins.bicep",
        "originHostHeader: app.hostName //",
        "originHostHeader: endpointName //",
    ),
    "probes every second": ("modules/origins.bicep", "probeIntervalInSeconds: 60", "probeIntervalInSeconds: 1"),
    "probes by GET": ("modules/origins.bicep", "probeRequestType: 'HEAD'", "probeRequestType: 'GET'"),
    "a region's path to another region": ("modules/origins.bicep", "{ id: alone[i].id }", "{ id: alone[0].id }"),
    "a geography by the caller": ("modules/origins.bicep", "headerAction: 'Overwrite'", "headerAction: 'Append'"),
    "a route before its origins": ("modules/origins.bicep", "  dependsOn: [candidates] // a", "  // a"),
    "a firewall that only looks": ("modules/edge.bicep", "mode: 'Prevention'", "mode: 'Detection'"),
    "a firewall that reads prompts": (
        "modules/edge.bicep",
        "requestBodyCheck: 'Disabled'",
        "requestBodyCheck: 'Enabled'",
    ),
    "a limit that X-Forwarded-For evades": ("modules/edge.bicep", "'SocketAddr'", "'None'"),
    # networks
    "an open account in a closed network": (
        "modules/models.bicep",
        "publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'",
        "publicNetworkAccess: 'Enabled'",
    ),
    "an open store in a closed network": (
        "modules/store.bicep",
        "publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'",
        "publicNetworkAccess: 'Enabled'",
    ),
    "an open firewall of the store": ("modules/store.bicep", "isPrivate ? 'Deny' : 'Allow'", "'Allow'"),
    "no way to the store's tables": ("modules/private-endpoints.bicep", "kind: 'table'", "kind: 'blob'"),
    "tables among the names of blobs": (
        "modules/private-endpoint.bicep",
        "table: ['privatelink.table",
        "table: ['privatelink.blob",
    ),
    "a store's name that does not resolve": (
        "modules/network.bicep",
        "  'privatelink.table.${environment().suffixes.storage}'\n",
        "",
    ),
    "names that do not resolve": ("modules/network.bicep", "  'privatelink.services.ai.azure.com'\n", ""),
    "an app outside its network": (
        "modules/region.bicep",
        "virtualNetworkSubnetId: isPrivate ?",
        "virtualNetworkSubnetId: !isPrivate ?",
    ),
    # watching
    "a Front Door without a log": ("modules/edge.bicep", "  scope: profile\n", ""),
    "a store without a log": ("modules/store.bicep", "  scope: tables\n", ""),
    "alerts that are off": ("modules/alerts.bicep", "enabled: true\n      scopes", "enabled: false\n      scopes"),
    "no limit for the age of profiles": ("modules/alerts.bicep", "'OLDEST_SECONDS'", "'OLDEST_MINUTES'"),
    "no alert on old profiles": ("modules/alerts.bicep", "name: 'profiles-old'", "name: 'profiles'"),
    "a query that is not filled in": ("modules/alerts.bicep", "'RECENT', burn.recent", "'RECENTLY', burn.recent"),
}


def broken_invariant(infra: Path) -> str:
    """What the first broken invariant says; empty if all hold."""
    for environment in ("dev", "prod"):
        try:
            deployment = expand(infra / f"{environment}.bicepparam", CLAUDE)
            for invariant in INVARIANTS:
                invariant(deployment)
        except (AssertionError, KeyError, ValueError) as e:
            return repr(e)
    return ""


def checker_errors(infra: Path) -> str:
    """What the checker calls an error; empty if nothing."""
    checked = subprocess.run([sys.executable, CHECKER, infra], capture_output=True, text=True, check=False)
    return checked.stdout if checked.returncode else ""


@pytest.fixture
def infra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the templates, and beside it a fleet that also has somebody else's deployment and a retired model."""
    shutil.copytree("infra", tmp_path / "infra", ignore=shutil.ignore_patterns("requirements*"))
    fleet = json.loads(models.FLEET.read_text(encoding="utf-8"))
    entry = next(d for d in fleet["deployments"] if d["region"] == "eastus" and d["provider"] == "azure_openai")
    retired = next(m["id"] for m in fleet["models"] if m.get("retires", "9999") <= DAY_OF_DEPLOYMENT)
    fleet["deployments"] += [
        {**entry, "id": "somebody-elses", "resource": "somebody-elses", "provision": False},
        {**entry, "id": "retired", "resource": "retired", "model": retired, "provision": True},
    ]
    (tmp_path / "fleet.json").write_text(json.dumps(fleet), encoding="utf-8")
    monkeypatch.setattr(models, "FLEET", tmp_path / "fleet.json")
    return tmp_path / "infra"


def test_the_templates_as_they_are_have_no_fault(infra: Path) -> None:
    assert broken_invariant(infra) == ""
    assert checker_errors(infra) == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_noticed(fault: str, infra: Path) -> None:
    name, text, instead = FAULTS[fault]
    file = infra / name
    before = file.read_text(encoding="utf-8")
    assert text in before, "the fault is not of this template any more"
    file.write_text(before.replace(text, instead), encoding="utf-8")
    assert broken_invariant(infra) or checker_errors(infra)

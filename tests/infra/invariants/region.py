"""One function app: its settings, its size, its storage."""

from __future__ import annotations

import re
from pathlib import Path

from routing.fleet import load
from routing.settings import SETTINGS
from routing.web.wire import ALL_BYTES
from tests.infra.expand import Deployment
from tests.infra.invariants import models

# Not set in Azure: the templates read fleet.json, so the app must read the same one and not another; and a connection
# string, which holds a key, is for the storage emulator of a developer's machine only.
NOT_IN_AZURE = {"ROUTER_FLEET", "ROUTER_STORE_CONNECTION", "ROUTER_SAMPLE_LOG"}
OF_THE_HOST = re.compile(r"AzureWebJobsStorage__|APPLICATIONINSIGHTS_")
# Settings that Flex Consumption takes from functionAppConfig; as settings they are refused or ignored.
NOT_ON_FLEX = re.compile(r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_|AzureWebJobsStorage$|SCM_")
# MB of memory: the Functions host, the Python worker with both SDKs, request bodies at once, one open stream. The
# arithmetic stands in modules/region.bicep too; the figures for a stream are measured, the host's is an estimate.
HOST_MB, WORKER_MB, BODIES_MB, STREAM_MB = 400, 250, ALL_BYTES / 2**20, 0.05


def settings_are_those_that_the_code_reads(deployment: Deployment) -> None:
    """No setting that nobody reads, and none missing."""
    for config in deployment.of("Microsoft.Web/sites/config"):
        ours = {name for name in config.properties if not OF_THE_HOST.match(name)}
        assert set(SETTINGS) >= NOT_IN_AZURE
        assert ours == set(SETTINGS) - NOT_IN_AZURE
        assert not [name for name in config.properties if NOT_ON_FLEX.match(name)]
        assert all(isinstance(value, str) for value in config.properties.values())


def each_app_knows_where_and_who_it_is(deployment: Deployment) -> None:
    """ROUTER_REGION is the app's own, and the identity that it uses is the one that it has."""
    for config in deployment.of("Microsoft.Web/sites/config"):
        app = config.parent
        assert app
        assert config.properties["ROUTER_REGION"] == app.body["location"]
        assert app.body["location"] in {region.id for region in load(models.FLEET).regions}
        (identity,) = [
            i for i in deployment.of("Microsoft.ManagedIdentity/userAssignedIdentities") if i.group == app.group
        ]
        assert list(app.body["identity"]["userAssignedIdentities"]) == [identity.id]
        client = f"<identity {identity.name}: clientId>"
        assert config.properties["AZURE_CLIENT_ID"] == client
        assert config.properties["AzureWebJobsStorage__clientId"] == client
        assert config.properties["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == f"ClientId={client};Authorization=AAD"


def hosts_keep_their_package_without_a_key(deployment: Deployment) -> None:
    """Package and locks are in the app's own storage account, by its identity, in a container that exists."""
    containers = {
        (c.group, f"<account {c.full_name.split('/')[0]}: primaryEndpoints.blob>{c.name}")
        for c in deployment.of("Microsoft.Storage/storageAccounts/blobServices/containers")
    }
    for config in deployment.of("Microsoft.Web/sites/config"):
        app = config.parent
        assert app
        storage = app.properties["functionAppConfig"]["deployment"]["storage"]
        assert storage["authentication"]["type"] == "UserAssignedIdentity"
        assert (app.group, storage["value"]) in containers
        assert config.properties["AzureWebJobsStorage__credential"] == "managedidentity"
        (account,) = [a for a in deployment.of("Microsoft.Storage/storageAccounts") if a.group == app.group]
        assert config.properties["AzureWebJobsStorage__accountName"] == account.name


def apps_run_this_python_on_flex(deployment: Deployment) -> None:
    """Python as pyproject.toml wants it, one plan an app, some instances always ready for HTTP."""
    wanted = re.search(r'requires-python = ">=(3\.\d+)', Path("pyproject.toml").read_text(encoding="utf-8"))
    assert wanted
    plans = [app.properties["serverFarmId"] for app in deployment.of("Microsoft.Web/sites")]
    assert len(plans) == len(set(plans))
    assert sorted(plans) == sorted(p.id for p in deployment.of("Microsoft.Web/serverfarms"))
    for app in deployment.of("Microsoft.Web/sites"):
        assert app.properties["functionAppConfig"]["runtime"] == {"name": "python", "version": wanted[1]}
        (ready,) = app.properties["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]
        assert ready["name"] == "http"
        assert ready["instanceCount"] >= 1


def concurrency_fits_into_the_memory(deployment: Deployment) -> None:
    """perInstanceConcurrency is set, since Flex defaults to 1 for Python, and half of the memory stays free for it."""
    for app in deployment.of("Microsoft.Web/sites"):
        scale = app.properties["functionAppConfig"]["scaleAndConcurrency"]
        streams = scale["triggers"]["http"]["perInstanceConcurrency"]
        assert streams >= 16
        assert HOST_MB + WORKER_MB + BODIES_MB + STREAM_MB * streams <= scale["instanceMemoryMB"] / 2


def every_region_is_complete(deployment: Deployment) -> None:
    """An app, a plan, an identity, a storage account and Application Insights in the group of each region."""
    kinds = ("Web/sites", "Web/serverfarms", "Storage/storageAccounts", "Insights/components")
    apps = {app["region"]: app["name"] for app in deployment.outputs["routerApps"]}
    for region, name in apps.items():
        for kind in (*kinds, "ManagedIdentity/userAssignedIdentities"):
            (found,) = [r for r in deployment.of(f"Microsoft.{kind}") if r.group.endswith(f"-{region}")]
            assert found.body["location"] == region
        assert name in [app.name for app in deployment.of("Microsoft.Web/sites")]
    assert len(apps) == len(deployment.of("Microsoft.Web/sites"))

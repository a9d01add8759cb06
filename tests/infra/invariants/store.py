"""What all regions share: one account, for tables, that every app is told of and no key opens."""

from __future__ import annotations

import json

from tests.infra.expand import Deployment

ACCOUNTS = "Microsoft.Storage/storageAccounts"


def the_store_is_one_for_all_regions(deployment: Deployment) -> None:
    """In the shared group, in the first region, with as many copies as were asked for."""
    store = deployment.one(ACCOUNTS, "store")
    (profile,) = deployment.of("Microsoft.Cdn/profiles")
    assert store.group == profile.group
    assert store.body["kind"] == "StorageV2"
    assert store.body["location"] == deployment.parameters["regions"][0]
    assert store.body["sku"]["name"] == deployment.parameters.get("storeSku", "Standard_LRS")


def every_app_is_told_of_the_store(deployment: Deployment) -> None:
    """By the endpoint that Azure gives its tables."""
    endpoint = f"<store {deployment.one(ACCOUNTS, 'store').name}: primaryEndpoints.table>"
    configs = deployment.of("Microsoft.Web/sites/config")
    assert len(configs) == len(deployment.parameters["regions"])
    assert [config.properties["ROUTER_STORE_ACCOUNT"] for config in configs] == [endpoint] * len(configs)


def no_app_has_a_connection_string_of_the_store(deployment: Deployment) -> None:
    """ROUTER_STORE_CONNECTION is for the emulator on a developer's machine, and so is the emulator's short name."""
    everything = json.dumps([r.body for r in deployment.resources])
    assert "ROUTER_STORE_CONNECTION" not in everything
    assert "UseDevelopmentStorage" not in everything


def the_store_holds_tables_only(deployment: Deployment) -> None:
    """Nothing is created in its other services: blobs, queues, files."""
    store = deployment.one(ACCOUNTS, "store")
    services = [r.type for r in deployment.resources if r.parent is store]
    assert services == [f"{ACCOUNTS}/tableServices"]

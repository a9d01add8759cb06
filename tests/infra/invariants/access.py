"""Who may do what: no keys, every role that is needed and no other, nothing open that need not be."""

from __future__ import annotations

import json
import re

from tests.infra.expand import Deployment, Resource

BLOB_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
OPENAI_USER = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
COGNITIVE_USER = "a97b65f3-24c7-4388-baec-2e87135dc908"
TABLE_CONTRIBUTOR = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"

# How the names of a private endpoint's DNS zones begin, by the service that it leads to.
ZONE = {
    "blob": ("privatelink.blob.",),
    "table": ("privatelink.table.",),
    "account": ("privatelink.openai.", "privatelink.cognitiveservices.", "privatelink.services.ai."),
}


def storage_accounts_take_no_keys(deployment: Deployment) -> None:
    """Shared keys are off, and so are the other ways around Entra ID: anonymous blobs, local users."""
    for account in deployment.of("Microsoft.Storage/storageAccounts"):
        assert account.properties["allowSharedKeyAccess"] is False
        assert account.properties["allowBlobPublicAccess"] is False
        assert account.properties["isLocalUserEnabled"] is False
        assert account.properties["supportsHttpsTrafficOnly"] is True
        assert account.properties["minimumTlsVersion"] == "TLS1_2"


def model_accounts_take_no_keys(deployment: Deployment) -> None:
    """Local authentication is off, and each has the subdomain of its own without which Entra ID does not work."""
    for account in deployment.of("Microsoft.CognitiveServices/accounts"):
        assert account.properties["disableLocalAuth"] is True
        assert account.properties["customSubDomainName"] == account.name


def telemetry_takes_no_keys(deployment: Deployment) -> None:
    """Neither Application Insights nor the workspace takes an instrumentation or workspace key."""
    for component in deployment.of("Microsoft.Insights/components"):
        assert component.properties["DisableLocalAuth"] is True
    for workspace in deployment.of("Microsoft.OperationalInsights/workspaces"):
        assert workspace.properties["features"]["disableLocalAuth"] is True


def no_template_reads_a_key(deployment: Deployment) -> None:
    """No connection string with a key, and no listKeys, in anything that is created."""
    everything = json.dumps([r.body for r in deployment.resources])
    assert not re.search(r"AccountKey|SharedAccess|listKeys|api-key|StorageAccountConnectionString", everything)


def every_role_is_there_and_no_other(deployment: Deployment) -> None:
    """Each app: its host's blobs, its telemetry, the shared tables, every model account; nothing and nobody else."""
    apps = deployment.of("Microsoft.ManagedIdentity/userAssignedIdentities")
    shared = deployment.one("Microsoft.Storage/storageAccounts", "store")
    expected = set()
    for identity in apps:
        principal = f"<identity {identity.name}: principalId>"
        for account in deployment.of("Microsoft.CognitiveServices/accounts"):
            role = COGNITIVE_USER if account.body["kind"] == "AIServices" else OPENAI_USER
            expected.add((principal, role, account.id))
        for own, role in (("storageAccounts", BLOB_OWNER), ("components", METRICS_PUBLISHER)):
            (target,) = [r for r in deployment.resources if r.group == identity.group and r.type.endswith(f"/{own}")]
            expected.add((principal, role, target.id))
        expected.add((principal, TABLE_CONTRIBUTOR, shared.id))
    given = [_grant(r) for r in deployment.of("Microsoft.Authorization/roleAssignments")]
    assert len(given) == len(set(given))
    assert set(given) == expected


def role_assignments_have_names_of_their_own(deployment: Deployment) -> None:
    """Two assignments of one name in one place would be one."""
    names = [(r.group, r.scope, r.name) for r in deployment.of("Microsoft.Authorization/roleAssignments")]
    assert len(names) == len(set(names))


def apps_are_reached_through_this_front_door_only(deployment: Deployment) -> None:
    """Default deny; the one rule wants both Azure's Front Door addresses and the id of ours."""
    for app in deployment.of("Microsoft.Web/sites"):
        config = app.properties["siteConfig"]
        assert config["ipSecurityRestrictionsDefaultAction"] == "Deny"
        (rule,) = config["ipSecurityRestrictions"]
        assert (rule["action"], rule["tag"], rule["ipAddress"]) == ("Allow", "ServiceTag", "AzureFrontDoor.Backend")
        profile = deployment.one("Microsoft.Cdn/profiles", "profile")
        assert rule["headers"] == {"x-azure-fdid": [f"<profile {profile.name}: frontDoorId>"]}
        assert _settings(deployment, app)["ROUTER_FRONT_DOOR_ID"] == rule["headers"]["x-azure-fdid"][0]


def the_deployment_site_is_not_locked_out(deployment: Deployment) -> None:
    """`func publish` comes from anywhere, with Entra ID: the app's restriction must not apply to it."""
    for app in deployment.of("Microsoft.Web/sites"):
        config = app.properties["siteConfig"]
        assert config["scmIpSecurityRestrictionsUseMain"] is False
        assert config["scmIpSecurityRestrictionsDefaultAction"] == "Allow"


def apps_accept_no_password_and_no_old_tls(deployment: Deployment) -> None:
    """HTTPS with TLS 1.2, no FTP, and basic publishing off for both of its ways."""
    for app in deployment.of("Microsoft.Web/sites"):
        config = app.properties["siteConfig"]
        assert app.properties["httpsOnly"] is True
        assert (config["minTlsVersion"], config["scmMinTlsVersion"], config["ftpsState"]) == ("1.2", "1.2", "Disabled")
        policies = [
            (p.name, p.properties["allow"])
            for p in deployment.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
            if p.parent is app
        ]
        assert sorted(policies) == [("ftp", False), ("scm", False)]


def private_networking_is_all_or_nothing(deployment: Deployment) -> None:
    """With a network: every account is closed, and every app has an address for each that it uses, and its names."""
    accounts = [
        *deployment.of("Microsoft.Storage/storageAccounts"),
        *deployment.of("Microsoft.CognitiveServices/accounts"),
    ]
    networks = deployment.of("Microsoft.Network/virtualNetworks")
    for account in accounts:
        assert account.properties["publicNetworkAccess"] == ("Disabled" if networks else "Enabled")
        assert account.properties["networkAcls"]["defaultAction"] == ("Deny" if networks else "Allow")
    for app in deployment.of("Microsoft.Web/sites"):
        subnets = [f"{n.id}/subnets/app" for n in networks if n.group == app.group]
        assert app.properties["virtualNetworkSubnetId"] == (subnets[0] if subnets else None)
    if networks:
        for network in networks:
            _reaches_everything(deployment, network)


def _reaches_everything(deployment: Deployment, network: Resource) -> None:
    """One region's endpoints: its own blobs, the shared tables, every model account; zones in its group, linked."""
    here = [r for r in deployment.of("Microsoft.Network/privateEndpoints") if r.group == network.group]
    targets = [_target(endpoint) for endpoint in here]
    wanted = [(a.id, "account") for a in deployment.of("Microsoft.CognitiveServices/accounts")]
    wanted += [(a.id, "blob") for a in deployment.of("Microsoft.Storage/storageAccounts") if a.group == network.group]
    wanted += [(deployment.one("Microsoft.Storage/storageAccounts", "store").id, "table")]
    assert sorted(targets) == sorted(wanted)
    assert all(r.properties["subnet"]["id"] == f"{network.id}/subnets/endpoints" for r in here)
    zones = {r.id for r in deployment.of("Microsoft.Network/privateDnsZones") if r.group == network.group}
    links = deployment.of("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert {r.parent.id for r in links if r.parent and r.properties["virtualNetwork"]["id"] == network.id} == zones
    for group in deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        if group.group == network.group:
            named = {c["properties"]["privateDnsZoneId"] for c in group.properties["privateDnsZoneConfigs"]}
            assert group.parent
            assert named
            assert named <= zones
            assert all(zone.rpartition("/")[2].startswith(ZONE[_target(group.parent)[1]]) for zone in named)


def _target(endpoint: Resource) -> tuple[str, str]:
    """What a private endpoint leads to, and to which of its services."""
    (connection,) = endpoint.properties["privateLinkServiceConnections"]
    (service,) = connection["properties"]["groupIds"]
    return connection["properties"]["privateLinkServiceId"], service


def _grant(assignment: Resource) -> tuple[str, str, str]:
    """Who, which role, on what."""
    assert assignment.scope, "a role for a whole group or subscription is more than any app needs"
    properties = assignment.properties
    assert properties["principalType"] == "ServicePrincipal"
    return properties["principalId"], properties["roleDefinitionId"].rpartition("/")[2], assignment.scope.id


def _settings(deployment: Deployment, app: Resource) -> dict[str, str]:
    """The application settings of one app."""
    (config,) = [c for c in deployment.of("Microsoft.Web/sites/config") if c.parent is app]
    return config.properties

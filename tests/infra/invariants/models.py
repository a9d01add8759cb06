"""The fleet file and what is created from it are the same thing."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from routing.fleet import Deployment as FleetDeployment
from routing.fleet import Fleet, load
from tests.infra.expand import Deployment, Resource
from tests.infra.functions import DAY_OF_DEPLOYMENT

FLEET = Path("fleet.json")
PROVIDER = {"OpenAI": "azure_openai", "AIServices": "claude_foundry"}
FORMAT = {"OpenAI": "OpenAI", "AIServices": "Anthropic"}


def what_the_fleet_marks_is_created_as_it_says(deployment: Deployment) -> None:
    """In the chosen regions: account, name, model, version, type, and quota in thousands of tokens a minute."""
    fleet = load(FLEET)
    wanted = {
        (d.resource, d.upstream_name, d.model, fleet.model_of(d).version, str(d.type), d.tokens_per_minute // 1000)
        for d in _marked(fleet, deployment)
    }
    made = set()
    for model in deployment.of("Microsoft.CognitiveServices/accounts/deployments"):
        said, sku = model.properties["model"], model.body["sku"]
        kind = (said["name"], said["version"] or "", sku["name"])
        made.add((_key(model.parent), model.name, *kind, sku["capacity"]))
    assert made == wanted


def models_stand_where_and_how_the_fleet_says(deployment: Deployment) -> None:
    """Each account is in its deployments' region and of their vendor's kind; Claude names its buyer."""
    by_resource = {d.resource: d for d in load(FLEET).deployments if d.provision}
    for model in deployment.of("Microsoft.CognitiveServices/accounts/deployments"):
        account = model.parent
        assert account
        entry = by_resource[_key(account)]
        assert account.body["location"] == entry.region
        assert account.group.endswith(f"-{entry.region}")
        assert PROVIDER[account.body["kind"]] == entry.provider
        assert model.properties["model"]["format"] == FORMAT[account.body["kind"]]
        assert bool(model.properties.get("modelProviderData")) == (entry.provider == "claude_foundry")


def deployments_of_an_account_come_one_at_a_time(deployment: Deployment) -> None:
    """Azure refuses a second change of an account while the first goes on."""
    assert all(m.one_at_a_time for m in deployment.of("Microsoft.CognitiveServices/accounts/deployments"))


def every_endpoint_leads_to_an_account_with_models(deployment: Deployment) -> None:
    """ROUTER_ENDPOINTS of every app names each created account once, by the fleet's resource, at its own host."""
    made = deployment.of("Microsoft.CognitiveServices/accounts/deployments")
    with_models = {_key(m.parent): m.parent for m in made if m.parent}
    expected = {resource: _url(account) for resource, account in with_models.items()}
    assert expected
    for config in deployment.of("Microsoft.Web/sites/config"):
        assert json.loads(config.properties["ROUTER_ENDPOINTS"]) == expected


def nothing_that_can_be_asked_for_is_missing(deployment: Deployment) -> None:
    """No dangling deployment: whatever of the fleet gets an endpoint also exists behind it."""
    made = {(_key(m.parent), m.name) for m in deployment.of("Microsoft.CognitiveServices/accounts/deployments")}
    for config in deployment.of("Microsoft.Web/sites/config"):
        endpoints = json.loads(config.properties["ROUTER_ENDPOINTS"])
        routable = {(d.resource, d.upstream_name) for d in load(FLEET).deployments if d.resource in endpoints}
        assert routable == made, f"without a model behind them: {sorted(routable - made)}"


def every_alias_leads_somewhere(deployment: Deployment) -> None:
    """Each alias of the fleet has at least one model that this deployment creates, as far as its vendors go."""
    fleet = load(FLEET)
    made = {m.properties["model"]["name"] for m in deployment.of("Microsoft.CognitiveServices/accounts/deployments")}
    vendors = {"openai" if m.startswith("gpt") else "anthropic" for m in made}
    for alias in fleet.aliases:
        reachable = [m for m in alias.models if fleet.model_by_id[m].vendor in vendors]
        assert not reachable or made & set(reachable), f"alias {alias.name}"


def _marked(fleet: Fleet, deployment: Deployment) -> list[FleetDeployment]:
    """The fleet's deployments that should be created: marked, in the regions, of a living model, of a wanted vendor."""
    given = deployment.parameters
    regions = {*given["regions"], *given.get("modelRegions", [])}
    asked = {"azure_openai": given.get("createOpenAi", True), "claude_foundry": given.get("claude")}
    today = date.fromisoformat(DAY_OF_DEPLOYMENT)
    return [
        d
        for d in fleet.deployments
        if d.provision and d.region in regions and asked.get(d.provider)
        if (fleet.model_of(d).retires or date.max) > today
    ]


def _key(account: Resource | None) -> str:
    """The fleet's `resource` of an account: its name without the token that makes it unique."""
    assert account
    return account.name.rpartition("-")[0]


def _url(account: Resource) -> str:
    """Where Azure serves an account with this subdomain."""
    domain = "services.ai" if account.body["kind"] == "AIServices" else "openai"
    return f"https://{account.properties['customSubDomainName']}.{domain}.azure.com"

"""Every invariant, of every environment that the parameter files describe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.expand import Deployment, expand
from tests.infra.invariants import INVARIANTS, Invariant

CLAUDE = {"CLAUDE_ORGANIZATION": "Example", "ALERT_EMAILS": "on-call@example.com"}
ENVIRONMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "dev": ("dev", {}),
    "dev with Claude": ("dev", CLAUDE),
    "prod": ("prod", {}),
    "prod with Claude": ("prod", CLAUDE),
    "azd": ("main", {"AZURE_ENV_NAME": "trial", "AZURE_LOCATION": "swedencentral"}),
}
EXPANDED: dict[str, Deployment] = {}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda i: i.__name__)
def test_it_holds(invariant: Invariant, environment: str) -> None:
    if environment not in EXPANDED:
        name, variables = ENVIRONMENTS[environment]
        EXPANDED[environment] = expand(Path("infra") / f"{name}.bicepparam", variables)
    invariant(EXPANDED[environment])


def test_the_environments_are_what_they_say() -> None:
    """dev is one region in the open, prod is three in closed networks; both keep the keys that they are given."""
    dev, prod = (expand(Path(f"infra/{e}.bicepparam"), {"ROUTER_KEYS": "a:0"}) for e in ("dev", "prod"))
    assert [len(d.of("Microsoft.Web/sites")) for d in (dev, prod)] == [1, 3]
    assert [len(d.of("Microsoft.Network/virtualNetworks")) for d in (dev, prod)] == [0, 3]
    for deployment in (dev, prod):
        assert {c.properties["ROUTER_KEYS"] for c in deployment.of("Microsoft.Web/sites/config")} == {"a:0"}

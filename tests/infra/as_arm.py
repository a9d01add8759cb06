"""Prints what a parameter file would create as one flat ARM template, for checkers that read ARM and not Bicep.
`python -m tests.infra.as_arm infra/prod.bicepparam`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.infra.expand import Deployment, Resource, expand


def template(deployment: Deployment) -> dict[str, Any]:
    """An ARM template of all resources; what only Azure knows stands in it as text."""
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [_entry(resource) for resource in deployment.resources],
    }


def _entry(resource: Resource) -> dict[str, Any]:
    head = {"type": resource.type, "apiVersion": resource.api_version, "name": resource.full_name}
    return head | ({"scope": resource.scope.id} if resource.scope else {}) | resource.body


if __name__ == "__main__":
    environment = {"CLAUDE_ORGANIZATION": "Example", "ALERT_EMAILS": "on-call@example.com"}
    json.dump(template(expand(Path(sys.argv[1]), environment)), sys.stdout, indent=1)

"""The command line: `make deploy`, `make what-if`, the workflow and azd's hook call this."""

from __future__ import annotations

import argparse
import json
import os
import sys

from local.deploy import plan
from local.deploy.execute import execute
from local.deploy.plan import App, NotDeployable, Step

NO_KEYS = (
    "ROUTER_KEYS is not set: this deployment would take every caller's key away.\n"
    "  Set it to NAME:SHA256,NAME:SHA256 (make key NAME=frontend makes one), or to nothing, to start without callers."
)


def main() -> int:
    """Runs or prints the steps that were asked for. Returns the exit status."""
    given = _arguments()
    try:
        if given.action == "regions":
            print(json.dumps(plan.regions_of(given.env)))
            return 0
        steps = _steps(given)
        if given.dry_run:
            print(plan.script(steps))
            return 0
        if plan.changes_settings(steps) and "ROUTER_KEYS" not in os.environ:
            raise NotDeployable(NO_KEYS)
        execute(steps)
    except NotDeployable as e:
        print(e, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local.deploy", description=__doc__)
    parser.add_argument("action", choices=["deploy", "what-if", "publish", "regions"])
    parser.add_argument("--env", default="dev", help="the parameter file: infra/ENV.bicepparam")
    parser.add_argument("--only", default="", help="of a deployment: templates, or one region")
    parser.add_argument("--drain-minutes", type=int, default=plan.DRAIN_MINUTES, help="see docs/operations.md; 0: none")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    return parser.parse_args()


def _steps(given: argparse.Namespace) -> list[Step]:
    if given.action == "what-if":
        return plan.what_if(given.env)
    if given.action == "publish":  # azd has created everything and says in its environment what and where
        return [s for app in _apps_of_azd() for s in plan.publish(os.environ["AZURE_ENV_NAME"][:8], app.region, app)]
    return plan.deploy(given.env, given.only, given.drain_minutes)


def _apps_of_azd() -> list[App]:
    """The output `routerApps` of the templates, which azd puts into the environment of its hooks."""
    outputs = os.environ.get("routerApps")  # noqa: SIM112  an output's name, not ours
    if not outputs:
        raise NotDeployable("routerApps is not set: publish is azd's hook; by hand: make deploy ENV=dev ONLY=eastus")
    return [App(a["region"], a["name"], a["url"]) for a in json.loads(outputs)]


if __name__ == "__main__":
    sys.exit(main())

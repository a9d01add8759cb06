"""Which commands a deployment consists of, in order. Nothing runs here: the dry run prints what this returns.

A command may put its output into a variable (`app`), and later commands may name it (`$app`), as in a shell. So the
dry run is the real thing: the same list, printed instead of run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INFRA = Path("infra")
SMOKE_KEY_NOTE = "with_smoke: $keys and a key made up for this run's smoke test, which has it in ROUTER_SMOKE_KEY"
CDN_API = "2025-12-01"
# Front Door takes minutes to send new requests elsewhere everywhere; streams under way may last minutes more.
DRAIN_MINUTES = 15
REGIONS = re.compile(r"^param regions = \[([^\]]*)\]", re.MULTILINE)


class NotDeployable(Exception):
    """The deployment cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class App:
    """One region's function app: its name, and the address that reaches this region only."""

    region: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `into` names the variable that takes its output, `note` is for who reads the dry run."""

    argv: tuple[str, ...]
    into: str = ""
    note: str = ""
    retry_forbidden: bool = False

    def shown(self) -> str:
        """The command as a line for a shell."""
        line = " ".join(a if shlex.quote(a) == a else f"'{a}'" if '"' in a else f'"{a}"' for a in self.argv)
        return f"{self.into}=$({line})" if self.into else line


def parameter_file(environment: str) -> Path:
    """The parameter file of an environment. Raises NotDeployable where there is none."""
    path = INFRA / f"{environment}.bicepparam"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in INFRA.glob("*.bicepparam") if p.stem != "main"))
        raise NotDeployable(f"ENV={environment}: there is no {path}; there are: {known}")
    return path


def regions_of(environment: str) -> list[str]:
    """The regions of an environment, in the order in which they are published."""
    found = REGIONS.search(parameter_file(environment).read_text(encoding="utf-8"))
    names = re.findall(r"'([a-z0-9]+)'", found[1]) if found else []
    if not names:
        raise NotDeployable(f"{parameter_file(environment)}: expected a line: param regions = ['NAME', ...]")
    return names


def what_if(environment: str) -> list[Step]:
    """Shows what the templates would change, and changes nothing."""
    return [_deployment("what-if", environment)]


def templates(environment: str) -> list[Step]:
    """Creates or updates everything but the code."""
    return [_deployment("create", environment, "--output", "none")]


def publish(environment: str, region: str, app: App | None = None, drain_minutes: int = 0) -> list[Step]:
    """Puts the code into one region and asks it for a stream, without callers' traffic if there is time to drain it.

    A region whose smoke test fails gets none of its traffic back. Without `app` its name is looked up in Azure.
    """
    lookups = [] if app else [_output(environment, region, "name", "app"), _output(environment, region, "url", "url")]
    name, url = (app.name, app.url) if app else ("$app", "$url")
    where = ("--name", name, "--resource-group", f"rg-latency-router-{environment}-{region}")
    settings = ("az", "functionapp", "config", "appsettings")
    query = ("--query", "[?name=='ROUTER_KEYS'].value | [0]", "--output", "tsv")
    set_keys = (*settings, "set", *where, "--output", "none", "--settings")
    func = ("func", "azure", "functionapp", "publish", name, "--python", "--build", "remote")
    drained = [_traffic(environment, region, "Disabled"), Step(("sleep", str(60 * drain_minutes)))]
    return [
        *lookups,
        *(drained if drain_minutes else []),
        Step((*settings, "list", *where, *query), into="keys"),
        Step((*set_keys, "ROUTER_KEYS=$with_smoke"), note=SMOKE_KEY_NOTE),
        Step(func, retry_forbidden=True),
        Step(("python", "-m", "local.deploy.smoke", url)),
        Step((*set_keys, "ROUTER_KEYS=$keys")),
        *([_traffic(environment, region, "Enabled")] if drain_minutes else []),
    ]


def deploy(environment: str, only: str = "", drain_minutes: int = DRAIN_MINUTES) -> list[Step]:
    """The whole deployment, or one part of it: `templates`, or the name of a region.

    Where there are several regions, each is drained for `drain_minutes` before it gets new code; 0: it is not.
    """
    regions = regions_of(environment)
    if only and only not in ("templates", *regions):
        raise NotDeployable(f"ONLY={only}: expected templates or a region: {', '.join(regions)}")
    minutes = drain_minutes if len(regions) > 1 else 0
    parts = {"templates": templates(environment)}
    parts |= {r: publish(environment, r, drain_minutes=minutes) for r in regions}
    return [step for name, steps in parts.items() if only in ("", name) for step in steps]


def changes_settings(steps: Sequence[Step]) -> bool:
    """Whether the steps write all application settings anew, the callers' keys among them."""
    return any(step.argv[:4] == ("az", "deployment", "sub", "create") for step in steps)


def _deployment(verb: str, environment: str, *more: str) -> Step:
    """A deployment of the templates at the scope of the subscription."""
    where = ("--name", f"latency-router-{environment}", "--location", regions_of(environment)[0])
    return Step(("az", "deployment", "sub", verb, *where, "--parameters", str(parameter_file(environment)), *more))


def _traffic(environment: str, region: str, state: str) -> Step:
    """Takes a region out of, or back into, the group of origins that callers reach (infra/modules/origins.bicep)."""
    profile = (
        f"resourceGroups/rg-latency-router-{environment}/providers/Microsoft.Cdn/profiles/afd-router-{environment}"
    )
    origin = f"/subscriptions/{{subscriptionId}}/{profile}/originGroups/everywhere/origins/{region}"
    body = f'{{"properties": {{"enabledState": "{state}"}}}}'
    argv = ("az", "rest", "--method", "patch", "--url", f"{origin}?api-version={CDN_API}", "--body", body)
    return Step((*argv, "--output", "none"))


def _output(environment: str, region: str, key: str, into: str) -> Step:
    """Looks up one value of a region in the outputs of the templates' deployment."""
    query = f"properties.outputs.routerApps.value[?region=='{region}'].{key} | [0]"
    argv = ("az", "deployment", "sub", "show", "--name", f"latency-router-{environment}", "--query", query)
    return Step((*argv, "--output", "tsv"), into=into)


def script(steps: Sequence[Step]) -> str:
    """The steps as lines for a shell."""
    return "\n".join(f"# {step.note}\n{step.shown()}" if step.note else step.shown() for step in steps)

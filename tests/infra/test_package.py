"""What surrounds the templates agrees with the code: settings, timers, the deployed package, workflows, pages."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import subprocess
from pathlib import Path

import pytest

from routing.settings import SETTINGS
from tests.infra.expand import expand

DEPLOYED = {"function_app.py", "host.json", "requirements.txt", "fleet.json", "routing"}
WORKFLOWS = sorted(Path(".github/workflows").glob("*.yml"))


def test_the_sample_of_local_settings_names_what_the_code_reads() -> None:
    values = json.loads(Path("local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
    assert {name for name in values if name.startswith(("ROUTER_", "AZURE_"))} == set(SETTINGS)


def test_the_timer_alert_watches_the_timers_that_run_every_minute() -> None:
    """All but the hourly ones, which a window of fifteen minutes would call dead."""
    tree = ast.parse(Path("function_app.py").read_text(encoding="utf-8"))
    schedules = {
        f.name: next(ast.literal_eval(k.value) for k in d.keywords if k.arg == "schedule")
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for d in f.decorator_list
        if isinstance(d, ast.Call) and ast.unparse(d.func).endswith("timer_trigger")
    }
    watched = re.search(r"timer = dynamic\((\[[^\]]*\])\)", _query("timer-not-run"))
    assert watched
    # second, minute, hour, day, month, day of the week
    assert set(json.loads(watched[1])) == {name for name, times in schedules.items() if times.split()[1] == "*"}


def test_the_alert_on_old_profiles_reads_the_line_that_the_app_writes() -> None:
    """As the call of the logger says it, filled in as the logger does."""
    nodes = [n for file in Path("routing").rglob("*.py") for n in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    lines = [_warning(n) for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == "LOG.warning"]
    (line,) = [text for text in lines if "profiles are" in text]
    wanted = re.search(r'@"([^"]+)"', _query("profiles-old"))
    assert wanted
    found = re.search(wanted[1], line % 301.4)
    assert found
    assert found[1] == "301"


def test_only_what_an_instance_runs_is_deployed() -> None:
    patterns = [
        line for line in Path(".funcignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in top if not any(fnmatch.fnmatch(name, p) for p in patterns)} == DEPLOYED


def test_the_package_holds_nothing_that_the_platform_brings() -> None:
    """The worker brings itself: a copy among the requirements would shadow it."""
    requirements = Path("requirements.txt").read_text(encoding="utf-8")
    assert "azure-functions==" in requirements
    assert not re.search(r"^(azure-functions-runtime|azure-functions-worker|grpcio)\b", requirements, re.MULTILINE)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda w: w.name)
def test_actions_are_pinned_by_commit_and_say_their_version(workflow: Path) -> None:
    uses = re.findall(r"^\s*-? ?uses: (.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    assert [u for u in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", u)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda w: w.name)
def test_workflows_store_no_secret(workflow: Path) -> None:
    assert "secrets." not in workflow.read_text(encoding="utf-8")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda w: w.name)
def test_the_make_targets_that_are_called_exist(workflow: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = set(re.findall(r"run: make ([a-z-]+)", workflow.read_text(encoding="utf-8")))
    assert called
    assert called <= targets


def test_azd_finds_its_template_and_publishes_with_our_program() -> None:
    text = Path("azure.yaml").read_text(encoding="utf-8")
    path, module = (re.search(rf"^  {key}: (\w+)$", text, re.MULTILINE) for key in ("path", "module"))
    assert path
    assert module
    assert all(Path(path[1], f"{module[1]}.{suffix}").is_file() for suffix in ("bicep", "bicepparam"))
    assert text.count("python -m local.deploy publish") == 2


def test_the_workbook_and_its_queries_can_be_read() -> None:
    items = json.loads(Path("infra/workbook.json").read_text(encoding="utf-8"))["items"]
    queries = [i["content"]["query"] for i in items if i["type"] == 3]
    assert len(queries) >= 5
    assert all(re.match(r"(AzureDiagnostics|AzureMetrics|FunctionAppLogs|Usage)\n\| where", q) for q in queries)


def test_the_host_logs_what_alerts_and_workbook_ask_for() -> None:
    """Executions and the router's own line for each request are at Information, in the category Function."""
    levels = json.loads(Path("host.json").read_text(encoding="utf-8"))["logging"]["logLevel"]
    assert levels["Function"] == "Information"


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/platform-limits.md", "infra/README.md"])
def test_links_in_the_pages_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", Path(page).read_text(encoding="utf-8"))
    assert [link for link in links if not (Path(page).parent / link).exists()] == []


def test_every_alert_is_explained() -> None:
    page = Path("docs/operations.md").read_text(encoding="utf-8")
    deployment = expand(Path("infra/prod.bicepparam"))
    alerts = [
        *deployment.of("Microsoft.Insights/scheduledQueryRules"),
        *deployment.of("Microsoft.Insights/metricAlerts"),
    ]
    assert [a.name for a in alerts if f"`{a.name}`" not in page] == []


def _query(alert: str) -> str:
    """The query of an alert as it would be deployed."""
    rules = expand(Path("infra/prod.bicepparam")).of("Microsoft.Insights/scheduledQueryRules")
    (query,) = [r.properties["criteria"]["allOf"][0]["query"] for r in rules if r.name == alert]
    return str(query)


def _warning(call: ast.Call) -> str:
    """What a call of the logger says, with its places to fill in."""
    said = call.args[0]
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""

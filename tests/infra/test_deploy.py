"""The deploy program, run for real against an `az`, a `func` and a `python` that only write down how they are called.

`make infra` gives the recorded command lines to the parser of the released azure-cli; nothing here needs it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from local.deploy import __main__ as command_line
from local.deploy import execute, plan
from tests.infra.expand import Resource, expand, parameters
from tests.infra.functions import SUBSCRIPTION

RECORDED = Path(__file__).parent / "recorded"
FAKE = """#!/bin/sh
{ printf '%s' "${0##*/}"; for a in "$@"; do printf '\\0%s' "$a"; done; echo; } >> "$RECORD"
case "$*" in
  *"].name | [0]"*) echo app-of-$(echo "$*" | grep -o "region=='[a-z]*'" | cut -d"'" -f2) ;;
  *"].url | [0]"*) echo https://router.example/regions/x ;;
  *"appsettings list"*) echo "frontend:aa,smoke:bb" ;;
esac
name="${0##*/}"
if [ -s "$RECORD.fail-$name" ]; then
  echo "$(head -n 1 "$RECORD.fail-$name")"
  sed -i 1d "$RECORD.fail-$name"
  exit 1
fi
"""


class Recorder:
    """The stand-ins for az, func and python, and what they were called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.record = folder / "record"
        for name in ("az", "func", "python"):
            (folder / name).write_text(FAKE)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setenv("RECORD", str(self.record))
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

    def fail(self, name: str, *outputs: str) -> None:
        """The next calls of a program fail, each with one of these outputs."""
        (self.record.parent / f"record.fail-{name}").write_text("".join(f"{o}\n" for o in outputs))

    def note(self, *call: str) -> None:
        """Something that was done without a program."""
        with self.record.open("a") as record:
            record.write("\0".join(call) + "\n")

    @property
    def calls(self) -> list[list[str]]:
        """What was called, in order."""
        return [line.split("\0") for line in self.record.read_text().splitlines()]


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(tmp_path, monkeypatch)


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command line and returns its status."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["local.deploy", *arguments])
        return command_line.main()

    return run


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_deployment_calls_what_is_recorded(
    environment: str, recorder: Recorder, deploy: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To change the record on purpose: put the new lines into recorded/, then `make infra` to have them judged."""
    monkeypatch.setenv("ROUTER_KEYS", "")
    monkeypatch.setattr(
        command_line, "execute", partial(execute.execute, sleep=lambda s: recorder.note("sleep", f"{s:.0f}"))
    )
    assert deploy("what-if", "--env", environment) == 0
    assert deploy("deploy", "--env", environment) == 0
    lines = [re.sub(r"smoke:[0-9a-f]{64}", "smoke:SHA256", shlex.join(call)) for call in recorder.calls]
    assert lines == (RECORDED / f"{environment}.txt").read_text(encoding="utf-8").splitlines()


def test_the_dry_run_prints_the_same_commands_and_runs_none(
    recorder: Recorder, deploy: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy("deploy", "--env", "dev", "--dry-run") == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert not recorder.record.exists()
    recorded = (RECORDED / "dev.txt").read_text(encoding="utf-8").splitlines()[1:]
    words = [re.sub(r"^\w+=\$\((.*)\)$", r"\1", line) for line in printed]
    values = {"$app": "app-of-eastus", "$url": "https://router.example/regions/x"}
    values |= {"$with_smoke": "frontend:aa,smoke:SHA256", "$keys": "frontend:aa"}
    for name, value in values.items():
        words = [w.replace(name, value) for w in words]
    assert [shlex.split(w) for w in words] == [shlex.split(r) for r in recorded]


def test_it_stops_at_the_first_region_whose_smoke_test_fails(
    recorder: Recorder, deploy: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUTER_KEYS", "")
    recorder.fail("python", "smoke test failed")
    assert deploy("deploy", "--env", "prod", "--drain-minutes", "0") == 1
    assert [call[4] for call in recorder.calls if call[0] == "func"] == ["app-of-eastus"]
    assert "local.deploy.smoke" in capsys.readouterr().err


def test_one_region_can_be_published_alone(recorder: Recorder, deploy: Callable[..., int]) -> None:
    assert deploy("deploy", "--env", "prod", "--only", "westus", "--drain-minutes", "0") == 0
    assert [call[4] for call in recorder.calls if call[0] == "func"] == ["app-of-westus"]
    assert not [call for call in recorder.calls if "create" in call]


def test_templates_are_refused_without_a_word_on_the_callers_keys(
    recorder: Recorder, deploy: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The templates write all settings anew: a forgotten variable would lock every caller out."""
    monkeypatch.delenv("ROUTER_KEYS", raising=False)
    assert deploy("deploy", "--env", "dev", "--only", "templates") == 1
    assert "ROUTER_KEYS" in capsys.readouterr().err
    assert not recorder.record.exists()


def test_publishing_is_tried_again_while_roles_spread(recorder: Recorder) -> None:
    recorder.fail("func", "Error: 403 (Forbidden)", "BlobUploadFailedException: This request is not authorized")
    pauses: list[float] = []
    execute.execute(plan.publish("dev", "eastus"), clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [20.0, 20.0]
    assert [call[0] for call in recorder.calls].count("func") == 3


def test_publishing_is_given_up_after_five_minutes(recorder: Recorder) -> None:
    recorder.fail("func", *["Error: 403 (Forbidden)"] * 99)
    now = [0.0]
    with pytest.raises(plan.NotDeployable, match="func azure functionapp publish"):
        execute.execute(
            plan.publish("dev", "eastus"), clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s)
        )
    assert now[0] == 300.0


def test_other_failures_are_not_tried_again(recorder: Recorder) -> None:
    recorder.fail("func", "Error: requirements.txt could not be built")
    with pytest.raises(plan.NotDeployable, match="status 1"):
        execute.execute(plan.publish("dev", "eastus"), clock=lambda: 0.0, sleep=lambda _: pytest.fail("it slept"))


def test_a_region_is_drained_before_and_gets_its_traffic_back_after(recorder: Recorder) -> None:
    """Nothing that restarts the app happens while callers are sent there."""
    steps = plan.publish("prod", "westus", drain_minutes=15)
    execute.execute(steps, sleep=lambda s: recorder.note("sleep", f"{s:.0f}"))
    told = [re.sub(r'.*"(Disabled|Enabled)".*', r"\1", " ".join(c)).split()[0] for c in recorder.calls]
    assert told == ["az", "az", "Disabled", "sleep", "az", "az", "func", "python", "az", "Enabled"]


def test_a_region_whose_smoke_test_fails_stays_drained(recorder: Recorder) -> None:
    recorder.fail("python", "smoke test failed")
    with pytest.raises(plan.NotDeployable):
        execute.execute(plan.publish("prod", "westus", drain_minutes=15), sleep=lambda _: None)
    assert not [call for call in recorder.calls if '"Enabled"' in " ".join(call)]


def test_draining_changes_the_origin_that_the_templates_create() -> None:
    origins = expand(Path("infra/prod.bicepparam")).of("Microsoft.Cdn/profiles/originGroups/origins")
    made = {_long_id(o) for o in origins if o.symbol == "candidates"}
    steps = plan.deploy("prod")
    urls = {a for step in steps if "rest" in step.argv for a in step.argv if a.startswith("/subscriptions/")}
    assert urls == {f"{id_.replace(SUBSCRIPTION, '{subscriptionId}')}?api-version={plan.CDN_API}" for id_ in made}


def _long_id(origin: Resource) -> str:
    """A resource id as Azure writes it: type, name, type, name."""
    head, _, _ = origin.id.partition("/Microsoft.Cdn/")
    kinds = origin.type.split("/")[1:]
    names = origin.full_name.split("/")
    return f"{head}/Microsoft.Cdn/" + "/".join(f"{k}/{n}" for k, n in zip(kinds, names, strict=True))


def test_the_smoke_tests_key_is_put_in_and_taken_out_again() -> None:
    digest = hashlib.sha256(b"k").hexdigest()
    without, with_ = execute.keys_with_and_without("frontend:aa,smoke:bb,batch:cc", "k")
    assert without == "frontend:aa,batch:cc"
    assert with_ == f"frontend:aa,batch:cc,smoke:{digest}"
    assert execute.keys_with_and_without("", "k") == ("", f"smoke:{digest}")


def test_regions_are_those_of_the_parameter_file() -> None:
    """The deploy program reads them by a regular expression, the templates by the language."""
    for environment in ("dev", "prod"):
        assert plan.regions_of(environment) == parameters(Path(f"infra/{environment}.bicepparam"))["regions"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "--env", "staging"], "ENV=staging: there is no infra/staging.bicepparam; there are: dev, prod"),
        (["deploy", "--only", "westus"], "ONLY=westus: expected templates or a region: eastus"),
        (["publish"], "routerApps is not set"),
    ],
)
def test_a_wrong_call_says_what_is_right(
    arguments: list[str], says: str, deploy: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(*arguments) == 1
    assert says in capsys.readouterr().err


def test_azd_publishes_to_the_apps_that_it_created(
    recorder: Recorder, deploy: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = [{"region": "swedencentral", "name": "the-app", "url": "https://host.example/regions/swedencentral"}]
    monkeypatch.setenv("routerApps", json.dumps(apps))
    monkeypatch.setenv("AZURE_ENV_NAME", "trial-and-more")
    assert deploy("publish") == 0
    (listed, _, published, smoked, _) = recorder.calls
    assert listed[listed.index("--resource-group") + 1] == "rg-latency-router-trial-an-swedencentral"
    assert published[4] == "the-app"
    assert smoked[-1] == "https://host.example/regions/swedencentral"

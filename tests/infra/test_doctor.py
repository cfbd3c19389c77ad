"""azure-functions-doctor finds nothing in what is deployed: the package as .funcignore leaves it, the site's settings.

It reads ARM JSON and little of Bicep, so it is shown our settings in that form. What it cannot see at all: whether the
region has the plan, whether the identity's roles have arrived, whether the extension bundle loads.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import REPOSITORY
from tests.infra.bicep import INFRA, read
from tests.infra.test_azd import shipped

# Warnings that say nothing about us.
EXPLAINED: Final = {
    "check_programming_model_v2": "it looks for decorators of a name `app` or `bp`; our blueprints are called `made`",
    "check_app_insights": "it looks in the environment alone; test_settings.py has the setting",
    "check_native_dependency_risk": "it names cryptography; Azure builds the package for its own Linux, as it advises",
}


@pytest.mark.parametrize("plan", ["flex-consumption", "dedicated"])
def test_the_doctor_finds_nothing(tmp_path: Path, plan: str) -> None:
    for name in shipped():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copy(REPOSITORY / ".funcignore", tmp_path)
    (tmp_path / "site.json").write_text(json.dumps(site(plan)), encoding="utf-8")
    results = doctor(tmp_path, plan)
    passed = {one["rule_id"] for one in results if one["status"] == "pass"}
    assert "check_binding_connection_resolution" in passed  # it has seen the settings
    found = {one["rule_id"]: one["value"] for one in results if one["status"] not in ("pass", "skip")}
    assert {rule: text for rule, text in found.items() if rule not in EXPLAINED} == {}


def test_the_doctor_sees_a_connection_without_settings(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "host.json", tmp_path)
    (tmp_path / "function_app.py").write_text(
        "import azure.functions as func\n\napp = func.FunctionApp()\n\n\n"
        '@app.queue_trigger(arg_name="message", queue_name="q", connection="NOWHERE")\n'
        "def take(message: func.QueueMessage) -> None: ...\n",
        encoding="utf-8",
    )
    found = {one["rule_id"]: one["status"] for one in doctor(tmp_path, "flex-consumption")}
    assert found["check_binding_connection_resolution"] == "warn"


def site(plan: str) -> dict[str, Any]:
    """The site as ARM has it, with the settings that Bicep gives it."""
    bicep = read(INFRA / "app.bicep")
    variables = ["ownSettings", "connectionSettings", "hostSettings"]
    variables += [] if plan == "flex-consumption" else ["premiumSettings"]
    settings = [
        {"name": name, "value": (value.text or b"").decode().strip("'")}
        for variable in variables
        for name, value in bicep.properties(bicep.of("var")[variable].body)
    ]
    if plan != "flex-consumption":
        version = bicep.value(bicep.of("var")["premiumSite"].body, "linuxFxVersion")
        return {"sku": {"name": "P1v3"}, "siteConfig": {"linuxFxVersion": version, "appSettings": settings}}
    flex = bicep.of("var")["flex"].body
    storage = {name: bicep.value(flex, "deployment", "storage", name) for name in ("type", "value")}
    identity = {"type": bicep.value(flex, "deployment", "storage", "authentication", "type")}
    runtime = {name: bicep.value(flex, "runtime", name) for name in ("name", "version")}
    storage["value"] = storage["value"].replace("${hostBlobUri}", "https://account.blob.core.windows.net/")
    deployment = {"storage": {**storage, "authentication": {**identity, "userAssignedIdentityResourceId": "id"}}}
    return {
        "sku": {"name": "FC1", "tier": "FlexConsumption"},
        "functionAppConfig": {"runtime": runtime, "deployment": deployment},
        "siteConfig": {"appSettings": settings},
    }


def doctor(directory: Path, plan: str) -> list[dict[str, Any]]:
    program = str(Path(sys.executable).with_name("azure-functions-doctor"))
    command = [program, "doctor", "--path", str(directory), "--format", "json"]
    command += ["--profile", "deploy", "--hosting-plan", plan, "--target-python", "3.13"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return [one for section in json.loads(done.stdout)["results"] for one in section["items"]]

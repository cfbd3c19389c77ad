"""azure.yaml, the hooks, and the package: what `azd up` does with them."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import REPOSITORY
from tests.infra.bicep import INFRA, read

HOOKS: Final = sorted((INFRA / "hooks").iterdir())

# Set by azd for every environment.
OF_AZD: Final = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID"}
# Set by whoever deploys, or not at all.
OF_PEOPLE: Final = {"BIRTHCERT_SECRETS_FILE"}

PACKAGE: Final = {"function_app.py", "functions", "host.json", "profiles.toml", "requirements.txt", "shared"}


def shipped() -> list[str]:
    """Files that git has or would take, less those that .funcignore names: what azd packs in a clean copy."""

    def listed(*arguments: str) -> set[str]:
        command = ["git", "ls-files", "-z", *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
        return {name for name in done.stdout.split("\0") if name and (REPOSITORY / name).is_file()}

    everything = listed("--cached", "--others", "--exclude-standard")
    ignored = listed("--cached", "--ignored", "--exclude-from=.funcignore")
    ignored |= listed("--others", "--ignored", "--exclude-from=.funcignore")
    return sorted(everything - ignored - {".funcignore"})


def test_the_package_is_the_app_alone() -> None:
    assert {Path(name).parts[0] for name in shipped()} == PACKAGE


def test_what_make_leaves_behind_is_not_deployed() -> None:
    """With a .funcignore, azd leaves out nothing by itself: not even an environment or the sandbox's keys."""
    ignored = set((REPOSITORY / ".funcignore").read_text(encoding="utf-8").split("\n"))
    made = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").split()
    assert [name for name in made if name.rstrip("/") not in ignored] == []


def test_azd_finds_the_service_by_its_tag() -> None:
    yaml = (REPOSITORY / "azure.yaml").read_text(encoding="utf-8")
    service = re.search(r"^services:\n  (\w+):", yaml, re.MULTILINE)
    site = read(INFRA / "app.bicep")
    tag = site.value(site.of("module")["site"].body, "params", "tags", "azd-service-name")
    assert service
    assert service[1] == tag


def test_the_hooks_of_azure_yaml_are_there_in_both_shells() -> None:
    yaml = (REPOSITORY / "azure.yaml").read_text(encoding="utf-8")
    named = re.findall(r"run: (\S+)", yaml)
    assert sorted(named) == sorted(str(path.relative_to(REPOSITORY)) for path in HOOKS)
    assert {path.stem for path in HOOKS if path.suffix == ".sh"} == {
        path.stem for path in HOOKS if path.suffix == ".ps1"
    }


def test_hooks_and_second_phase_read_only_what_the_first_phase_puts_out() -> None:
    outputs = set(read(INFRA / "main.bicep").of("output"))
    given = outputs | OF_AZD | OF_PEOPLE
    for path in HOOKS:
        variable = r"\$\{?([A-Z]\w+)" if path.suffix == ".sh" else r"\$env:(\w+)"
        asked = set(re.findall(variable, path.read_text(encoding="utf-8")))
        assert asked <= given, path.name
    second = (INFRA / "subscriptions/main.bicepparam").read_text(encoding="utf-8")
    assert set(re.findall(r"readEnvironmentVariable\('(\w+)'\)", second)) <= outputs
    assert set(re.findall(r"^param (\w+) =", second, re.MULTILINE)) == set(
        read(INFRA / "subscriptions/main.bicep").of("param")
    )


def test_the_first_phase_puts_out_no_client_id() -> None:
    """AZURE_CLIENT_ID in the environment would make setup sign in as the app's identity, which it cannot."""
    assert "AZURE_CLIENT_ID" not in read(INFRA / "main.bicep").of("output")


@pytest.mark.parametrize("path", [path for path in HOOKS if path.suffix == ".sh"], ids=lambda path: path.name)
def test_hooks_are_shell(path: Path) -> None:
    assert subprocess.run(["sh", "-n", path], check=False, timeout=10).returncode == 0
    assert os.access(path, os.X_OK)


@pytest.mark.skipif(not shutil.which("pwsh"), reason="PowerShell is not installed")
@pytest.mark.parametrize("path", [path for path in HOOKS if path.suffix == ".ps1"], ids=lambda path: path.name)
def test_hooks_are_powershell(path: Path) -> None:
    parse = f"[System.Management.Automation.Language.Parser]::ParseFile('{path}', [ref]$null, [ref]$e); exit $e.Count"
    command = ["pwsh", "-NoProfile", "-Command", f"$e = $null; {parse}"]
    assert subprocess.run(command, check=False, timeout=60, capture_output=True).returncode == 0


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Stand-ins for az, sleep and python3 that write down how they were called; az fails as often as it is told."""
    made = tmp_path / "bin"
    made.mkdir()
    scripts = {
        "az": 'echo "az $*" >> "$LOG"; n=$(cat "$FAILS"); [ "$n" -eq 0 ] && exit 0; echo $((n-1)) > "$FAILS"; exit 1',
        "sleep": 'echo "sleep $*" >> "$LOG"',
        "python3": 'echo "python3 $*" >> "$LOG"; exit "${PYTHON_SAYS:-0}"',
    }
    for name, script in scripts.items():
        (made / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (made / name).chmod(0o755)
    return made


def run(hook: str, tools: Path, fails: int = 0, **environment: str) -> tuple[int, list[str]]:
    """The hook's status, and the calls it made; in a folder without an environment."""
    log, left = tools.parent / "log", tools.parent / "fails"
    log.touch()
    left.write_text(str(fails), encoding="utf-8")
    azd = {"AZURE_SUBSCRIPTION_ID": "s", "AZURE_LOCATION": "westeurope", "AZURE_ENV_NAME": "e" * 64}
    azd["AZURE_FUNCTION_APP_NAME"] = "func-abcdefghijklm"
    done = subprocess.run(
        ["sh", INFRA / "hooks" / hook],
        cwd=tools.parent,
        env={"PATH": f"{tools}:/usr/bin:/bin", "LOG": str(log), "FAILS": str(left), **azd, **environment},
        check=False,
        timeout=30,
        capture_output=True,
    )
    return done.returncode, log.read_text(encoding="utf-8").splitlines()


def test_after_the_code_come_the_subscriptions_and_then_the_setup(tools: Path) -> None:
    status, calls = run("postdeploy.sh", tools)
    assert status == 0
    assert [call.split(" --")[0] for call in calls] == ["az deployment sub create", "python3 -m infra.setup"]


def test_the_name_of_the_second_phase_fits_whatever_the_environment_is_called(tools: Path) -> None:
    """Azure Resource Manager takes 64 characters for a deployment, and azd as many for an environment."""
    _, calls = run("postdeploy.sh", tools)
    name = re.search(r"--name (\S+)", calls[0])
    assert name
    assert len(name[1]) <= 64
    in_powershell = (INFRA / "hooks" / "postdeploy.ps1").read_text(encoding="utf-8")
    assert '--name "birthcert-$env:AZURE_FUNCTION_APP_NAME"' in in_powershell


def test_the_subscriptions_are_tried_again_until_azure_lists_the_functions(tools: Path) -> None:
    status, calls = run("postdeploy.sh", tools, fails=2)
    assert status == 0
    assert [call.split()[0] for call in calls] == ["az", "sleep", "az", "sleep", "az", "python3"]


def test_without_subscriptions_the_deployment_fails_and_says_so(tools: Path) -> None:
    status, calls = run("postdeploy.sh", tools, fails=99)
    assert status == 1
    assert [call.split()[0] for call in calls].count("az") == 5
    assert not [call for call in calls if "infra.setup" in call]


def test_secrets_come_from_the_file_that_is_named(tools: Path) -> None:
    _, calls = run("postdeploy.sh", tools, BIRTHCERT_SECRETS_FILE="my secrets.toml")
    assert calls[-1] == "python3 -m infra.setup --secrets my secrets.toml"


@pytest.mark.parametrize("hook", ["predeploy.sh", "postdeploy.sh"])
def test_what_python_refuses_stops_the_deployment(tools: Path, hook: str) -> None:
    assert run(hook, tools, PYTHON_SAYS="1")[0] == 1

"""How the command ends without Azure: wrong usage, profiles that are not in order, nobody signed in."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

NEEDED = {
    "PATH": os.environ["PATH"],
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-4000-8000-000000000000",
    "AZURE_RESOURCE_GROUP": "group",
    "AZURE_DPS_NAME": "dps",
    "AZURE_FUNCTION_APP_NAME": "app",
    "KEY_VAULT_URL": "https://vault.vault.azure.net",
    "IOT_HUBS": "hub-1=hub-1.azure-devices.net",
}


def setup(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "infra.setup", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_the_names_of_a_deployment_the_usage_is_shown() -> None:
    done = setup({"PATH": NEEDED["PATH"]})
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m infra.setup" in done.stderr
    assert "--dps is missing, and AZURE_DPS_NAME is not set" in done.stderr


def test_profiles_that_are_not_in_order_are_refused_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('default_profile = "devices"\n[profiles.devices]\nhubs = ["hub-9"]\n')
    done = setup(NEEDED, "--profiles", str(tmp_path / "profiles.toml"))
    assert done.returncode == 1
    assert "profiles.devices.hubs: 'hub-9' is not one of hub-1" in done.stderr
    assert "Mend them" in done.stderr


def test_who_is_not_signed_in_is_told_how() -> None:
    """Only the CLIs are asked, and they are not there: the test must not wait for a machine's identity service."""
    done = setup(NEEDED | {"AZURE_TOKEN_CREDENTIALS": "azureclicredential", "PATH": "/nowhere"})
    assert done.returncode == 1, done.stderr
    assert "refused: Azure does not know who wants to" in done.stderr
    assert "az login" in done.stderr
    assert "Traceback" not in done.stderr

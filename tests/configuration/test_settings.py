"""The app settings: read at first use, all problems at once, and by the same words at the terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.core.errors import Misconfigured
from shared.settings import Settings
from tests.conftest import REPOSITORY

GOOD = {
    "KEY_VAULT_URL": "https://vault.vault.azure.net/",
    "STORAGE__tableServiceUri": "https://account.table.core.windows.net",
    "STORAGE__queueServiceUri": "https://account.queue.core.windows.net",
    "STORAGE__blobServiceUri": "https://account.blob.core.windows.net",
    "EVENT_TOPIC_URL": "https://topic.westeurope-1.eventgrid.azure.net/api/events",
    "DPS_HOST": "dps.azure-devices-provisioning.net",
    "IOT_HUBS": "hub-1=hub-1.azure-devices.net, hub-2=hub-2.azure-devices.net",
}


def test_good_settings_become_values() -> None:
    settings = Settings.from_environment(GOOD)
    assert settings.key_vault_url == "https://vault.vault.azure.net"
    assert settings.hub_hosts == {"hub-1": "hub-1.azure-devices.net", "hub-2": "hub-2.azure-devices.net"}
    assert settings.profiles_path == REPOSITORY / "profiles.toml"


def test_without_a_word_about_the_front_end_no_client_certificate_header_is_trusted() -> None:
    assert Settings.from_environment(GOOD).client_certificate_header == ""


def test_batches_have_a_pace_and_a_size_of_their_own() -> None:
    usual = Settings.from_environment(GOOD)
    assert (usual.batch_rows_per_minute, usual.batch_megabytes) == (120, 1024)
    wider = Settings.from_environment({**GOOD, "BATCH_ROWS_PER_MINUTE": " 6000 ", "BATCH_MEGABYTES": "2048"})
    assert (wider.batch_rows_per_minute, wider.batch_megabytes) == (6_000, 2_048)
    assert wider.blob_uri == "https://account.blob.core.windows.net"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_each_missing_setting_is_named(name: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment({key: value for key, value in GOOD.items() if key != name})
    assert refused.value.cause.startswith(f"{name}: ")
    assert name not in refused.value.public


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY_VAULT_URL", "http://vault"),
        ("DPS_HOST", "https://dps.example"),
        ("IOT_HUBS", "hub-1"),
        ("IOT_HUBS", "hub-1=https://hub-1.example"),
        ("FRONT_END_SECRET_NAME", "front-end"),
        ("NUDGES_PER_MINUTE", "0"),
        ("NUDGES_PER_MINUTE", "many"),
        ("STORAGE__blobServiceUri", "http://account.blob.core.windows.net"),
        ("BATCH_ROWS_PER_MINUTE", "0"),
        ("BATCH_ROWS_PER_MINUTE", "1000000"),
        ("BATCH_MEGABYTES", "1.5"),
    ],
)
def test_each_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment({**GOOD, name: value})
    assert name in refused.value.cause


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment({})
    assert len(refused.value.cause.splitlines()) == len(GOOD)


def check(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "shared.settings"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_command_says_that_all_is_well() -> None:
    done = check(GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the profiles devices" in done.stdout


def test_the_command_lists_the_problems_and_fails(tmp_path: Path) -> None:
    assert check({}).returncode == 1
    done = check({**GOOD, "PROFILES_PATH": str(tmp_path / "profiles.toml")})
    assert done.returncode == 1
    assert "profiles.toml" in done.stderr

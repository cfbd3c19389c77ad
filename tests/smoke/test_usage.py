"""How the command ends without a deployment: what it is told, and what it wants to be told."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.setup.arguments import DEFAULT_PROFILES
from infra.smoke import credentials, upstream
from infra.smoke.arguments import GLOBAL_DPS, HEADER, parse
from infra.smoke.credentials import Credentials, Unusable
from sandbox import pki, ports
from sandbox.profiles import profiles
from tests.conftest import REPOSITORY
from tests.setup.making import HIERARCHY, NOW

AZD = {"AZURE_FUNCTION_APP_URL": "https://app.azurewebsites.net", "DPS_ID_SCOPE": "0ne1", "DPS_HOST": "dps.example"}
CANARY = "canary-of-a-secret"
LONE = pki.certificate_pem(HIERARCHY.root.certificate)


def smoke(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", "-m", "infra.smoke", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_after_azd_no_name_has_to_be_given() -> None:
    options = parse([], AZD)
    assert (str(options.server), options.label, options.id_scope) == ("app.azurewebsites.net", "", "0ne1")
    assert (str(options.dps_endpoint), options.dps_service) == (GLOBAL_DPS, "dps.example")
    assert (options.header, options.enroll, options.report) == (HEADER, True, None)
    assert options.profiles == DEFAULT_PROFILES


def test_an_argument_goes_before_the_environment() -> None:
    given = ["--host", "est.me:8443", "--id-scope", "0ne2", "--dps-service", "", "--header", "Client-Cert"]
    options = parse(given, AZD | {"BIRTHCERT_CLIENT_CERTIFICATE_HEADER": "X-Other"})
    assert (str(options.server), options.server.port, options.id_scope) == ("est.me:8443", 8443, "0ne2")
    assert (options.dps_service, options.header) == ("", "Client-Cert")
    assert parse([], AZD | {"BIRTHCERT_CLIENT_CERTIFICATE_HEADER": "X-Other"}).header == "X-Other"
    assert parse(["--no-dps"], AZD).id_scope == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--host is missing, and AZURE_FUNCTION_APP_URL is not set"),
        (["--host", "a.b"], "--id-scope is missing, and DPS_ID_SCOPE is not set"),
        (["--host", "a.b/c", "--no-enroll"], "is no HOST or HOST:PORT"),
        (["--host", "a.b:x", "--no-enroll"], "invalid literal"),
        (["--host", "a.b", "--no-enroll", "--label", "cacerts"], "'cacerts' cannot be a label"),
        (["--host", "a.b", "--no-enroll", "--ca", "/nowhere"], "there is no file /nowhere"),
        (["--host", "a.b", "--no-enroll", "--wait", "0"], "1 second or more"),
        (["--host", "a.b", "--no-dps", "--bootstrap", "-", "--function-key", "-"], "holds one credential"),
        (["--function-key-value", CANARY], "unrecognized arguments"),
    ],
)
def test_a_wrong_usage_ends_with_status_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "--function-key FILE or BIRTHCERT_FUNCTION_KEY"),
        ({"BIRTHCERT_FUNCTION_KEY": "k"}, "--bootstrap FILE or BIRTHCERT_BOOTSTRAP"),
        ({"BIRTHCERT_FUNCTION_KEY": "k", "BIRTHCERT_BOOTSTRAP": CANARY}, "neither user:password nor"),
        ({"BIRTHCERT_FUNCTION_KEY": "k", "BIRTHCERT_BOOTSTRAP": LONE}, "of no use"),
    ],
)
def test_a_credential_that_is_missing_or_none_is_told_by_its_name(environment: dict[str, str], said: str) -> None:
    with pytest.raises(Unusable, match=said) as told:
        credentials.read(parse([], AZD), environment)
    assert CANARY not in str(told.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for file, said in (("empty", "is empty"), ("nothing", "FileNotFoundError")):
        with pytest.raises(Unusable, match=said):
            credentials.read(parse(["--function-key", str(tmp_path / file)], AZD), {})


def test_the_command_ends_with_2_before_anything_is_tried() -> None:
    done = smoke({"PATH": "/nowhere", **AZD, "BIRTHCERT_FUNCTION_KEY": CANARY})
    assert (done.returncode, done.stdout) == (2, "")
    assert "--bootstrap FILE" in done.stderr
    assert CANARY not in done.stderr


def test_credentials_come_from_files_standard_input_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}\n")
    options = parse(["--function-key", str(tmp_path / "key")], AZD)
    given = credentials.read(options, {"BIRTHCERT_BOOTSTRAP": "a:b", "BIRTHCERT_FUNCTION_KEY": "other"})
    assert (given.function_key, given.bootstrap, given.is_certificate) == (CANARY, "a:b", False)
    assert CANARY not in repr(given)


def test_a_factory_certificate_names_its_device_or_is_told_to() -> None:
    leaf = pki.issue_leaf(HIERARCHY.ica, "press-7", HIERARCHY.ica.certificate.public_key(), NOW)
    assert Credentials(bootstrap=pki.certificate_pem(leaf)).named() == "press-7"
    with pytest.raises(Unusable, match="say --device"):
        Credentials(bootstrap=pki.certificate_pem(HIERARCHY.ica.certificate)).named()


def test_digicert_one_is_asked_where_the_profiles_say(tmp_path: Path) -> None:
    given = Credentials(digicert_key=CANARY)
    platform = upstream.platform(parse([], AZD), given)
    assert platform is not None
    assert platform.est is not None
    assert (str(platform.rest), str(platform.est[0])) == ("one.digicert.com", "one.digicert.com")
    assert platform.est[1].startswith("/.well-known/est/IOT_")
    assert CANARY not in repr(platform)
    assert upstream.platform(parse([], AZD), Credentials()) is None
    for file, label, said in (
        (DEFAULT_PROFILES, "other", "has no label other"),
        (tmp_path / "none.toml", "", "cannot be read"),
    ):
        options = parse(["--profiles", str(file), "--label", label], AZD)
        with pytest.raises(Unusable, match=said):
            upstream.platform(options, given)
    (tmp_path / "bad.toml").write_text('default_profile = "a"\n[profiles.a]\nhubs = ["h"]\n')
    with pytest.raises(Unusable, match="not in order"):
        upstream.platform(parse(["--profiles", str(tmp_path / "bad.toml")], AZD), given)


def test_a_label_of_the_rest_interface_has_no_est_to_ask(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(profiles())
    (tmp_path / "factory-ca.pem").write_text(pki.certificate_pem(pki.factory_authority().certificate))
    options = parse(["--profiles", str(tmp_path / "profiles.toml"), "--label", "rest"], AZD)
    platform = upstream.platform(options, Credentials(digicert_key=CANARY))
    assert platform is not None
    assert (platform.est, str(platform.rest)) == (None, ports.DIGICERT_HOST)

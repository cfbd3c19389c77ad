"""`python -m tools.aziot_config`: what it prints is TOML that Azure's client takes, key by key."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.pages import PAGES, Block, blocks
from tests.tools.super_config import file, problems
from tools.aziot_config import Bootstrap, Passcode, Wanted, config, file_uri, main, read_passcode


def made(credential: Bootstrap | Passcode, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    wanted = Wanted("https://est.example/.well-known/est/devices", "dev-1", "0ne00AB12CD", credential, **changes)
    return tomllib.loads(config(wanted))


BOOTSTRAP = Bootstrap("file:///var/secrets/factory.pem", "file:///var/secrets/factory.key.pem")
WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "provisioning.id_scope: is missing": lambda content: content["provisioning"].pop("id_scope"),
    "provisioning.scope: is not known": lambda content: content["provisioning"].update(scope="0ne"),
    "provisioning.attestation.method: 'tpm'": lambda content: content["provisioning"]["attestation"].update(
        method="tpm"
    ),
    "cert_issuance.est.identity_auto_renew.retry: '4'": lambda content: content["cert_issuance"]["est"][
        "identity_auto_renew"
    ].update(retry="4"),
}


@pytest.mark.parametrize(
    "credential", [BOOTSTRAP, Bootstrap(BOOTSTRAP.certificate, "pkcs11:object=key"), Passcode("device", "x")]
)
@pytest.mark.parametrize("trusted", [(), ("file:///etc/ssl/est-root.pem", "file:///etc/ssl/next.pem")])
def test_the_client_takes_every_key(credential: Bootstrap | Passcode, trusted: tuple[str, ...]) -> None:
    assert problems(made(credential, trusted=trusted)) == []


@pytest.mark.parametrize("problem", WRONG)
def test_a_key_that_the_client_would_not_take_is_found(problem: str) -> None:
    content = made(BOOTSTRAP)
    WRONG[problem](content)
    assert problems(content) == [problem]


def test_both_certificates_renew_themselves() -> None:
    content = made(BOOTSTRAP)
    renewal = {"rotate_key": True, "threshold": "80%", "retry": "4%"}
    assert content["provisioning"]["attestation"]["identity_cert"]["auto_renew"] == renewal
    assert content["cert_issuance"]["est"]["identity_auto_renew"] == renewal


def test_a_passcode_needs_no_table_for_an_est_identity() -> None:
    assert "cert_issuance" not in made(Passcode("device", "x"))


@given(st.text(), st.text(min_size=1))
def test_any_passcode_is_read_as_it_was(user: str, password: str) -> None:
    identity = made(Passcode(user, password))["provisioning"]["attestation"]["identity_cert"]
    assert (identity["username"], identity["password"]) == (user, password)


@given(st.lists(st.text(st.characters(exclude_characters="/", exclude_categories=["C"]), min_size=1), min_size=1))
def test_any_path_is_found_again(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    uri = made(Bootstrap(file_uri("x", path), file_uri("x", path)))["provisioning"]["attestation"]["identity_cert"]
    assert file(uri["bootstrap_identity_cert"])
    # pathlib leaves out what changes nothing: `/./` and a doubled slash.
    assert unquote(urlsplit(uri["bootstrap_identity_cert"]).path) == str(Path(path))


GOOD: Final = {
    "--host": "est.example",
    "--label": "devices",
    "--registration-id": "dev-1",
    "--id-scope": "0ne00AB12CD",
    "--bootstrap-certificate": "/var/secrets/factory.pem",
    "--bootstrap-key": "/var/secrets/factory.key.pem",
}


def run(**changes: str | None) -> int:
    options = {**GOOD, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return main([part for name, value in options.items() if value is not None for part in (name, value)])


def test_the_command_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(trusted_ca="/etc/ssl/est root.pem") == 0
    content = tomllib.loads(capsys.readouterr().out)
    assert problems(content) == []
    identity = content["provisioning"]["attestation"]["identity_cert"]
    assert identity["url"] == "https://est.example/.well-known/est/devices"
    assert content["cert_issuance"]["est"]["trusted_certs"] == ["file:///etc/ssl/est%20root.pem"]


def test_without_a_label_the_default_profile_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(label=None) == 0
    assert 'url = "https://est.example/.well-known/est"\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "https://est.example"),
        ("host", "est.example/path"),
        ("label", "../est"),
        ("registration_id", "dev 1"),
        ("registration_id", "x" * 65),
        ("id_scope", 'a"b'),
        ("bootstrap_certificate", "factory.pem"),
        ("bootstrap_certificate", "pkcs11:object=certificate"),
        ("bootstrap_key", "/a\nb"),
        ("trusted_ca", "root.pem"),
        ("global_endpoint", "http://dps.example"),
    ],
)
def test_what_the_client_could_not_use_is_refused_by_its_option(
    capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    assert run(**{name: value}) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"--{name.replace('_', '-')}: ")
    assert told.out == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"bootstrap_key": None},
        {"bootstrap_certificate": None},
        {"bootstrap_certificate": None, "bootstrap_key": None},
        {"passcode_file": "x"},
        {"bootstrap_key": None, "passcode_file": "x"},
    ],
)
def test_one_way_to_prove_who_asks_must_be_named(
    capsys: pytest.CaptureFixture[str], changes: dict[str, str | None]
) -> None:
    assert run(**changes) == 2
    assert "or --passcode-file alone" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["device:a:b", "device:a:b\n", "device:a:b\r\n"])
def test_the_password_is_all_after_the_first_colon(tmp_path: Path, content: str) -> None:
    (tmp_path / "passcode").write_bytes(content.encode())
    assert read_passcode(tmp_path / "passcode") == Passcode("device", "a:b")


@pytest.mark.parametrize("content", [b"", b"device", b"device:", b"device:a\nb", b"device:\xff"])
def test_a_file_that_holds_no_passcode_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "passcode").write_bytes(content)
    assert run(bootstrap_certificate=None, bootstrap_key=None, passcode_file=str(tmp_path / "passcode")) == 2
    assert capsys.readouterr().err.startswith("--passcode-file: ")


EXAMPLES = [one for page in PAGES for one in blocks(page, "toml") if "aziot-config" in one.marks]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda one: one.name)
def test_the_client_takes_every_example_of_the_documents(block: Block) -> None:
    assert problems(tomllib.loads(block.text)) == []


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_a_password_is_in_no_repr() -> None:
    assert "secret" not in repr(Passcode("device", "secret"))

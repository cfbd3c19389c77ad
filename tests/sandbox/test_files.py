import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from sandbox import files, pki
from sandbox.credentials import Credentials, new_credentials
from sandbox.files import Authorities
from sandbox.world import new_world


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return new_credentials(new_world())


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    world = new_world()
    return Authorities(pki.tls_root(), pki.issuing_hierarchy(world.clock.now()), pki.factory_authority())


@pytest.fixture
def folder(tmp_path: Path, authorities: Authorities, credentials: Credentials) -> Path:
    folder = tmp_path / ".sandbox"
    files.clear(folder)
    files.write(folder, authorities, credentials)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_all_in_it_are_for_this_user_alone_whatever_the_umask(
    tmp_path: Path, authorities: Authorities, credentials: Credentials
) -> None:
    folder = tmp_path / ".sandbox"
    before = os.umask(0)
    try:
        files.clear(folder)
        files.write(folder, authorities, credentials)
        files.write_server(folder, *pki.server_certificate(authorities.tls))
    finally:
        os.umask(before)
    modes = {path.relative_to(folder): mode(path) for path in folder.rglob("*")}
    assert mode(folder) == 0o700
    assert {value for path, value in modes.items() if (folder / path).is_file()} == {0o600}
    assert {value for path, value in modes.items() if (folder / path).is_dir()} == {0o700}


def test_a_new_start_leaves_nothing_of_the_old_one(folder: Path) -> None:
    (folder / "logs" / "host.log").write_text("old")
    files.clear(folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["factory", "logs"]


def test_the_certificates_are_those_of_their_authorities(folder: Path, authorities: Authorities) -> None:
    def held(name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((folder / name).read_bytes())

    assert held("tls-root.pem") == authorities.tls.certificate
    assert held("root.pem") == authorities.issuing.root.certificate
    assert held("ica.pem") == authorities.issuing.ica.certificate
    assert held("factory-ca.pem") == authorities.factory.certificate
    issuer = pki.load_authority((folder / "factory-ca.pem").read_bytes(), (folder / "factory/ca.key").read_bytes())
    assert issuer.key.public_key() == issuer.certificate.public_key()


def test_only_the_factory_key_is_on_the_disk(folder: Path) -> None:
    holders = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and has_key(path)]
    assert holders == [Path("factory/ca.key")]


def has_key(path: Path) -> bool:
    return "PRIVATE KEY" in path.read_text()


def test_a_shell_that_sources_env_has_the_very_environment(folder: Path, credentials: Credentials) -> None:
    names = files.environment(folder, credentials)
    script = "set -a; . ./env; env -0"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=folder, env={}, capture_output=True, text=True, check=True)
    sourced = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert {name: sourced.get(name) for name in names} == names


def test_env_names_the_two_hubs_and_storage_by_identity(folder: Path, credentials: Credentials) -> None:
    names = files.environment(folder, credentials)
    assert names["IOT_HUBS"] == "hub-a=localhost:9445,hub-b=127.0.0.1:9445"
    assert names["STORAGE__tableServiceUri"] == "https://127.0.0.1:10002/devstoreaccount1"
    assert Path(names["SSL_CERT_FILE"]).is_absolute()
    assert Path(names["SSL_CERT_FILE"]).read_text() == (folder / "tls-root.pem").read_text()
    assert not any("key" in name.lower() and "vault" not in name.lower() for name in names)


def test_the_env_file_holds_no_credential_but_the_platforms_own(folder: Path, credentials: Credentials) -> None:
    text = (folder / "env").read_text()
    assert text.count(credentials.canary) == 1
    assert f"IDENTITY_HEADER={credentials.identity_header}\n" in text


def test_every_secret_that_a_profile_names_is_in_key_vault_and_every_anchor_in_the_folder(
    folder: Path, credentials: Credentials
) -> None:
    named: set[str] = set()
    anchors: set[str] = set()

    def walk(table: dict[str, object]) -> None:
        for name, value in table.items():
            if isinstance(value, dict):
                walk(value)
            elif name == "secret" or name.endswith("_secret"):
                named.add(str(value))
            elif name == "anchors":
                anchors.update(value if isinstance(value, list) else ())

    walk(tomllib.loads((folder / "profiles.toml").read_text()))
    held = files.key_vault_secrets(credentials)
    assert named <= held.keys()
    assert len(named) == 4
    assert anchors == {"factory-ca.pem"}
    assert (folder / "factory-ca.pem").is_file()


def test_the_profiles_differ_only_where_they_mean_to(folder: Path) -> None:
    content = tomllib.loads((folder / "profiles.toml").read_text())
    profiles = content["profiles"]
    assert content["default_profile"] == "est"
    assert set(profiles) == {"est", "rest", "unwrapped", "individual", "factory"}

    def unlike(name: str) -> set[str]:
        return {key for key in profiles["est"] | profiles[name] if profiles["est"].get(key) != profiles[name].get(key)}

    assert unlike("rest") == {"upstream", "ca", "renewal"}
    assert unlike("unwrapped") == {"upstream", "base64_lines", "deleted_devices"}
    assert unlike("individual") == {"dps"}
    assert unlike("factory") == {"unknown_devices", "authentication"}
    assert profiles["factory"]["unknown_devices"] == "manifest"
    assert profiles["factory"]["authentication"]["one_time_passcodes"] is True
    assert profiles["individual"]["dps"] == {"mode": "individual"}
    assert profiles["unwrapped"]["upstream"]["client_certificate_secret"] == "digicert-client"
    assert "passcode_secret" not in profiles["unwrapped"]["upstream"]

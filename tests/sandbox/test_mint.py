"""Factory certificates for devices, good ones and two kinds of bad ones."""

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox import pki
from sandbox.mint import MintError, main, mint
from sandbox.world import new_world


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What `make up` leaves behind."""
    factory = pki.factory_authority()
    folder = tmp_path / ".sandbox"
    (folder / "factory").mkdir(parents=True)
    (folder / "factory-ca.pem").write_text(pki.certificate_pem(factory.certificate))
    (folder / "factory" / "ca.key").write_text(pki.key_pem(factory.key))
    return folder


def factory_of(state: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((state / "factory-ca.pem").read_bytes())


def test_certificate_and_key_belong_together_and_openssl_trusts_them(state: Path, tmp_path: Path) -> None:
    certificate_path, key_path = mint(state, "dev-1", tmp_path / "out")
    assert (certificate_path.name, key_path.name) == ("dev-1.pem", "dev-1.key")
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    assert certificate.public_key() == load_pem_private_key(key_path.read_bytes(), None).public_key()
    assert key_path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert certificate.subject == pki.common_name("dev-1")
    verify = ["openssl", "verify", "-purpose", "sslclient", "-x509_strict", "-CAfile", str(state / "factory-ca.pem")]
    subprocess.run([*verify, certificate_path], check=True, capture_output=True)


def test_the_key_is_for_its_owner_alone_also_when_it_replaces_a_file(state: Path, tmp_path: Path) -> None:
    (tmp_path / "dev-1.key").write_text("old")
    (tmp_path / "dev-1.key").chmod(0o644)
    _, key_path = mint(state, "dev-1", tmp_path)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert "old" not in key_path.read_text()


def test_a_rogue_certificate_bears_the_right_issuer_and_the_wrong_signature(state: Path, tmp_path: Path) -> None:
    certificate_path, _ = mint(state, "dev-1", tmp_path, rogue=True)
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    assert certificate.issuer == factory_of(state).subject
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(factory_of(state))


def test_an_expired_certificate_ended_yesterday_and_is_else_good(state: Path, tmp_path: Path) -> None:
    certificate_path, _ = mint(state, "dev-1", tmp_path, expired=True)
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    assert (new_world().clock.now() - certificate.not_valid_after_utc).days == 1
    certificate.verify_directly_issued_by(factory_of(state))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "-x", "a\n", "a b", "ü", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(name: str, state: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MintError, match="no good as a file name") as refusal:
        mint(state, name, out)
    assert "\n" not in str(refusal.value)
    assert not out.exists()


def test_before_the_first_start_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--cn", "dev-1", "--out", "."]) == 1
    assert capsys.readouterr().err == "there is no factory CA yet: start the sandbox once (make up)\n"


def test_the_command_writes_both_files(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(state.parent)
    assert main(["--cn", "dev-1", "--out", "here", "--rogue"]) == 0
    assert capsys.readouterr().out.splitlines() == ["here/dev-1.pem", "here/dev-1.key"]
    with pytest.raises(SystemExit):
        main(["--cn", "dev-1", "--out", "here", "--rogue", "--expired"])

"""strongSwan's `pki --est` and `--estca`: a strict, minimal client; before 5.9.11 it reads base64 in one line only."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.conftest import Running

pytestmark = pytest.mark.skipif(
    shutil.which("pki") is None, reason="strongSwan's pki is not installed (Debian: strongswan-pki)"
)

# pki knows no labels: it appends /.well-known/est/OPERATION to the URL, so the label stands before that.
URLS = ["/.well-known/est/unwrapped", "/unwrapped"]


def pki(*arguments: str | Path) -> bytes:
    done = subprocess.run(["pki", *map(str, arguments)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=30, check=True)


@pytest.mark.parametrize("path", URLS)
def test_it_fetches_the_ca_certificates(sandbox: Running, tmp_path: Path, path: str) -> None:
    pki(
        *("--estca", "--url", f"{sandbox.edge}{path}", "--cacert", sandbox.tls_root),
        *("--caout", tmp_path / "ca.pem", "--outform", "pem", "--force"),
    )
    root, issuing = ((tmp_path / name).read_bytes() for name in ("ca.pem", "ca-1.pem"))
    assert x509.load_pem_x509_certificate(root) == x509.load_pem_x509_certificate(
        (sandbox.state / "root.pem").read_bytes()
    )
    assert x509.load_pem_x509_certificate(issuing) == x509.load_pem_x509_certificate(
        (sandbox.state / "ica.pem").read_bytes()
    )


@pytest.mark.parametrize("path", URLS)
def test_it_enrolls_with_a_passcode_and_renews_with_the_certificate(
    sandbox: Running, tmp_path: Path, path: str
) -> None:
    name = f"strongswan{len(path)}"
    key, request = tmp_path / "device.key", tmp_path / "device.p10"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-outform", "der", "-out", request)
    common = (
        *("--est", "--url", f"{sandbox.edge}{path}", "--in", request, "--outform", "pem"),
        *("--cacert", sandbox.tls_root, "--cacert", sandbox.state / "ica.pem", "--cacert", sandbox.state / "root.pem"),
    )
    first = x509.load_pem_x509_certificate(pki(*common, "--userpass", sandbox.passcode))
    (tmp_path / "first.pem").write_bytes(first.public_bytes(Encoding.PEM))
    second = x509.load_pem_x509_certificate(pki(*common, "--cert", tmp_path / "first.pem", "--key", key))
    assert first.subject == second.subject
    assert first.public_key() == second.public_key()
    assert first.serial_number != second.serial_number

"""strongSwan's `pki --scep` and `--scepca` against the stand-in for DigiCert ONE.

Over plain HTTP: its HTTP client, libcurl, trusts what this machine trusts and can be told nothing else.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device
from sandbox.births import scep, tool
from sandbox.births.given import Given
from sandbox.device import Identity
from tests.conftest import Running

pytestmark = pytest.mark.skipif(bool(scep.missing()), reason=scep.missing())


@dataclass(frozen=True)
class Client:
    """A factory's computer with the certificates of the CA."""

    given: Given
    folder: Path

    def request(self, name: str, *arguments: str | Path) -> tuple[Identity | None, str]:
        """What comes of a request for a new key: the certificate, or what pki says."""
        key = device.new_key()
        path = self.folder / f"{name}.key"
        path.unlink(missing_ok=True)
        tool.write_key(path, key)
        command = [
            *("pki", "--scep", "--url", self.given.scep_url, "--in", path, "--dn", f"CN={name}", "--outform", "pem"),
            *("--cacert-enc", self.folder / "ca-ra.pem", "--cacert-sig", self.folder / "ca-ra.pem"),
            *("--cacert", self.folder / "ca.pem", "--cacert", self.folder / "ca-1.pem", *arguments),
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            return None, done.stderr
        return Identity(key, (x509.load_pem_x509_certificate(done.stdout.encode()),)), ""

    def enroll(self, name: str) -> Identity:
        born, said = self.request(name, "--password", self.given.scep_password)
        assert born is not None, said
        return born

    def renew(self, old: Identity, name: str = "") -> tuple[Identity | None, str]:
        """A RenewalReq, signed with the old key."""
        certificate, key = self.folder / "old.pem", self.folder / "old.key"
        certificate.write_bytes(old.leaf.public_bytes(Encoding.PEM))
        key.unlink(missing_ok=True)
        tool.write_key(key, old.key)
        return self.request(name or old.name, "--cert", certificate, "--key", key)


@pytest.fixture
def client(sandbox: Running, tmp_path: Path) -> Client:
    given = Given.read(sandbox.state)
    scep.authorities(tmp_path, given.scep_url, sandbox.state / "root.pem")
    return Client(given, tmp_path)


def test_it_tells_the_root_the_issuing_ca_and_the_ra_apart(sandbox: Running, client: Client) -> None:
    root, issuing, ra = (
        x509.load_pem_x509_certificate((client.folder / name).read_bytes())
        for name in ("ca.pem", "ca-1.pem", "ca-ra.pem")
    )
    assert issuing == x509.load_pem_x509_certificate((sandbox.state / "ica.pem").read_bytes())
    issuing.verify_directly_issued_by(root)
    ra.verify_directly_issued_by(issuing)


def test_it_enrolls_with_the_challenge_password(client: Client) -> None:
    born = client.enroll("scep-born")
    assert born.leaf.public_key() == born.key.public_key()
    assert born.name == "scep-born"


def test_without_the_right_challenge_password_there_is_no_certificate(client: Client) -> None:
    for password in ([], ["--password", "wrong"]):
        born, said = client.request("scep-refused", *password)
        assert born is None
        assert "badRequest" in said


def test_it_renews_with_its_certificate_once_the_window_is_open(sandbox: Running, client: Client) -> None:
    old = client.enroll("scep-renewed")
    early, said = client.renew(old)
    assert early is None
    assert "badRequest" in said
    sandbox.control("PUT", "/digicert", {"renew_any_time": True})
    fresh, said = client.renew(old)
    assert fresh is not None, said
    assert fresh.leaf.subject == old.leaf.subject
    assert fresh.leaf.public_key() == fresh.key.public_key() != old.leaf.public_key()


def test_a_certificate_renews_only_itself_and_only_while_it_is_good(sandbox: Running, client: Client) -> None:
    sandbox.control("PUT", "/digicert", {"renew_any_time": True})
    old = client.enroll("scep-revoked")
    assert client.renew(old, "scep-other")[0] is None
    revocation = {"serial": f"{old.leaf.serial_number:X}", "reason": "key_compromise"}
    sandbox.control("POST", "/digicert/revoke", revocation)
    assert client.renew(old)[0] is None

"""`openssl cmp` against the stand-in for DigiCert ONE: each way to ask for a certificate, and who is refused."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device
from sandbox.births import cmp, tool
from sandbox.births.given import Given
from sandbox.device import Identity
from tests.conftest import Running

pytestmark = pytest.mark.skipif(bool(cmp.missing()), reason=cmp.missing())


@dataclass(frozen=True)
class Client:
    given: Given
    state: Path
    folder: Path

    def ask(self, kind: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [
            *("openssl", "cmp", "-config", "", "-cmd", kind, "-server", self.given.cmp_url),
            *("-tls_used", "-tls_trusted", self.state / "tls-root.pem", "-certout", self.folder / "leaf.pem"),
            *("-verbosity", "6", *arguments),
        ]
        (self.folder / "leaf.pem").unlink(missing_ok=True)
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)

    def secret(self, secret: str = "") -> list[str | Path]:
        path = self.folder / "secret"
        path.write_text(secret or self.given.cmp_secret)
        return ["-ref", self.given.cmp_reference, "-secret", f"file:{path}", "-recipient", "/CN=anybody"]

    def key(self, kind: str = "ec-p256") -> tuple[Path, device.Key]:
        key, path = device.new_key(kind), self.folder / "new.key"
        path.unlink(missing_ok=True)
        tool.write_key(path, key)
        return path, key

    def leaf(self, done: "subprocess.CompletedProcess[str]") -> x509.Certificate:
        assert done.returncode == 0, done.stdout + done.stderr
        return x509.load_pem_x509_certificate((self.folder / "leaf.pem").read_bytes())

    def born(self, name: str) -> Identity:
        path, key = self.key()
        asked = self.ask("ir", "-newkey", path, "-subject", f"/CN={name}", *self.secret())
        return Identity(key, (self.leaf(asked),))

    def signed_by(self, old: Identity) -> list[str | Path]:
        """Protection by signature; the issuing CA, which signs the answers, may sign nothing but certificates."""
        certificate, key = self.folder / "old.pem", self.folder / "old.key"
        certificate.write_bytes(old.leaf.public_bytes(Encoding.PEM))
        key.unlink(missing_ok=True)
        tool.write_key(key, old.key)
        return ["-cert", certificate, "-key", key, "-srvcert", self.state / "ica.pem", "-ignore_keyusage"]


@pytest.fixture
def client(sandbox: Running, tmp_path: Path) -> Client:
    return Client(Given.read(sandbox.state), sandbox.state, tmp_path)


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("command", ["ir", "cr"])
def test_it_enrolls_with_the_secret_and_confirms(client: Client, command: str, kind: str) -> None:
    path, key = client.key(kind)
    done = client.ask(command, "-newkey", path, "-subject", "/CN=cmp-born", *client.secret())
    assert client.leaf(done).public_key() == key.public_key()
    assert "received PKICONF" in done.stdout + done.stderr


def test_it_need_not_confirm_when_it_says_so(client: Client) -> None:
    path, _ = client.key()
    done = client.ask("ir", "-implicit_confirm", "-newkey", path, "-subject", "/CN=cmp-implicit", *client.secret())
    client.leaf(done)
    assert "CERTCONF" not in done.stdout + done.stderr


def test_it_takes_a_pkcs10_request_and_a_mac_with_sha256(client: Client) -> None:
    path, key = client.key()
    request = client.folder / "request.pem"
    csr = x509.load_der_x509_csr(device.request("cmp-pkcs10", key))
    request.write_bytes(csr.public_bytes(Encoding.PEM))
    done = client.ask("p10cr", "-csr", request, "-newkey", path, "-mac", "hmacWithSHA256", *client.secret())
    assert client.leaf(done).subject == csr.subject


def test_the_ca_certificates_come_with_the_first_answer(client: Client) -> None:
    path, _ = client.key()
    shown = client.folder / "ca.pem"
    client.leaf(client.ask("ir", "-newkey", path, "-subject", "/CN=cmp-ca", "-cacertsout", shown, *client.secret()))
    known = [x509.load_pem_x509_certificate((client.state / name).read_bytes()) for name in ("ica.pem", "root.pem")]
    assert x509.load_pem_x509_certificates(shown.read_bytes()) == known


def test_a_wrong_secret_is_refused(client: Client) -> None:
    path, _ = client.key()
    done = client.ask("ir", "-newkey", path, "-subject", "/CN=x", "-unprotected_errors", *client.secret("wrong"))
    assert done.returncode
    assert "badMessageCheck" in done.stdout + done.stderr


def test_a_key_update_is_signed_or_by_secret_and_waits_for_its_window(sandbox: Running, client: Client) -> None:
    old = client.born("cmp-updated")
    signed = client.signed_by(old)
    path, key = client.key()
    early = client.ask("kur", "-newkey", path, *signed)
    assert early.returncode
    assert "the renewal window is not open" in early.stdout + early.stderr
    sandbox.control("PUT", "/digicert", {"renew_any_time": True})
    by_secret = ["-oldcert", client.folder / "old.pem", *client.secret()]
    for protection in (signed, by_secret):
        fresh = client.leaf(client.ask("kur", "-newkey", path, *protection))
        assert (fresh.subject, fresh.public_key()) == (old.leaf.subject, key.public_key())


def test_a_certificate_asks_for_nothing_but_its_own_update(sandbox: Running, client: Client) -> None:
    sandbox.control("PUT", "/digicert", {"renew_any_time": True})
    old = client.born("cmp-narrow")
    signed = client.signed_by(old)
    path, _ = client.key()
    for command, subject, text in (("cr", "/CN=cmp-other", "notAuthorized"), ("kur", "/CN=other", "badCertTemplate")):
        done = client.ask(command, "-newkey", path, "-subject", subject, *signed)
        assert done.returncode
        assert text in done.stdout + done.stderr
    revocation = {"serial": f"{old.leaf.serial_number:X}", "reason": "key_compromise"}
    sandbox.control("POST", "/digicert/revoke", revocation)
    done = client.ask("kur", "-newkey", path, "-unprotected_errors", *signed)
    assert done.returncode
    assert "signerNotTrusted" in done.stdout + done.stderr

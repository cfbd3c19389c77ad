"""Azure's own client, or as near to it as a test can come, is born, provisioned and renewed against `make up`."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.conftest import Running
from tests.interop.certd import Certd, CertdError, Stored, patiently


def bootstrap(sandbox: Running, name: str, out: Path, *flags: str) -> Stored:
    certificate, key = sandbox.mint(name, out, *flags)
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return Stored([x509.load_pem_x509_certificate(certificate.read_bytes())], loaded)


def connects(sandbox: Running, stored: Stored, out: Path) -> bool:
    """Whether DPS and the hub take the certificate; the file holds what certd stores, chain and all."""
    (out / "stored.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in stored.certificates))
    (out / "stored.key").write_bytes(stored.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tried = sandbox.run("connect", "--cert", out / "stored.pem", "--key", out / "stored.key")
    assert json.loads(tried.stdout)["registrationId"], tried.stderr
    return tried.returncode == 0


def is_for(stored: Stored) -> bool:
    return stored.leaf.public_key() == stored.key.public_key()


@pytest.mark.parametrize("label", ["", "/est", "/rest", "/unwrapped"])
def test_first_boot_with_a_bootstrap_certificate_takes_four_requests(
    sandbox: Running, tmp_path: Path, label: str
) -> None:
    name = f"certd{label.replace('/', '-')}"
    client = Certd(
        f"{sandbox.edge}/.well-known/est{label}", sandbox.tls_root, bootstrap=bootstrap(sandbox, name, tmp_path)
    )
    stored = patiently(lambda: client.provision(name))
    assert len(client.requests) == 4
    assert is_for(stored)
    assert client.est_id is not None
    assert is_for(client.est_id)
    assert len(stored.certificates) == 3  # the leaf of simpleenroll, then issuing CA and root of cacerts
    assert connects(sandbox, stored, tmp_path)


def test_first_boot_with_a_passcode_takes_two_requests(sandbox: Running, tmp_path: Path) -> None:
    client = Certd(f"{sandbox.edge}/.well-known/est/est/", sandbox.tls_root, passcode=sandbox.passcode)
    stored = client.provision("certd-passcode")
    assert len(client.requests) == 2
    assert all("authorization: Basic " in request for request in client.requests)
    assert is_for(stored)
    assert connects(sandbox, stored, tmp_path)


def test_it_renews_by_simpleenroll_and_commits_when_dps_takes_the_new_certificate(
    sandbox: Running, tmp_path: Path
) -> None:
    client = Certd(
        f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=bootstrap(sandbox, "certd-renews", tmp_path)
    )
    first = client.provision("certd-renews")
    assert connects(sandbox, first, tmp_path)
    old_est_id = client.est_id
    renewed_est_id = client.renew_est_id()
    assert renewed_est_id is not old_est_id
    second = client.renew_device_id(lambda new: connects(sandbox, new, tmp_path))
    assert second.leaf.serial_number != first.leaf.serial_number
    assert is_for(second)


def test_after_its_est_id_has_expired_it_comes_back_with_the_bootstrap_certificate(
    sandbox: Running, tmp_path: Path
) -> None:
    client = Certd(
        f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=bootstrap(sandbox, "certd-late", tmp_path)
    )
    client.provision("certd-late")
    assert is_for(client.renew_est_id(expired=True))


def test_without_a_bootstrap_certificate_an_expired_est_id_is_fatal(sandbox: Running, tmp_path: Path) -> None:
    client = Certd(
        f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=bootstrap(sandbox, "certd-lost", tmp_path)
    )
    client.provision("certd-lost")
    client.bootstrap = None
    with pytest.raises(CertdError, match="fatal"):
        client.renew_est_id(expired=True)


def test_every_retry_has_a_new_key_and_gets_a_certificate(sandbox: Running, tmp_path: Path) -> None:
    factory = bootstrap(sandbox, "certd-retries", tmp_path)
    serials = set()
    for _ in range(3):
        client = Certd(f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=factory)
        serials.add(client.provision("certd-retries").leaf.serial_number)
    assert len(serials) == 3


def test_a_rogue_bootstrap_certificate_is_refused_with_a_line_worth_logging(sandbox: Running, tmp_path: Path) -> None:
    rogue = bootstrap(sandbox, "certd-rogue", tmp_path, "--rogue")
    client = Certd(f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=rogue)
    with pytest.raises(CertdError, match=r"403 .*: the client certificate is not trusted here \(request "):
        client.provision("certd-rogue")


def test_it_cannot_become_another_device(sandbox: Running, tmp_path: Path) -> None:
    client = Certd(
        f"{sandbox.edge}/.well-known/est", sandbox.tls_root, bootstrap=bootstrap(sandbox, "certd-mine", tmp_path)
    )
    with pytest.raises(CertdError, match=r"403 .*common name is not the device"):
        client.provision("certd-yours")


def test_it_refuses_to_start_without_any_authentication(sandbox: Running) -> None:
    with pytest.raises(CertdError, match="anonymous"):
        Certd(f"{sandbox.edge}/.well-known/est", sandbox.tls_root)

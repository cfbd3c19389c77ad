"""The authorities of the sandbox must content strict verifiers, or the product's verification proves nothing."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import VerificationError

from sandbox import pki
from sandbox.credentials import new_credentials
from sandbox.world import new_world
from tests.sandbox.serving import tls_context
from tests.sandbox.verifying import verify

NOW = new_world().clock.now()
A_MOMENT = timedelta(seconds=1)


def device_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def test_a_leaf_of_the_issuing_ca_verifies_up_to_the_root() -> None:
    hierarchy = pki.issuing_hierarchy(NOW)
    leaf = pki.issue_leaf(hierarchy.ica, "dev-1", device_key(), NOW)
    assert verify(leaf, [hierarchy.ica.certificate], hierarchy.root.certificate, NOW) == 3


def test_a_leaf_is_good_from_five_minutes_before_its_issue_until_its_end() -> None:
    factory = pki.factory_authority(NOW)
    leaf = pki.issue_leaf(factory, "dev-1", device_key(), NOW, timedelta(days=30))
    for good in (NOW - timedelta(minutes=4), NOW + timedelta(days=30) - A_MOMENT):
        assert verify(leaf, [], factory.certificate, good) == 2
    for bad in (NOW - timedelta(minutes=6), NOW + timedelta(days=30) + A_MOMENT):
        with pytest.raises(VerificationError):
            verify(leaf, [], factory.certificate, bad)


def test_a_rogue_authority_has_the_name_but_does_not_verify() -> None:
    factory = pki.factory_authority(NOW)
    rogue = pki.rogue_authority(factory)
    leaf = pki.issue_leaf(rogue, "dev-1", device_key(), NOW)
    assert leaf.issuer == factory.certificate.subject
    assert verify(leaf, [], rogue.certificate, NOW) == 2
    with pytest.raises(VerificationError):
        verify(leaf, [], factory.certificate, NOW)


def test_the_issuing_ca_cannot_make_further_cas() -> None:
    hierarchy = pki.issuing_hierarchy(NOW)
    third = pki.issuing_ca(hierarchy.ica, "too deep", NOW)
    leaf = pki.issue_leaf(third, "dev-1", device_key(), NOW)
    with pytest.raises(VerificationError):
        verify(leaf, [third.certificate, hierarchy.ica.certificate], hierarchy.root.certificate, NOW)


def test_names_and_lifetimes() -> None:
    hierarchy = pki.issuing_hierarchy(NOW)
    made = [hierarchy.root, hierarchy.ica, pki.factory_authority(NOW), pki.tls_root()]
    names = [authority.certificate.subject.rfc4514_string() for authority in made]
    assert names == [
        "CN=Birthcert Sandbox Root CA",
        "CN=Birthcert Sandbox Issuing CA 1",
        "CN=Sandbox Factory CA",
        "CN=Sandbox TLS Root",
    ]
    years = [round((each.certificate.not_valid_after_utc - NOW).days / 365) for each in made[:2]]
    assert years == [20, 10]
    assert isinstance(hierarchy.root.key.curve, ec.SECP384R1)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_real_tls_accepts_the_server_certificate_for_every_name_of_this_machine(name: str, tmp_path: Path) -> None:
    server = tls_context(tmp_path)
    client = ssl.create_default_context(cafile=str(tmp_path / "tls-root.pem"))
    assert handshake(client, server, name) == "TLSv1.3"


def test_real_tls_refuses_the_server_certificate_for_another_name(tmp_path: Path) -> None:
    server = tls_context(tmp_path)
    client = ssl.create_default_context(cafile=str(tmp_path / "tls-root.pem"))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "example.com")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str | None:
    """TLS in memory, no sockets."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()


def test_an_authority_comes_back_from_its_pem_texts() -> None:
    factory = pki.factory_authority(NOW)
    certificate, key = pki.certificate_pem(factory.certificate), pki.key_pem(factory.key)
    loaded = pki.load_authority(certificate.encode(), key.encode())
    leaf = pki.issue_leaf(loaded, "dev-1", device_key(), NOW)
    assert verify(leaf, [], factory.certificate, NOW) == 2


def test_every_secret_is_listed_and_no_repr_shows_one() -> None:
    world = new_world()
    credentials = new_credentials(world)
    shown = repr(credentials)
    secrets = [
        credentials.device_password,
        credentials.digicert_passcode,
        credentials.digicert_api_key,
        credentials.scep_passcode,
        credentials.cmp_passcode,
        credentials.front_end_secret,
        credentials.function_key,
        credentials.allocation_key,
        credentials.event_grid_key,
        credentials.identity_header,
        credentials.token_key.decode(),
    ]
    for value in secrets:
        assert value in world.secrets
        assert credentials.canary in value
        assert value not in shown
    assert credentials.acme_hmac_key in world.secrets
    assert credentials.acme_hmac_key not in shown
    assert any(value in credentials.digicert_client_pem for value in world.secrets)
    certificate = pki.certificate_pem(credentials.digicert_client_certificate)
    assert not any(value in certificate for value in world.secrets)

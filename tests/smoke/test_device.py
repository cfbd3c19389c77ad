"""The test device: a key as csrattrs asks for it, and the chain that it shows."""

import base64
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from infra.smoke.device import Identity, request, wanted
from sandbox import pki
from shared.core import est, keys
from tests.fakes.profiles import PROFILE
from tests.setup.making import HIERARCHY, ICA, NOW, OTHER, ROOT


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("rsa-2048", "sha256"),
        ("rsa-3072", "sha384"),
        ("rsa-4096", "sha512"),
        ("ec-p256", "sha256"),
        ("ec-p384", "sha384"),
        ("ec-p521", "sha512"),
        ("ed25519", "sha256"),
    ],
)
def test_key_and_hash_are_those_that_the_profile_asks_for(kind: str, digest: str) -> None:
    rules = replace(PROFILE.request, keys=(kind,), hashes=(digest,))
    asked = wanted(base64.encodebytes(est.csr_attributes(rules)))
    csr = x509.load_der_x509_csr(base64.b64decode(request("device-1", asked.key(), asked.digest())))
    assert keys.name(csr.public_key()) == kind
    assert csr.subject.rfc4514_string() == "CN=device-1"
    used = csr.signature_hash_algorithm
    assert (used.name if used else "") == ("" if kind == "ed25519" else digest)


@pytest.mark.parametrize("body", [b"", b"MAA=", b"no base64", base64.b64encode(b"\x30\x05\x06"), b"<html>"])
def test_what_says_nothing_leads_to_p_256(body: bytes) -> None:
    assert keys.name(wanted(body).key().public_key()) == "ec-p256"
    assert wanted(body).digest().name == "sha256"


def test_the_chain_is_shown_leaf_first_up_to_the_root_and_without_strangers() -> None:
    """DPS wants it up to a CA that it has verified."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = pki.issue_leaf(HIERARCHY.ica, "device-1", key.public_key(), NOW)
    shown = Identity("device-1", key, leaf, (ROOT, OTHER, ICA)).pem()
    assert shown.startswith("-----BEGIN PRIVATE KEY-----")
    assert x509.load_pem_x509_certificates(shown.encode()) == [leaf, ICA, ROOT]

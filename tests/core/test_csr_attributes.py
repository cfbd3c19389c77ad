"""`csrattrs` never lies: whoever follows it is accepted."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from shared.core import der, est, keys
from shared.core.csr import parse
from shared.core.identity import device_id
from shared.core.policy import check_request
from shared.core.profile import RequestRules
from tests.core import asn1
from tests.core.making import DEVICE, HASHES, Hash, PrivateKey, csr, key_named, raw_csr

CURVES = {"1.2.840.10045.3.1.7": "ec-p256", "1.3.132.0.34": "ec-p384", "1.3.132.0.35": "ec-p521"}
SIGNATURES = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
RSA, EC, ED25519 = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112"


def rules(kinds: list[str], hashes: list[str]) -> RequestRules:
    return RequestRules(tuple(kinds), tuple(hashes), frozenset({"common_name"}), frozenset(), False)


def dotted(value: der.Value) -> str:
    """The object identifier, read back by the library."""
    assert value.tag == asn1.OID
    (extension,) = x509.load_der_x509_csr(csr_with_attribute(value.raw)).extensions
    return str(extension.oid.dotted_string)


def csr_with_attribute(oid: bytes) -> bytes:
    extension = asn1.tlv(asn1.SEQUENCE, oid, asn1.tlv(asn1.OCTET_STRING, b""))
    return raw_csr(asn1.extension_request(extension))


def follow(answer: bytes) -> tuple[PrivateKey, Hash | None]:
    """What a client does: one key of the kind asked for, and the hash of the signature asked for."""
    (attributes,) = der.values(answer)
    assert attributes.tag == asn1.SEQUENCE
    items = list(der.values(attributes.content))
    wanted = [dotted(item) for item in items if item.tag == asn1.OID]
    demands = [list(der.values(item.content)) for item in items if item.tag == asn1.SEQUENCE]
    if wanted == [ED25519]:
        assert not demands
        return key_named("ed25519"), None
    ((oid, values),) = demands
    ((value,), (signature,)) = list(der.values(values.content)), wanted
    if dotted(oid) == RSA:
        assert signature.startswith("1.2.840.113549.")
        return key_named(f"rsa-{int.from_bytes(value.content)}"), HASHES[SIGNATURES[signature]]
    assert dotted(oid) == EC
    assert signature.startswith("1.2.840.10045.")
    return key_named(CURVES[dotted(value)]), HASHES[SIGNATURES[signature]]


@given(
    st.lists(st.sampled_from(keys.KNOWN), min_size=1, unique=True).filter(lambda kinds: kinds[0] != "rsa-4096"),
    st.lists(st.sampled_from(sorted(HASHES)), min_size=1, unique=True),
)
def test_a_request_that_follows_the_answer_is_accepted(kinds: list[str], hashes: list[str]) -> None:
    granted = rules(kinds, hashes)
    key, digest = follow(est.csr_attributes(granted))
    request = parse(csr(key=key, digest=digest))
    check_request(granted, request, device_id(DEVICE))
    assert request.key == kinds[0]


@pytest.mark.parametrize("kind", keys.KNOWN)
def test_every_kind_of_key_has_an_answer_that_never_asks_for_a_password(kind: str) -> None:
    answer = est.csr_attributes(rules([kind], ["sha512", "sha256"]))
    assert asn1.oid(asn1.CHALLENGE_PASSWORD) not in answer


def test_the_answers_are_these_bytes() -> None:
    p384 = bytes.fromhex("301e 3012 06072a8648ce3d0201 3107 06052b81040022 06082a8648ce3d040303")
    assert est.csr_attributes(rules(["ec-p384"], ["sha384"])) == p384
    # draft-ietf-lamps-rfc7030-csrattrs writes an RSA size like this, as INTEGER.
    rsa = asn1.tlv(asn1.SEQUENCE, asn1.attribute(RSA, asn1.integer(3072)), asn1.oid("1.2.840.113549.1.1.11"))
    assert est.csr_attributes(rules(["rsa-3072"], ["sha256"])) == rsa
    assert est.csr_attributes(rules(["ed25519"], ["sha256"])) == asn1.tlv(asn1.SEQUENCE, asn1.oid(ED25519))

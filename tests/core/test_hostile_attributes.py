"""Requests whose attributes or extensions different readers understand differently, or that ask for too much."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.core.csr import parse
from shared.core.errors import Malformed
from tests.core import asn1
from tests.core.making import csr, ec_key, key_usage, raw_csr, signed, spki_of

EMPTY = asn1.tlv(asn1.SEQUENCE)
REQUEST = asn1.extension_request(asn1.dns_names("device-1"))
OTHER = asn1.extension_request(asn1.dns_names("device-2"))
PRINTABLE = asn1.tlv(asn1.PRINTABLE, b"secret")


def challenge(*values: bytes) -> bytes:
    return asn1.attribute(asn1.CHALLENGE_PASSWORD, *values)


def without_attributes() -> bytes:
    info = asn1.tlv(asn1.SEQUENCE, asn1.integer(0), asn1.common_name("device-1"), spki_of(ec_key()))
    return signed(info, ec_key())


def extended(*extensions: bytes) -> bytes:
    return raw_csr(asn1.extension_request(*extensions))


def asking(extension: x509.ExtensionType) -> bytes:
    return csr(extensions=[extension])


READ, ONCE, KIND = "cannot be read", "stand once and have one value", "attribute other than"
STRING, CA, GRANTED = "one string of at most 255", "CA", "which is not granted"

REFUSED = [
    pytest.param(without_attributes(), READ, id="no attributes field"),
    pytest.param(raw_csr(*sorted([REQUEST, challenge(PRINTABLE)], reverse=True), sort=False), READ, id="unsorted SET"),
    pytest.param(raw_csr(REQUEST, OTHER), ONCE, id="two extensionRequest attributes"),
    pytest.param(raw_csr(REQUEST, REQUEST), "cannot be read|stand once", id="the same extensionRequest twice"),
    pytest.param(raw_csr(asn1.attribute(asn1.EXTENSION_REQUEST)), ONCE, id="extensionRequest without a value"),
    pytest.param(raw_csr(asn1.attribute(asn1.EXTENSION_REQUEST, EMPTY, PRINTABLE)), READ, id="unsorted values"),
    pytest.param(raw_csr(asn1.attribute(asn1.EXTENSION_REQUEST, PRINTABLE, EMPTY)), ONCE, id="two values"),
    pytest.param(raw_csr(asn1.attribute(asn1.EXTENSION_REQUEST, PRINTABLE)), READ, id="extensionRequest of text"),
    pytest.param(raw_csr(asn1.attribute(asn1.UNSTRUCTURED_NAME)), ONCE, id="an attribute without a value (Mitel)"),
    pytest.param(raw_csr(asn1.attribute(asn1.UNSTRUCTURED_NAME, PRINTABLE)), KIND, id="unstructuredName"),
    pytest.param(raw_csr(asn1.attribute(asn1.MICROSOFT_EXTENSIONS, EMPTY)), KIND, id="Microsoft's extensionRequest"),
    pytest.param(raw_csr(asn1.attribute(asn1.CHANGE_SUBJECT_NAME, EMPTY)), "ChangeSubjectName", id="ChangeSubjectName"),
    pytest.param(raw_csr(challenge(b"\xbf\x81\x01\x00")), "more than one byte", id="a tag in long form"),
    pytest.param(raw_csr(challenge(b"\x1f\x0c\x00")), "cannot be read|more than one byte", id="a needless long tag"),
    pytest.param(raw_csr(challenge(PRINTABLE), challenge(asn1.tlv(asn1.UTF8, b"x"))), ONCE, id="two passwords"),
    pytest.param(raw_csr(challenge(asn1.tlv(asn1.UTF8, b"x"), PRINTABLE)), ONCE, id="one password, two values"),
    pytest.param(raw_csr(challenge()), ONCE, id="a password without a value"),
    pytest.param(raw_csr(challenge(asn1.tlv(asn1.OCTET_STRING, b"secret"))), STRING, id="a password of octets"),
    pytest.param(raw_csr(challenge(asn1.tlv(asn1.UTF8))), STRING, id="an empty password"),
    pytest.param(raw_csr(challenge(asn1.tlv(asn1.UTF8, b"x" * 256))), STRING, id="a password of 256 characters"),
    pytest.param(extended(asn1.dns_names("a"), asn1.dns_names("b")), READ, id="subjectAltName twice"),
    pytest.param(
        extended(asn1.extension(asn1.BASIC_CONSTRAINTS, EMPTY, critical=asn1.tlv(asn1.BOOLEAN, b"\x00"))),
        READ,
        id="critical FALSE spelt out (old FreeIPA)",
    ),
    pytest.param(
        extended(asn1.extension(asn1.BASIC_CONSTRAINTS, EMPTY, critical=asn1.tlv(asn1.BOOLEAN, b"\x01"))),
        READ,
        id="critical TRUE as 1",
    ),
    pytest.param(asking(x509.BasicConstraints(ca=True, path_length=None)), "a CA certificate", id="a CA certificate"),
    pytest.param(asking(key_usage(key_cert_sign=True)), "a key usage of a CA", id="keyCertSign"),
    pytest.param(asking(key_usage(digital_signature=True, crl_sign=True)), "a key usage of a CA", id="cRLSign"),
    pytest.param(
        asking(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])),
        "other than clientAuth",
        id="serverAuth",
    ),
    pytest.param(
        asking(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")])),
        "other than clientAuth",
        id="cmcRA: a registration authority",
    ),
    pytest.param(
        asking(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
        "other than clientAuth",
        id="anyEKU",
    ),
    pytest.param(asking(x509.OCSPNoCheck()), GRANTED, id="OCSPNoCheck"),
    pytest.param(asking(x509.NameConstraints([x509.DNSName("example")], None)), GRANTED, id="name constraints"),
    pytest.param(
        extended(asn1.extension("1.2.3.4", b"\x05\x00", critical=asn1.tlv(asn1.BOOLEAN, b"\xff"))),
        "extension 1.2.3.4, which is not granted",
        id="an unknown critical extension",
    ),
]


@pytest.mark.parametrize(("der", "why"), REFUSED)
def test_is_malformed(der: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(der)


@pytest.mark.parametrize(
    "extension",
    [
        pytest.param(x509.BasicConstraints(ca=False, path_length=None), id="no CA"),
        pytest.param(key_usage(digital_signature=True, key_agreement=True), id="key usage of a device"),
        pytest.param(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), id="clientAuth"),
        pytest.param(x509.SubjectKeyIdentifier(b"12345678901234567890"), id="a key identifier"),
    ],
)
def test_harmless_wishes_are_let_through(extension: x509.ExtensionType) -> None:
    assert parse(asking(extension)).san == ()


def test_an_empty_extension_request_asks_for_nothing() -> None:
    assert parse(extended()).san == ()


@pytest.mark.parametrize("tag", [asn1.UTF8, asn1.PRINTABLE, asn1.IA5, 0x1A])
def test_a_challenge_password_is_noted_and_never_shown(tag: int) -> None:
    request = parse(raw_csr(challenge(asn1.tlv(tag, b"x" * 255))))
    assert request.has_challenge_password
    assert not parse(raw_csr(REQUEST)).has_challenge_password

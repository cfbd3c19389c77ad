"""Whatever arrives is a value or the refusal that is documented; never another exception."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.core.client_certificate import NotTrusted, device_named, parse_header, trust, verify
from shared.core.csr import SigningRequest, decode_body, parse
from shared.core.errors import Forbidden, Malformed, TooLarge
from tests.core import asn1
from tests.core.making import NOW, Authority, csr, header, key_usage, raw_csr, rsa_key

GOOD = [
    raw_csr(),
    raw_csr(
        asn1.extension_request(asn1.dns_names("device-1")),
        asn1.attribute(asn1.CHALLENGE_PASSWORD, asn1.tlv(asn1.UTF8, b"x")),
    ),
    csr(key=rsa_key(), extensions=[key_usage(digital_signature=True)]),
]
CA = Authority()
TRUST = trust((CA.certificate,))
LEAVES = [
    CA.issue(),
    CA.issue(extensions=[x509.SubjectAlternativeName([x509.DNSName("a")]), key_usage(digital_signature=True)]),
]
NOT_POSITIVE = "ignore:Parsed a serial number which wasn't positive:UserWarning"
ENCODED = [leaf.public_bytes(Encoding.DER) for leaf in LEAVES]


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals with some bytes changed, put in or left out."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content) - 1))
        match draw(st.sampled_from(["change", "insert", "remove"])):
            case "change":
                content[place] = draw(st.integers(0, 255))
            case "insert":
                content[place:place] = draw(st.binary(max_size=4))
            case _:
                del content[place : place + draw(st.integers(1, 4))]
    return bytes(content)


def holds_together(request: SigningRequest) -> bool:
    """What was read agrees with what the library reads."""
    loaded = x509.load_der_x509_csr(request.der)
    spki = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return loaded.is_signature_valid and loaded.subject == request.subject and spki == request.spki


@given(st.binary(max_size=600) | mutated(GOOD))
@settings(max_examples=400)
def test_any_bytes_are_a_sound_request_or_malformed(der: bytes) -> None:
    try:
        request = parse(der)
    except Malformed:
        return
    assert request.der == der
    assert holds_together(request)


SUBJECT_ATTRIBUTES = st.builds(
    asn1.name_attribute,
    st.sampled_from([asn1.COMMON_NAME, asn1.COUNTRY, asn1.SERIAL_NUMBER, "1.2.3"]),
    st.binary(max_size=5) | st.text(max_size=5).map(str.encode),
    st.sampled_from([asn1.UTF8, asn1.PRINTABLE, asn1.T61, asn1.IA5, asn1.BMP, asn1.BIT_STRING, 0x1F, 0xA0]),
)
VALUES = st.builds(
    asn1.tlv, st.sampled_from([asn1.UTF8, asn1.SEQUENCE, asn1.OCTET_STRING, 0xBF]), st.binary(max_size=6)
)
EXTENSIONS = st.builds(
    asn1.extension,
    st.sampled_from([asn1.SAN, asn1.BASIC_CONSTRAINTS, asn1.KEY_USAGE, asn1.EXTENDED_KEY_USAGE, "1.2.3"]),
    st.builds(asn1.tlv, st.sampled_from([asn1.SEQUENCE, asn1.BIT_STRING]), st.lists(VALUES, max_size=2).map(b"".join)),
)
ATTRIBUTES = st.builds(asn1.extension_request, EXTENSIONS, EXTENSIONS) | st.builds(
    asn1.attribute, st.sampled_from([asn1.CHALLENGE_PASSWORD, asn1.EXTENSION_REQUEST, "1.2.3"]), VALUES
)


@given(st.lists(SUBJECT_ATTRIBUTES, max_size=3), st.lists(ATTRIBUTES, max_size=2))
def test_any_well_signed_request_is_read_or_malformed(subject: list[bytes], attributes: list[bytes]) -> None:
    try:
        request = parse(raw_csr(*attributes, subject=asn1.name(*subject)))
    except Malformed:
        return
    assert holds_together(request)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
@example(b"-----BEGIN")
@example(b"-----BEGIN CERTIFICATE REQUEST----------END CERTIFICATE REQUEST-----")
def test_any_body_is_decoded_or_malformed(body: bytes) -> None:
    try:
        assert decode_body(body)
    except (Malformed, TooLarge):
        return
    assert body.translate(None, b" \t\r\n")


@pytest.mark.filterwarnings(NOT_POSITIVE)
@given(st.text(max_size=200) | mutated([header(LEAVES[0]).encode()]).map(lambda text: text.decode("latin-1")))
def test_any_header_is_a_certificate_or_malformed(value: str) -> None:
    try:
        assert isinstance(parse_header(value), x509.Certificate)
    except Malformed:
        return


@pytest.mark.filterwarnings(NOT_POSITIVE)
@given(mutated(ENCODED))
@settings(max_examples=400)
def test_nothing_that_is_signed_can_be_changed_in_a_certificate_and_nothing_breaks(der: bytes) -> None:
    try:
        leaf = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return
    try:
        device_named(leaf, "subject.common_name")
        device_named(leaf, "san.dns")
    except Forbidden:
        pass
    try:
        verify(leaf, TRUST, NOW)
    except NotTrusted:
        return
    # A signature can be written in more than one way; what is signed cannot.
    assert leaf.tbs_certificate_bytes in [one.tbs_certificate_bytes for one in LEAVES]

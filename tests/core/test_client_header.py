"""The client certificate header: what is read, and certificates by a trusted CA that are odd inside."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.client_certificate import MAX_HEADER, NotTrusted, device_named, parse_header, trust, verify
from shared.core.errors import Forbidden, Malformed
from tests.core import asn1
from tests.core.making import DEVICE, NOW, Authority, header

CA = Authority()
LEAF = CA.issue()
DER = LEAF.public_bytes(Encoding.DER)
PEM = LEAF.public_bytes(Encoding.PEM).decode()


def encoded(der: bytes) -> str:
    return base64.b64encode(der).decode()


def with_version(number: int) -> bytes:
    place = DER.index(bytes.fromhex("a003020102"))
    return DER[: place + 4] + bytes([number]) + DER[place + 5 :]


def by_hand(*extensions: bytes, name: bytes = asn1.common_name(DEVICE), spki: bytes | None = None) -> x509.Certificate:
    return CA.by_hand(*extensions, name=name, spki=spki)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(header(LEAF), id="base64, as App Service sends it"),
        pytest.param(f"  {header(LEAF)}  ", id="white space around"),
        pytest.param(PEM, id="PEM"),
        pytest.param(PEM.replace("\n", " "), id="PEM joined by spaces"),
        pytest.param(PEM.replace("\n", ""), id="PEM joined by nothing"),
    ],
)
def test_is_read(value: str) -> None:
    assert parse_header(value) == LEAF


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("(null)", id="what some front ends send for none"),
        pytest.param(f"{header(LEAF)},{header(LEAF)}", id="two headers joined"),
        pytest.param(f"{header(LEAF)}, {header(LEAF)}", id="two headers joined with a space"),
        pytest.param(header(LEAF) + header(LEAF), id="two certificates"),
        pytest.param(encoded(DER + b"\x00"), id="a byte after the DER"),
        pytest.param(encoded(DER[:-1]), id="truncated"),
        pytest.param(PEM + PEM, id="two PEM blocks"),
        pytest.param(PEM + "x", id="text after the PEM block"),
        pytest.param(PEM.replace("CERTIFICATE", "PRIVATE KEY"), id="another PEM label"),
        pytest.param(PEM.replace("\n", "%0A").replace(" ", "%20"), id="URL-escaped PEM"),
        pytest.param(f":{header(LEAF)}:", id="RFC 9440"),
        pytest.param("é" + header(LEAF), id="not ASCII"),
        pytest.param(encoded(with_version(6)), id="a version that does not exist"),
        pytest.param(encoded(with_version(0)), id="version 1 with extensions"),
        pytest.param(header(LEAF)[:-1], id="one character less"),
        pytest.param("A" * (MAX_HEADER + 4), id="too long"),
        pytest.param(" " * 70_000, id="seventy thousand characters"),
    ],
)
def test_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        parse_header(value)


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive:UserWarning")
@pytest.mark.parametrize("serial", [0, -5])
def test_a_serial_number_that_is_not_positive_is_malformed(serial: int) -> None:
    with pytest.raises(Malformed, match="serial number"):
        parse_header(header(CA.by_hand(serial=serial)))


def test_a_certificate_made_by_hand_is_believed() -> None:
    verify(by_hand(), trust((CA.certificate,)), NOW)


EC = asn1.oid("1.2.840.10045.2.1")


@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param(
            by_hand(spki=asn1.spki(asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.643.2.2.19")), b"x")), id="an unknown key"
        ),
        pytest.param(
            by_hand(spki=asn1.spki(asn1.tlv(asn1.SEQUENCE, EC, asn1.oid("1.3.132.0.1")), b"\x04")), id="a binary curve"
        ),
        pytest.param(by_hand(spki=asn1.rsa_spki((1 << 2048) - 1, 1)), id="RSA with exponent 1"),
        pytest.param(by_hand(asn1.san(asn1.tlv(0xA3, b""))), id="x400Address"),
        pytest.param(by_hand(asn1.san(asn1.tlv(0x87, b"abc"))), id="an IP address of three bytes"),
        pytest.param(by_hand(asn1.dns_names("a"), asn1.dns_names("b")), id="subjectAltName twice"),
        pytest.param(by_hand(asn1.extension(asn1.EXTENDED_KEY_USAGE, b"abc")), id="EKU that is no DER"),
        pytest.param(
            by_hand(asn1.extension("1.2.3.4", b"", critical=asn1.tlv(asn1.BOOLEAN, b"\xff"))),
            id="an unknown critical extension",
        ),
    ],
)
def test_an_odd_certificate_of_a_trusted_ca_is_not_trusted(leaf: x509.Certificate) -> None:
    with pytest.raises(NotTrusted) as refused:
        verify(leaf, trust((CA.certificate,)), NOW)
    assert refused.value.cause


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(asn1.common_name(b"\xe9", asn1.T61), id="T61String"),
        pytest.param(asn1.common_name(b"\x00x", asn1.BIT_STRING), id="BIT STRING"),
    ],
)
def test_a_name_that_cannot_be_read_names_no_device(name: bytes) -> None:
    with pytest.raises(Forbidden, match="cannot be read"):
        device_named(by_hand(name=name), "subject.common_name")

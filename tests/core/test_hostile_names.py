"""Subjects and subjectAltNames that would be read, shown or compared in more than one way."""

import ipaddress

import pytest
from cryptography import x509

from shared.core.csr import parse
from shared.core.errors import Malformed
from shared.core.names import MAX_SAN_NAMES
from tests.core import asn1
from tests.core.making import csr, raw_csr


def named(text: str | bytes, tag: int = asn1.UTF8) -> bytes:
    return raw_csr(subject=asn1.common_name(text, tag))


def subject(*attributes: bytes) -> bytes:
    return raw_csr(subject=asn1.name(*attributes))


def alternatives(*names: bytes) -> bytes:
    return raw_csr(asn1.extension_request(asn1.san(*names)))


def dns(*names: str | bytes) -> bytes:
    return raw_csr(asn1.extension_request(asn1.dns_names(*names)))


CN = asn1.name_attribute(asn1.COMMON_NAME, b"device-1")
READ, LENGTH, INVISIBLE, TYPE = "cannot be read", "1 to 64", "invisible", "UTF8String or a PrintableString"
LDH, KIND = "not made of letters", "kind of name that is not accepted"

SUBJECTS = [
    pytest.param(named("dev1\x00.evil"), INVISIBLE, id="NUL"),
    pytest.param(named("dev1\r\nevil"), INVISIBLE, id="CR LF"),
    pytest.param(named("dev\u202e1"), INVISIBLE, id="right-to-left override"),
    pytest.param(named("dev\u200b1"), INVISIBLE, id="zero-width space"),
    pytest.param(named("dev\ufeff1"), INVISIBLE, id="byte order mark"),
    pytest.param(named("dev\u20281"), INVISIBLE, id="line separator"),
    pytest.param(named("dev\ue0001"), INVISIBLE, id="private use"),
    pytest.param(named("x" * 65), f"{READ}|{LENGTH}", id="65 characters"),
    pytest.param(named("x" * 5000), f"{READ}|{LENGTH}", id="5000 characters"),
    pytest.param(named(""), f"{READ}|{LENGTH}", id="no characters"),
    pytest.param(subject(asn1.name_attribute(asn1.COUNTRY, b"USA")), "two letters", id="a country of three letters"),
    pytest.param(named(b"\x00dev1", asn1.BIT_STRING), f"{READ}|{TYPE}", id="BIT STRING"),
    pytest.param(named(b"dev1", asn1.OCTET_STRING), TYPE, id="OCTET STRING"),
    pytest.param(named(b"dev1", asn1.T61), TYPE, id="T61String"),
    pytest.param(named(b"dev\xe9", asn1.T61), TYPE, id="T61String with an accent"),
    pytest.param(named("dev1".encode("utf-16-be"), asn1.BMP), TYPE, id="BMPString"),
    pytest.param(named(b"odd", asn1.BMP), f"{READ}|{TYPE}", id="BMPString of odd length"),
    pytest.param(named("dev1".encode("utf-32-be"), 0x1C), TYPE, id="UniversalString"),
    pytest.param(named(b"dev1", asn1.IA5), TYPE, id="IA5String"),
    pytest.param(named(b"\xff\xfe"), READ, id="bad UTF-8"),
    pytest.param(named(b"\xc0\x80"), READ, id="overlong UTF-8"),
    pytest.param(named(b"dev@1", asn1.PRINTABLE), READ, id="PrintableString with @"),
    pytest.param(subject(CN, asn1.name_attribute(asn1.COMMON_NAME, b"device-2")), "twice", id="two common names"),
    pytest.param(
        raw_csr(
            subject=asn1.tlv(asn1.SEQUENCE, asn1.tlv(asn1.SET, asn1.name_attribute(asn1.ORGANIZATION, b"Contoso"), CN))
        ),
        "multi-valued",
        id="a multi-valued RDN",
    ),
]


@pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning")
@pytest.mark.parametrize(("der", "why"), SUBJECTS)
def test_the_subject_is_malformed(der: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(der)


def test_a_country_of_two_letters_is_good() -> None:
    assert parse(subject(asn1.name_attribute(asn1.COUNTRY, b"DE", asn1.PRINTABLE), CN)).subject_attributes == (
        "country",
        "common_name",
    )


def test_an_empty_subject_and_an_unknown_attribute_are_left_to_policy() -> None:
    assert parse(subject()).common_name == ""
    assert parse(subject(CN, asn1.name_attribute("1.2.3.4", b"x"))).subject_attributes == ("common_name", "1.2.3.4")


ALTERNATIVES = [
    pytest.param(alternatives(), "1 to 100", id="no name at all"),
    pytest.param(dns(*(f"n{number}" for number in range(MAX_SAN_NAMES + 1))), "1 to 100", id="a hundred and one"),
    pytest.param(dns("device\x00.example"), LDH, id="NUL"),
    pytest.param(dns("é.example"), LDH, id="not ASCII"),
    pytest.param(dns("\u212aevice"), LDH, id="the Kelvin sign, whose lower case is k"),
    pytest.param(dns(b"\xff"), f"{READ}|{LDH}", id="not UTF-8"),
    pytest.param(dns("*.example.com"), LDH, id="a wildcard"),
    pytest.param(dns(""), LDH, id="an empty name"),
    pytest.param(dns("."), LDH, id="a dot"),
    pytest.param(dns("a..b"), LDH, id="an empty label"),
    pytest.param(dns("example.com."), LDH, id="a trailing dot"),
    pytest.param(dns("-a"), LDH, id="a leading dash"),
    pytest.param(dns("a-"), LDH, id="a trailing dash"),
    pytest.param(dns("a_b"), LDH, id="an underscore"),
    pytest.param(dns("device\n"), LDH, id="a line break at the end"),
    pytest.param(dns("x" * 64), LDH, id="a label of 64"),
    pytest.param(dns(".".join(["x" * 63] * 4)), LDH, id="255 characters"),
    pytest.param(alternatives(asn1.tlv(0x87, b"abc")), READ, id="an IP address of three bytes"),
    pytest.param(alternatives(asn1.tlv(0xA3, b"")), READ, id="x400Address"),
    pytest.param(alternatives(asn1.tlv(0xA5, asn1.tlv(0xA1, asn1.tlv(asn1.UTF8, b"x")))), READ, id="ediPartyName"),
    pytest.param(alternatives(asn1.tlv(0x88, asn1.oid("1.2.3.4")[2:])), KIND, id="registeredID"),
    pytest.param(
        alternatives(asn1.tlv(0xA0, asn1.oid("1.2.3.4"), asn1.tlv(0xA0, asn1.tlv(asn1.UTF8, b"x")))),
        KIND,
        id="otherName",
    ),
    pytest.param(alternatives(asn1.tlv(0xA4, asn1.common_name("x"))), KIND, id="directoryName"),
    pytest.param(alternatives(asn1.tlv(0x86, b"urn:a\x00b")), INVISIBLE, id="a URI with NUL"),
    pytest.param(alternatives(asn1.tlv(0x81, b"a\r\n@example")), f"{INVISIBLE}|{READ}", id="e-mail with CR LF"),
]


@pytest.mark.parametrize(("der", "why"), ALTERNATIVES)
def test_the_alternative_name_is_malformed(der: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(der)


def test_alternative_names_keep_their_order_and_dns_names_lose_their_case() -> None:
    san = [
        x509.UniformResourceIdentifier("urn:Device:1"),
        x509.DNSName("Device-1.Example"),
        x509.RFC822Name("Someone@example.com"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    ]
    assert parse(csr(san=list(san))).san == (
        ("uri", "urn:Device:1"),
        ("dns", "device-1.example"),
        ("email", "Someone@example.com"),
        ("ip", "192.0.2.1"),
    )
    longest = ".".join(["x" * 63, "x" * 63, "x" * 63, "x" * 61])
    assert parse(dns(longest)).san == (("dns", longest),)

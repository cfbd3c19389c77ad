"""What clients, broken ones and hostile ones post instead of base64 of one PKCS#10 request."""

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from shared.core.csr import MAX_BODY, MAX_DER, SigningRequest, decode_body, parse
from shared.core.errors import Malformed, TooLarge
from tests.core import asn1
from tests.core.making import DEVICE, Authority, ec_key, raw_csr

BEGIN, END = b"-----BEGIN CERTIFICATE REQUEST-----", b"-----END CERTIFICATE REQUEST-----"
DER = raw_csr()
TEXT = base64.b64encode(DER)


def read(body: bytes) -> SigningRequest:
    return parse(decode_body(body))


def encoded(der: bytes) -> bytes:
    return base64.b64encode(der)


def pem(der: bytes = DER, begin: bytes = BEGIN, end: bytes = END) -> bytes:
    return begin + b"\n" + base64.encodebytes(der) + end + b"\n"


def with_url_safe_alphabet() -> bytes:
    """A request whose base64 differs in the two alphabets."""
    made = (base64.urlsafe_b64encode(raw_csr(key=ec_key(number))) for number in range(20))
    return next(text for text in made if b"-" in text or b"_" in text)


def padded() -> bytes:
    """A request whose base64 ends with padding."""
    made = (encoded(raw_csr(subject=asn1.common_name("d" * length))) for length in range(1, 60))
    return next(text for text in made if text.endswith(b"="))


def private_key() -> bytes:
    return ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


CERTIFICATE = Authority().certificate
BASE64, READ, ONE_BLOCK = "is not base64", "cannot be read", "exactly one CERTIFICATE REQUEST block"

BROKEN = [
    pytest.param(b"", "is empty", id="nothing"),
    pytest.param(b" \r\n\t\n", "is empty", id="white space alone"),
    pytest.param(b"{}", BASE64, id="JSON"),
    pytest.param(b"!!!", BASE64, id="three exclamation marks"),
    pytest.param(with_url_safe_alphabet(), BASE64, id="the URL-safe alphabet"),
    pytest.param(padded().rstrip(b"="), BASE64, id="padding left out"),
    pytest.param(padded() + padded(), BASE64, id="padding in mid-stream"),
    pytest.param(encoded(DER[:-1]), READ, id="truncated DER"),
    pytest.param(encoded(DER + b"\x00"), READ, id="one byte after the DER"),
    pytest.param(encoded(DER + DER), READ, id="a second request after the DER"),
    pytest.param(encoded(b"\x30\x80" + DER[4:] + b"\x00\x00"), READ, id="BER with indefinite length"),
    pytest.param(encoded(b"\x30\x83\x00" + DER[2:]), READ, id="a length that is not minimal"),
    pytest.param(encoded(b"\x30\x84\xff\xff\xff\xff" + DER), READ, id="a length of four gigabytes"),
    pytest.param(encoded(b"\x30\x82\x03\xe8" * 1000), READ, id="deep nesting"),
    pytest.param(encoded(CERTIFICATE.public_bytes(Encoding.DER)), READ, id="a certificate"),
    pytest.param(encoded(pkcs7.serialize_certificates([CERTIFICATE], Encoding.DER)), READ, id="PKCS#7"),
    pytest.param(private_key(), ONE_BLOCK, id="a private key"),
    pytest.param(pem() + pem(), ONE_BLOCK, id="two PEM blocks"),
    pytest.param(CERTIFICATE.public_bytes(Encoding.PEM) + pem(), ONE_BLOCK, id="a certificate, then a request"),
    pytest.param(pem() + CERTIFICATE.public_bytes(Encoding.PEM), ONE_BLOCK, id="a request, then a certificate"),
    pytest.param(pem() + encoded(DER), ONE_BLOCK, id="base64 after the PEM block"),
    pytest.param(CERTIFICATE.public_bytes(Encoding.PEM), ONE_BLOCK, id="PEM of a certificate"),
    pytest.param(pem(end=b"-----END CERTIFICATE REQ"), ONE_BLOCK, id="a truncated END line"),
    pytest.param(pem(end=b"-----END CERTIFICATE-----"), ONE_BLOCK, id="another END line"),
    pytest.param(pem(end=b"-----END NEW CERTIFICATE REQUEST-----"), ONE_BLOCK, id="NEW at the end only"),
    pytest.param(BEGIN + b"\nProc-Type: 4\n\n" + TEXT + END, ONE_BLOCK, id="RFC 1421 headers"),
    pytest.param(BEGIN + END, "is empty", id="an empty PEM block"),
    pytest.param(pem().decode().encode("utf-16"), BASE64, id="UTF-16"),
    pytest.param(b"\xef\xbb\xbf" + TEXT, BASE64, id="a byte order mark before base64"),
    pytest.param(TEXT.replace(b"A", b"%41", 1), BASE64, id="URL encoding"),
    pytest.param(b"=" + TEXT, BASE64, id="padding at the start"),
    pytest.param(TEXT[:8] + b"\x0b" + TEXT[8:], BASE64, id="a vertical tab"),
    pytest.param(TEXT[:8] + b"\x00" + TEXT[8:], BASE64, id="a NUL"),
    pytest.param(DER, BASE64, id="raw DER"),
]


@pytest.mark.parametrize(("body", "why"), BROKEN)
def test_is_malformed(body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read(body)


ODD_BUT_READ = [
    pytest.param(TEXT, id="one line of base64"),
    pytest.param(base64.encodebytes(DER), id="lines of base64"),
    pytest.param(b"\r\n\t " + TEXT[:5] + b" \t\r\n" + TEXT[5:] + b"\r\n", id="white space anywhere"),
    pytest.param(pem(), id="PEM"),
    pytest.param(pem().replace(b"\n", b"\r\n"), id="PEM with CRLF"),
    pytest.param(pem().replace(b"\n", b"  \n"), id="PEM with trailing spaces"),
    pytest.param(pem(begin=BEGIN.replace(b"N C", b"N NEW C"), end=END.replace(b"D C", b"D NEW C")), id="NEW PEM"),
    pytest.param(b"Certificate Request:\n    Data:\n" + pem(), id="text before the PEM block"),
    pytest.param(b"\xef\xbb\xbf" + pem(), id="a byte order mark before PEM"),
    pytest.param(pem().replace(b"\n", b""), id="PEM on one line, as curl --data sends it"),
]


@pytest.mark.parametrize("body", ODD_BUT_READ)
def test_is_read_and_the_bytes_stay_what_they_were(body: bytes) -> None:
    assert read(body).der == DER
    assert read(body).common_name == DEVICE


def test_base64_with_other_tail_bits_is_the_same_request() -> None:
    text = padded()
    last = text.rstrip(b"=")[-1:]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = alphabet.index(last)
    other = text.rstrip(b"=")[:-1] + alphabet[place + 1 : place + 2] + b"=" * text.count(b"=")
    assert other != text
    assert decode_body(other) == decode_body(text)


def test_a_body_over_the_limit_is_too_large_whatever_it_holds() -> None:
    with pytest.raises(TooLarge):
        decode_body(b" " * (MAX_BODY + 1))
    with pytest.raises(TooLarge):
        decode_body(TEXT + b"\n" * MAX_BODY)


def test_white_space_up_to_the_limit_is_no_problem() -> None:
    assert decode_body(TEXT + b"\n" * (MAX_BODY - len(TEXT))) == DER


def test_a_request_over_the_limit_is_too_large() -> None:
    assert decode_body(encoded(bytes(MAX_DER))) == bytes(MAX_DER)
    with pytest.raises(TooLarge):
        decode_body(encoded(bytes(MAX_DER + 1)))


def test_twenty_thousand_names_are_too_large() -> None:
    names = asn1.dns_names(*(f"name-{number}.example" for number in range(20_000)))
    with pytest.raises(TooLarge):
        decode_body(encoded(raw_csr(asn1.extension_request(names))))


def test_a_private_key_is_in_no_text_of_the_refusal() -> None:
    secret = private_key().splitlines()[1].decode()
    with pytest.raises(Malformed) as refused:
        read(private_key())
    assert secret not in refused.value.public + refused.value.cause

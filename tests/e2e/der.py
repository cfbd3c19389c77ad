"""A writer of DER that writes whatever it is told, also what no library would: wrong tags, doubled values."""

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def tlv(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def set_of(*contents: bytes) -> bytes:
    """In the order given: DER wants it sorted."""
    return tlv(0x31, *contents)


def integer(number: int) -> bytes:
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return tlv(0x02, number.to_bytes(size, signed=True))


def bit_string(content: bytes) -> bytes:
    return tlv(0x03, b"\0", content)


def octets(*contents: bytes) -> bytes:
    return tlv(0x04, *contents)


def utf8(text: str) -> bytes:
    return tlv(0x0C, text.encode())


def printable(text: str) -> bytes:
    return tlv(0x13, text.encode())


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return tlv(0x06, content)


NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"
FALSE = b"\x01\x01\x00"

COMMON_NAME = oid("2.5.4.3")
EXTENSION_REQUEST = oid("1.2.840.113549.1.9.14")
CHALLENGE_PASSWORD = oid("1.2.840.113549.1.9.7")
SAN = oid("2.5.29.17")

ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))
RSA_SHA256 = sequence(oid("1.2.840.113549.1.1.11"), NULL)


def rdn(kind: bytes, value: bytes) -> bytes:
    return set_of(sequence(kind, value))


def name(*rdns: bytes) -> bytes:
    return sequence(*rdns)


def common_name(text: str) -> bytes:
    return name(rdn(COMMON_NAME, utf8(text)))


def attribute(kind: bytes, *values: bytes) -> bytes:
    return sequence(kind, set_of(*values))


def extension(kind: bytes, value: bytes, critical: bytes = b"") -> bytes:
    return sequence(kind, critical, octets(value))


def extensions(*each: bytes) -> bytes:
    """The attribute that asks for these extensions."""
    return attribute(EXTENSION_REQUEST, sequence(*each))


def san(*names: bytes) -> bytes:
    return extension(SAN, sequence(*names))


def dns(text: bytes) -> bytes:
    return tlv(0x82, text)


def spki(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

"""A writer of DER for the forms that `cryptography` refuses to write; it shares no line with the product's own."""

SEQUENCE, SET, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x30, 0x31, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8, PRINTABLE, T61, IA5, BMP, BOOLEAN = 0x0C, 0x13, 0x14, 0x16, 0x1E, 0x01

EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
MICROSOFT_EXTENSIONS = "1.3.6.1.4.1.311.2.1.14"
CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
CHANGE_SUBJECT_NAME = "1.3.6.1.5.5.7.7.36"
UNSTRUCTURED_NAME = "1.2.840.113549.1.9.2"
FRIENDLY_NAME = "1.2.840.113549.1.9.20"
COMMON_NAME, ORGANIZATION, COUNTRY, SERIAL_NUMBER = "2.5.4.3", "2.5.4.10", "2.5.4.6", "2.5.4.5"
SAN, BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "2.5.29.17", "2.5.29.19", "2.5.29.15", "2.5.29.37"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"


def tlv(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (40 * first + second, *rest):
        septets = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)]
        content += bytes(septet | (0x80 if place else 0) for place, septet in reversed(list(enumerate(septets))))
    return tlv(OID, content)


def integer(number: int) -> bytes:
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, signed=True))


def name(*attributes: bytes) -> bytes:
    """A Name with one attribute in each RDN."""
    return tlv(SEQUENCE, *(tlv(SET, one) for one in attributes))


def name_attribute(kind: str, value: bytes, tag: int = UTF8) -> bytes:
    return tlv(SEQUENCE, oid(kind), tlv(tag, value))


def common_name(text: str | bytes, tag: int = UTF8) -> bytes:
    return name(name_attribute(COMMON_NAME, text if isinstance(text, bytes) else text.encode(), tag))


def attribute(kind: str, *values: bytes) -> bytes:
    return tlv(SEQUENCE, oid(kind), tlv(SET, *values))


def extension(kind: str, value: bytes, *, critical: bytes = b"") -> bytes:
    return tlv(SEQUENCE, oid(kind), critical, tlv(OCTET_STRING, value))


def extension_request(*extensions: bytes) -> bytes:
    return attribute(EXTENSION_REQUEST, tlv(SEQUENCE, *extensions))


def dns_names(*names: str | bytes) -> bytes:
    """A subjectAltName extension of DNS names, whatever bytes they hold."""
    return san(*(tlv(0x82, one if isinstance(one, bytes) else one.encode()) for one in names))


def san(*general_names: bytes) -> bytes:
    return extension(SAN, tlv(SEQUENCE, *general_names))


def spki(algorithm: bytes, key: bytes) -> bytes:
    return tlv(SEQUENCE, algorithm, tlv(BIT_STRING, b"\x00", key))


def rsa_spki(modulus: int, exponent: int, algorithm: bytes | None = None) -> bytes:
    """An RSA SubjectPublicKeyInfo of any numbers."""
    rsa = tlv(SEQUENCE, oid("1.2.840.113549.1.1.1"), tlv(NULL))
    return spki(algorithm or rsa, tlv(SEQUENCE, integer(modulus), integer(exponent)))

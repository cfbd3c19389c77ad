"""From the body of an enrollment request to a signing request that has been taken apart and checked.

What `cryptography` accepts without a word is refused here: the first of several PEM blocks, explicit curve
parameters, a doubled attribute, weak keys, control characters in names. The bytes are never changed: what was read is
what is forwarded, and a request that does not fit is refused, not mended.
"""

import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from shared.core import der, keys, names
from shared.core.errors import Malformed, TooLarge

MAX_BODY: Final = 64 * 1024
MAX_DER: Final = 16 * 1024

_PEM: Final = re.compile(
    rb"-----BEGIN (NEW |)CERTIFICATE REQUEST-----([^-]*)-----END \1CERTIFICATE REQUEST-----\s*\Z", re.DOTALL
)
_WHITE_SPACE: Final = b" \t\r\n"

_EXTENSION_REQUEST: Final = der.encode_oid("1.2.840.113549.1.9.14")
_CHALLENGE: Final = der.encode_oid("1.2.840.113549.1.9.7")
_CHANGE_SUBJECT_NAME: Final = der.encode_oid("1.3.6.1.5.5.7.7.36")
_STRINGS: Final = {0x0C, 0x13, 0x16, 0x1A}  # UTF8String, PrintableString, IA5String, VisibleString

# Only these signatures: MD5 and SHA-1 would otherwise be reported as "wrong signature", SHA-224 accepted.
_SIGNATURES: Final = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
    "1.3.101.112": "ed25519",
}


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A PKCS#10 request whose signature proves possession of its key (RFC 7030 §3.4).

    `der` are the original bytes. `key` and `hash` are names as profiles list them. `san` holds the requested
    subjectAltName in its order as pairs of type and value, DNS names in lower case.
    """

    der: bytes
    subject: x509.Name
    common_name: str
    subject_attributes: tuple[str, ...]
    san: tuple[tuple[str, str], ...]
    key: str
    hash: str
    spki: bytes
    spki_sha256: str
    has_challenge_password: bool


def decode_body(body: bytes) -> bytes:
    """The DER inside an EST request body: base64 with white space anywhere (RFC 8951 §3.1), or one PEM block.

    Content-Transfer-Encoding has no say (RFC 8951 §3). Raises Malformed, TooLarge.
    """
    if len(body) > MAX_BODY:
        raise TooLarge(f"the request body is over {MAX_BODY} bytes")
    text = body
    if b"-----BEGIN" in body:
        # Real clients post PEM, also with all newlines gone (`curl --data @file`); of several blocks none is chosen.
        block = _PEM.search(body)
        if block is None or body.count(b"-----BEGIN") != 1:
            raise Malformed("the PEM text must hold exactly one CERTIFICATE REQUEST block")
        text = block[2]
    encoded = text.translate(None, _WHITE_SPACE)
    if not encoded:
        raise Malformed("the request body is empty: a base64 PKCS#10 request is expected")
    try:
        decoded = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error as error:
        raise Malformed("the request body is not base64 (RFC 4648 section 4) of a PKCS#10 request") from error
    if len(decoded) > MAX_DER:
        raise TooLarge(f"the PKCS#10 request is over {MAX_DER} bytes")
    return decoded


def parse(request: bytes) -> SigningRequest:
    """The checked form of a DER PKCS#10 request. Raises Malformed, saying what to change."""
    try:
        return _parse(request)
    except Malformed:
        raise
    except Exception as error:
        # The parser's lazy properties raise ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion,
        # DuplicateExtension and UnsupportedGeneralNameType; the last four share no base but Exception.
        raise Malformed("the PKCS#10 request cannot be read", cause=repr(error)) from error


def _parse(request: bytes) -> SigningRequest:
    csr = x509.load_der_x509_csr(request)
    info = next(der.values(csr.tbs_certrequest_bytes)).content
    _version, subject, spki, attributes = der.values(info)
    has_challenge_password = _check_attributes(attributes.content)
    key = _key(csr, spki)
    digest = _SIGNATURES.get(csr.signature_algorithm_oid.dotted_string)
    if digest is None:
        raise Malformed("the request is signed with an algorithm that is not accepted; use SHA-256, SHA-384 or SHA-512")
    if not csr.is_signature_valid:
        raise Malformed("the request's signature does not match its public key")
    _check_strings(subject)
    name = csr.subject  # read anew at each access
    common_name, subject_attributes = names.check_subject(name)
    return SigningRequest(
        der=request,
        subject=name,
        common_name=common_name,
        subject_attributes=subject_attributes,
        san=_check_extensions(csr.extensions),
        key=key,
        hash=digest,
        spki=spki.raw,
        spki_sha256=hashlib.sha256(spki.raw).hexdigest(),
        has_challenge_password=has_challenge_password,
    )


def _check_attributes(attributes: bytes) -> bool:
    """Every attribute at most once, with one value, and of a known kind. True when a challengePassword is there.

    Two extensionRequest attributes are read differently by different CAs, and so is Microsoft's 311.2.1.14.
    """
    seen = set()
    for attribute in der.values(attributes):
        oid, value_set = der.values(attribute.content)
        members = list(der.values(value_set.content))
        if oid.raw in seen or len(members) != 1:
            raise Malformed("each attribute of the request must stand once and have one value")
        seen.add(oid.raw)
        if oid.raw == _CHANGE_SUBJECT_NAME:
            raise Malformed("ChangeSubjectName is not supported: the subject cannot change at renewal")
        if oid.raw not in (_CHALLENGE, _EXTENSION_REQUEST):
            raise Malformed("the request holds an attribute other than extensionRequest and challengePassword")
        if oid.raw == _CHALLENGE and (members[0].tag not in _STRINGS or not 0 < len(members[0].content) <= 255):
            raise Malformed("challengePassword must be one string of at most 255 characters")
    return _CHALLENGE in seen


def _key(csr: x509.CertificateSigningRequest, spki: der.Value) -> str:
    algorithm = next(der.values(spki.content))
    if algorithm.raw not in keys.ALGORITHMS:
        raise Malformed("the public key's algorithm is not accepted; use RSA, or EC on a named NIST curve")
    key = csr.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if not 2048 <= key.key_size <= 4096:
            raise Malformed(f"the RSA key has {key.key_size} bits; 2048, 3072 or 4096 are accepted")
        keys.check_rsa(key)
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki.raw:
        # A compressed point is the same key in other bytes: its hash would not be found again in the certificate.
        raise Malformed("the public key is not in its usual form; an EC point must be uncompressed")
    return keys.name(key)


def _check_strings(subject: der.Value) -> None:
    """Subject attributes are UTF8String or PrintableString (RFC 5280 §4.1.2.4): readers differ on all other types."""
    for rdn in der.values(subject.content):
        for attribute in der.values(rdn.content):
            _oid, value = der.values(attribute.content)
            if value.tag not in (0x0C, 0x13):
                raise Malformed("each subject attribute must be a UTF8String or a PrintableString")


def _check_extensions(extensions: x509.Extensions) -> tuple[tuple[str, str], ...]:
    """Extensions are wishes; those that no device certificate may hold are refused. Returns the subjectAltName."""
    san: tuple[tuple[str, str], ...] = ()
    for extension in extensions:
        check = _EXTENSIONS.get(extension.oid)
        if check is None:
            raise Malformed(f"the request asks for the extension {extension.oid.dotted_string}, which is not granted")
        check(extension.value)
        if isinstance(extension.value, x509.SubjectAlternativeName):
            san = names.check_san(extension.value)
    return san


def _no_ca(value: x509.ExtensionType) -> None:
    if isinstance(value, x509.BasicConstraints) and value.ca:
        raise Malformed("the request asks for a CA certificate")


def _no_signing(value: x509.ExtensionType) -> None:
    if isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
        raise Malformed("the request asks for a key usage of a CA")


def _only_client(value: x509.ExtensionType) -> None:
    if isinstance(value, x509.ExtendedKeyUsage) and set(value) - {ExtendedKeyUsageOID.CLIENT_AUTH}:
        raise Malformed("the request asks for an extended key usage other than clientAuth")


def _nothing(_value: x509.ExtensionType) -> None:
    """The subject key identifier is only a hint, and names are checked on their own."""


_EXTENSIONS: Final[dict[x509.ObjectIdentifier, Callable[[x509.ExtensionType], None]]] = {
    ExtensionOID.BASIC_CONSTRAINTS: _no_ca,
    ExtensionOID.KEY_USAGE: _no_signing,
    ExtensionOID.EXTENDED_KEY_USAGE: _only_client,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: _nothing,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: _nothing,
}

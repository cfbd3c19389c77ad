"""The messages of SCEP (RFC 8894, 3.2): a CMS SignedData whose signed attributes are those of the transaction.

What is no strict DER, or has attributes beyond those that the RFC names, is no SCEP message here.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import ObjectIdentifier

from sandbox.digicert.scep.cms import (
    CONTENT_TYPE,
    DATA,
    MESSAGE_DIGEST,
    SIGNED_DATA,
    SIGNING_TIME,
    Algorithm,
    Attribute,
    ContentInfo,
    Encapsulated,
    IssuerAndSerial,
    SignedData,
    SignerInfo,
    attribute,
    tlv,
)

RSA: Final = ObjectIdentifier("1.2.840.113549.1.1.1")
MESSAGE_TYPE: Final = ObjectIdentifier("2.16.840.1.113733.1.9.2")
PKI_STATUS: Final = ObjectIdentifier("2.16.840.1.113733.1.9.3")
FAIL_INFO: Final = ObjectIdentifier("2.16.840.1.113733.1.9.4")
SENDER_NONCE: Final = ObjectIdentifier("2.16.840.1.113733.1.9.5")
RECIPIENT_NONCE: Final = ObjectIdentifier("2.16.840.1.113733.1.9.6")
TRANSACTION_ID: Final = ObjectIdentifier("2.16.840.1.113733.1.9.7")
FAIL_INFO_TEXT: Final = ObjectIdentifier("1.3.6.1.5.5.7.24.1")

SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
HASHES: Final = {
    SHA256: hashes.SHA256(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
}
# A client may name the key or the whole scheme (RFC 3370, 3.2).
SIGNATURES: Final = {RSA, *(ObjectIdentifier(f"1.2.840.113549.1.1.{arc}") for arc in (11, 12, 13))}
REQUEST: Final = {MESSAGE_TYPE, TRANSACTION_ID, SENDER_NONCE, CONTENT_TYPE, MESSAGE_DIGEST}

CERT_REP, RENEWAL_REQ, PKCS_REQ = "3", "17", "19"
SUCCESS, FAILURE = "0", "2"
BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST = "0", "1", "2"


class MalformedError(Exception):
    """The octets are no SCEP message: there is no transaction to answer in."""


@dataclass
class RefusedError(Exception):
    """Answered with a CertRep; `info` is a failInfo (RFC 8894, 3.2.1.4)."""

    info: str
    text: str


@dataclass(frozen=True)
class Message:
    """A request as it came in; `verify` tells whether its signature is right."""

    kind: str
    transaction: str
    nonce: bytes
    envelope: bytes
    signer: x509.Certificate
    info: SignerInfo


@dataclass(frozen=True)
class Signer:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def read(der: bytes) -> Message:
    try:
        outer = asn1.decode_der(ContentInfo, der)
        signed = outer.content
        (info,) = signed.signers.as_list()
        (signer,) = [each for each in signed.certificates or [] if is_signer(each, info.signer)]
        attributes = attributes_of(info)
        nonce = attributes[SENDER_NONCE].parse(bytes)
        kind = attributes[MESSAGE_TYPE].parse(asn1.PrintableString).as_str()
        transaction = attributes[TRANSACTION_ID].parse(asn1.PrintableString).as_str()
    except (ValueError, KeyError) as error:
        raise MalformedError(f"this is no SCEP message: {error}") from error
    if (outer.type, signed.encapsulated.type) != (SIGNED_DATA, DATA) or signed.encapsulated.content is None:
        raise MalformedError("this is no SCEP message: its content is no signed data")
    if len(nonce) != 16:
        raise MalformedError("a senderNonce has 16 octets (RFC 8894, 3.2.1.5)")
    return Message(kind, transaction, nonce, signed.encapsulated.content, signer, info)


def is_signer(certificate: x509.Certificate, wanted: IssuerAndSerial) -> bool:
    issuer = asn1.encode_der(wanted.issuer)
    return certificate.serial_number == wanted.serial and certificate.issuer.public_bytes() == issuer


def attributes_of(info: SignerInfo) -> dict[ObjectIdentifier, asn1.TLV]:
    found: dict[ObjectIdentifier, asn1.TLV] = {}
    for each in info.attributes.as_list():
        (value,) = each.values.as_list()
        if each.type in found or each.type not in REQUEST | {SIGNING_TIME}:
            raise ValueError(f"the attribute {each.type.dotted_string} is unknown, or there twice")
        found[each.type] = value
    if missing := REQUEST - found.keys():
        raise ValueError(f"an attribute is missing: {missing.pop().dotted_string}")
    return found


def verify(message: Message) -> None:
    """RFC 5652, 5.4 and 5.6: the digest is that of the content, and the signature covers the attributes."""
    info, attributes = message.info, attributes_of(message.info)
    algorithm, key = HASHES.get(info.digest.algorithm), message.signer.public_key()
    if algorithm is None or info.signature_algorithm.algorithm not in SIGNATURES:
        raise RefusedError(BAD_ALG, "the digest or the signature algorithm is not offered (see GetCACaps)")
    if not isinstance(key, rsa.RSAPublicKey):
        raise RefusedError(BAD_ALG, "SCEP needs an RSA key")
    try:
        key.verify(info.signature, asn1.encode_der(info.attributes), padding.PKCS1v15(), algorithm)
        digest = attributes[MESSAGE_DIGEST].parse(bytes)
        content_type = attributes[CONTENT_TYPE].parse(ObjectIdentifier)
    except (InvalidSignature, ValueError) as error:
        raise RefusedError(BAD_MESSAGE_CHECK, "the signature is wrong") from error
    if content_type != DATA or not hmac.compare_digest(digest, digest_of(message.envelope, algorithm)):
        raise RefusedError(BAD_MESSAGE_CHECK, "the message digest is wrong")


def success(signer: Signer, request: Message, envelope: bytes, now: datetime) -> bytes:
    return signed(signer, envelope, [*reply(request, SUCCESS, now)])


def failure(signer: Signer, request: Message, refused: RefusedError, now: datetime) -> bytes:
    """RFC 8894, 3.3.2.2: without an envelope."""
    info = attribute(FAIL_INFO, asn1.PrintableString(refused.info))
    return signed(signer, None, [*reply(request, FAILURE, now), info, attribute(FAIL_INFO_TEXT, refused.text)])


def reply(request: Message, status: str, now: datetime) -> list[Attribute]:
    return [
        attribute(MESSAGE_TYPE, asn1.PrintableString(CERT_REP)),
        attribute(PKI_STATUS, asn1.PrintableString(status)),
        attribute(TRANSACTION_ID, asn1.PrintableString(request.transaction)),
        attribute(SENDER_NONCE, secrets.token_bytes(16)),
        attribute(RECIPIENT_NONCE, request.nonce),
        attribute(SIGNING_TIME, asn1.UTCTime(now.replace(microsecond=0))),
    ]


def signed(signer: Signer, content: bytes | None, attributes: list[Attribute]) -> bytes:
    """With SHA-256, and with the signer's certificate."""
    digest = attribute(MESSAGE_DIGEST, digest_of(content or b"", hashes.SHA256()))
    covered = asn1.SetOf([*attributes, attribute(CONTENT_TYPE, DATA), digest])
    sha256 = Algorithm(algorithm=SHA256, parameters=asn1.Null())
    issuer = tlv(signer.certificate.issuer.public_bytes())
    info = SignerInfo(
        version=1,
        signer=IssuerAndSerial(issuer=issuer, serial=signer.certificate.serial_number),
        digest=sha256,
        attributes=covered,
        signature_algorithm=Algorithm(algorithm=RSA, parameters=asn1.Null()),
        signature=signer.key.sign(asn1.encode_der(covered), padding.PKCS1v15(), hashes.SHA256()),
    )
    content_data = SignedData(
        version=1,
        digests=asn1.SetOf([sha256]),
        encapsulated=Encapsulated(type=DATA, content=content),
        certificates=[signer.certificate],
        signers=asn1.SetOf([info]),
    )
    return asn1.encode_der(ContentInfo(type=SIGNED_DATA, content=content_data))


def digest_of(content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(content)
    return digest.finalize()

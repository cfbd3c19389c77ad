"""The parts of CMPv2 (RFC 4210, appendix F) and CRMF (RFC 4211, appendix B) that the stand-in speaks.

Decoding is strict: DER, one request in a message, and no field beyond these.
"""

from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

PBM: Final = ObjectIdentifier("1.2.840.113533.7.66.13")
OLD_CERT_ID: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.5")
IMPLICIT_CONFIRM: Final = ObjectIdentifier("1.3.6.1.5.5.7.4.13")

# The tags of PKIBody (RFC 4210, 5.1.2).
IR, IP, CR, CP, P10CR, KUR, KUP, PKICONF, ERROR, CERT_CONF = 0, 1, 2, 3, 4, 7, 8, 19, 23, 24

type Name = list[asn1.SetOf[NameAttribute]]


@asn1.sequence
class NameAttribute:
    type: ObjectIdentifier
    value: str | asn1.PrintableString | asn1.IA5String


@asn1.sequence
class Algorithm:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class PbmParameter:
    """RFC 4211, 4.4."""

    salt: bytes
    owf: Algorithm
    iterations: int
    mac: Algorithm


@asn1.sequence
class ProtectionAlgorithm:
    algorithm: ObjectIdentifier
    parameters: PbmParameter | asn1.Null | None


@asn1.sequence
class InfoTypeAndValue:
    type: ObjectIdentifier
    value: asn1.Null | None


@asn1.sequence
class Header:
    """PKIHeader. `sender` and `recipient` are GeneralNames, handed back as they came."""

    version: int
    sender: asn1.TLV
    recipient: asn1.TLV
    time: Annotated[asn1.GeneralizedTime | None, asn1.Explicit(0)]
    protection: Annotated[ProtectionAlgorithm | None, asn1.Explicit(1)]
    sender_key: Annotated[bytes | None, asn1.Explicit(2)]
    recipient_key: Annotated[bytes | None, asn1.Explicit(3)]
    transaction: Annotated[bytes, asn1.Explicit(4)]
    sender_nonce: Annotated[bytes, asn1.Explicit(5)]
    recipient_nonce: Annotated[bytes | None, asn1.Explicit(6)]
    free_text: Annotated[list[str] | None, asn1.Explicit(7)]
    general_info: Annotated[list[InfoTypeAndValue] | None, asn1.Explicit(8)]


@asn1.sequence
class ProtectedPart:
    header: Header
    body: asn1.TLV


@asn1.sequence
class Message:
    """PKIMessage."""

    header: Header
    body: asn1.TLV
    protection: Annotated[asn1.BitString | None, asn1.Explicit(0)]
    extra_certificates: Annotated[list[x509.Certificate] | None, asn1.Explicit(1)]


@asn1.sequence
class KeyAlgorithm:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | ObjectIdentifier | None


@asn1.sequence
class PublicKeyInfo:
    algorithm: KeyAlgorithm
    key: asn1.BitString


@asn1.sequence
class CertTemplate:
    issuer: Annotated[Name | None, asn1.Explicit(3)]
    subject: Annotated[Name, asn1.Explicit(5)]
    public_key: Annotated[PublicKeyInfo, asn1.Implicit(6)]


@asn1.sequence
class CertId:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class Control:
    type: ObjectIdentifier
    value: CertId


@asn1.sequence
class CertRequest:
    id: int
    template: CertTemplate
    controls: list[Control] | None


@asn1.sequence
class SigningKeyProof:
    """POPOSigningKey without poposkInput: the signature covers the CertRequest (RFC 4211, 4.1)."""

    algorithm: Algorithm
    signature: asn1.BitString


@asn1.sequence
class CertReqMsg:
    request: CertRequest
    proof: Annotated[SigningKeyProof, asn1.Implicit(1)]


@asn1.sequence
class CertReqMessages:
    only: CertReqMsg


@asn1.sequence
class StatusInfo:
    """PKIStatusInfo."""

    status: int
    text: list[str] | None
    fail_info: asn1.BitString | None


@asn1.sequence
class CertifiedKeyPair:
    certificate: Annotated[x509.Certificate, asn1.Explicit(0)]


@asn1.sequence
class CertResponse:
    id: int
    status: StatusInfo
    key_pair: CertifiedKeyPair | None


@asn1.sequence
class CertRepMessage:
    ca_certificates: Annotated[list[x509.Certificate] | None, asn1.Explicit(1)]
    responses: list[CertResponse]


@asn1.sequence
class CertStatus:
    hash: bytes
    id: int
    status: StatusInfo | None


@asn1.sequence
class CertConfirmContent:
    only: CertStatus


@asn1.sequence
class ErrorMsgContent:
    status: StatusInfo


class MalformedError(Exception):
    """The octets are no CMP message: there is no transaction to answer in."""


def read[T](kind: type[T], der: bytes) -> T:
    try:
        return asn1.decode_der(kind, der)
    except ValueError as error:
        text = f"this is no CMP message, or one with parts that the stand-in does not play: {error}"
        raise MalformedError(text) from error


def tlv(der: bytes) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, der)


def body(number: int, content: bytes) -> asn1.TLV:
    """PKIBody: the content under its explicit tag (X.690, 8.14)."""
    size = len(content).to_bytes(4).lstrip(b"\0") or b"\0"
    length = size if len(content) < 128 else bytes([0x80 | len(size)]) + size
    return tlv(bytes([0xA0 | number]) + length + content)


def directory_name(name: x509.Name) -> asn1.TLV:
    """A GeneralName."""
    return body(4, name.public_bytes())


def tag_of(body_: asn1.TLV) -> int:
    """Which kind of PKIBody, or -1: no kind has a tag in more than one octet."""
    match tuple(body_.tag_bytes):
        case (octet,) if octet & 0xE0 == 0xA0:
            return octet & 0x1F
    return -1


def name_of(name: Name) -> x509.Name:
    return x509.Name([x509.RelativeDistinguishedName(map(attribute_of, each.as_list())) for each in name])


def attribute_of(attribute: NameAttribute) -> x509.NameAttribute[str]:
    value = attribute.value
    return x509.NameAttribute(attribute.type, value if isinstance(value, str) else value.as_str())

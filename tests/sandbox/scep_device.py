"""A device that makes SCEP messages by hand, to get them wrong, and reads the answers."""

from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID

from sandbox import pki
from sandbox.digicert.ca import SCEP_PROFILE
from sandbox.digicert.scep import message as messages
from sandbox.digicert.scep.cms import Attribute, ContentInfo, attribute
from sandbox.digicert.scep.message import Signer
from tests.sandbox.digicert_one import Answer, DigiCert

SCEP = f"/iot/api/v1/scep/{SCEP_PROFILE}"
NONCE = b"0123456789abcdef"


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def self_signed(key: rsa.RSAPrivateKey) -> Signer:
    """As a device without a certificate signs (RFC 8894, 2.3)."""
    name, public = pki.common_name("dev-1"), key.public_key()
    begin, end = pki.tls_root().certificate.not_valid_before_utc, pki.tls_root().certificate.not_valid_after_utc
    builder = pki.builder_for(name, public, [], begin, end).issuer_name(name)
    return Signer(builder.sign(key, hashes.SHA256()), key)


@dataclass
class Device:
    """Makes one message; tests change a part of it."""

    ra: x509.Certificate
    password: str
    key: rsa.RSAPrivateKey = field(default_factory=rsa_key)
    name: str = "dev-1"
    kind: str = messages.PKCS_REQ
    nonce: bytes = NONCE
    more: list[Attribute] = field(default_factory=list)
    signer: Signer | None = None

    def csr(self) -> x509.CertificateSigningRequest:
        subject = pki.common_name(self.name) if self.name else x509.Name([])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if self.password:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, self.password.encode())
        return builder.sign(self.key, hashes.SHA256())

    def envelope(self) -> bytes:
        csr = self.csr().public_bytes(Encoding.DER)
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(csr).add_recipient(self.ra)
        return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])

    def message(self, envelope: bytes | None = None) -> bytes:
        self.signer = self.signer or self_signed(self.key)
        attributes = [
            attribute(messages.MESSAGE_TYPE, asn1.PrintableString(self.kind)),
            attribute(messages.TRANSACTION_ID, asn1.PrintableString("1")),
            attribute(messages.SENDER_NONCE, self.nonce),
            *self.more,
        ]
        return messages.signed(self.signer, envelope or self.envelope(), attributes)

    def certificate(self, answer: Answer) -> x509.Certificate:
        attributes, content = opened(answer)
        assert (attributes[messages.PKI_STATUS], self.signer is None) == ("0", False)
        assert content is not None
        assert self.signer is not None
        inner = pkcs7.pkcs7_decrypt_der(content, self.signer.certificate, self.signer.key, [])
        (leaf,) = pkcs7.load_der_pkcs7_certificates(inner)
        return leaf


async def device(one: DigiCert) -> Device:
    shown = await one.ask("GET", f"{SCEP}?operation=GetCACert")
    assert shown.headers["Content-Type"] == "application/x-x509-ca-ra-cert"
    (ra,) = [
        each
        for each in pkcs7.load_der_pkcs7_certificates(shown.body)
        if not each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    ]
    return Device(ra, one.credentials.scep_passcode)


async def post(one: DigiCert, message: bytes) -> Answer:
    return await one.ask("POST", f"{SCEP}?operation=PKIOperation", data=message)


def opened(answer: Answer) -> tuple[dict[x509.ObjectIdentifier, Any], bytes | None]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-pki-message")
    signed = asn1.decode_der(ContentInfo, answer.body).content
    (info,) = signed.signers.as_list()
    found: dict[x509.ObjectIdentifier, Any] = {}
    for each in info.attributes.as_list():
        (value,) = each.values.as_list()
        text = value.tag_bytes in (b"\x13", b"\x0c")
        found[each.type] = bytes(value.data).decode() if text else bytes(value.data)
    return found, signed.encapsulated.content


def fail_info(answer: Answer) -> tuple[str, str]:
    attributes, content = opened(answer)
    assert (attributes[messages.PKI_STATUS], content) == ("2", None)
    assert attributes[messages.RECIPIENT_NONCE] == NONCE
    return attributes[messages.FAIL_INFO], attributes[messages.FAIL_INFO_TEXT]

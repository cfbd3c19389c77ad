"""Who may have which certificate over SCEP (RFC 8894, 2.3 and 3.3.1)."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import AttributeOID

from sandbox.digicert.access import Access, same
from sandbox.digicert.ca import SCEP_PROFILE, Ca, Request
from sandbox.digicert.csr import CsrError, wanted
from sandbox.digicert.scep.message import (
    BAD_ALG,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    PKCS_REQ,
    RENEWAL_REQ,
    Message,
    RefusedError,
    Signer,
    verify,
)


def accept(ca: Ca, granted: Access, registration: Signer, message: Message) -> Request:
    """What the message asks for, when whoever signed it may have that."""
    if message.kind not in (PKCS_REQ, RENEWAL_REQ):
        raise RefusedError(BAD_REQUEST, f"the stand-in does not play messageType {message.kind}")
    verify(message)
    csr = opened(registration, message.envelope)
    try:
        asked = wanted(csr)
    except CsrError as error:
        raise RefusedError(BAD_REQUEST, str(error)) from error
    if not isinstance(asked.public_key, rsa.RSAPublicKey):
        raise RefusedError(BAD_ALG, "SCEP needs an RSA key")
    if message.kind == RENEWAL_REQ:
        require_predecessor(ca, message.signer, asked)
    else:
        require_challenge(granted, csr)
        if message.signer.public_key() != asked.public_key:
            raise RefusedError(BAD_REQUEST, "the request is not signed with its own key")
    return asked


def opened(registration: Signer, envelope: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(pkcs7.pkcs7_decrypt_der(envelope, registration.certificate, registration.key, []))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RefusedError(BAD_MESSAGE_CHECK, "the envelope holds no CSR for this RA") from error


def require_challenge(granted: Access, csr: x509.CertificateSigningRequest) -> None:
    try:
        given = csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode()
    except (x509.AttributeNotFound, ValueError):
        given = ""
    if not same(given, granted.scep_passcode):
        raise RefusedError(BAD_REQUEST, "the challenge password is missing or wrong")


def require_predecessor(ca: Ca, signer: x509.Certificate, asked: Request) -> None:
    """A certificate of this CA that is still good renews itself, within its window."""
    now = ca.world.clock.now()
    held = [each for each in ca.by_name.get(asked.name, []) if each.certificate == signer]
    if not held or held[0].profile != SCEP_PROFILE or held[0].status(now) != "ISSUED":
        raise RefusedError(BAD_REQUEST, "the message is not signed with a certificate that may be renewed")
    if signer.subject != asked.subject:
        raise RefusedError(BAD_REQUEST, "the subject is not that of the certificate")
    if not ca.renewable(held[0]):
        raise RefusedError(BAD_REQUEST, "the renewal window is not open")

"""Who may have which certificate over CMP (RFC 4210, 5.3.1 to 5.3.6)."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sandbox.digicert.ca import CMP_PROFILE, Ca, Issued, Request
from sandbox.digicert.cmp.protection import Sender, signed_by
from sandbox.digicert.cmp.refusal import (
    BAD_CERT_ID,
    BAD_CERT_TEMPLATE,
    BAD_POP,
    BAD_REQUEST,
    NOT_AUTHORIZED,
    RefusedError,
)
from sandbox.digicert.cmp.syntax import KUR, OLD_CERT_ID, P10CR, CertReqMessages, CertReqMsg, CertRequest, name_of, read
from sandbox.digicert.csr import CsrError, requested, wanted

NO_ID = -1  # a PKCS#10 request has no certReqId (RFC 9483, 4.1.4)


def accept(kind: int, content: bytes, sender: Sender, ca: Ca) -> tuple[int, Request]:
    """The certReqId and what is asked for, when the sender may have that."""
    if kind == P10CR:
        require_secret(sender)
        try:
            return NO_ID, wanted(x509.load_der_x509_csr(content))
        except (CsrError, ValueError) as error:
            raise RefusedError(BAD_CERT_TEMPLATE, str(error)) from error
    message = read(CertReqMessages, content).only
    asked = proven(message)
    if kind == KUR:
        require_predecessor(message.request, sender, ca, asked)
    else:
        require_secret(sender)
        if message.request.controls:
            raise RefusedError(BAD_REQUEST, "only a key update request has controls")
    return message.request.id, asked


def require_secret(sender: Sender) -> None:
    """At DigiCert ONE a profile may let certificates of a CA ask, too; the sandbox's lets them renew themselves."""
    if sender.certificate is not None:
        raise RefusedError(NOT_AUTHORIZED, "a certificate may only renew itself (kur)")


def proven(message: CertReqMsg) -> Request:
    """RFC 4211, 4.1: the signature of the new key covers the whole CertRequest."""
    template, proof = message.request.template, message.proof
    try:
        key = load_der_public_key(asn1.encode_der(template.public_key))
        asked = requested(name_of(template.subject), key, None)
    except (CsrError, ValueError, UnsupportedAlgorithm) as error:
        raise RefusedError(BAD_CERT_TEMPLATE, str(error)) from error
    data = asn1.encode_der(message.request)
    if not signed_by(asked.public_key, proof.algorithm.algorithm, proof.signature.as_bytes(), data):
        raise RefusedError(BAD_POP, "the request is not signed with the key that it names")
    return asked


def require_predecessor(request: CertRequest, sender: Sender, ca: Ca, asked: Request) -> None:
    """A certificate of this CA that is still good renews itself, within its window."""
    old = named(request, ca)
    if sender.certificate not in (None, old):
        raise RefusedError(NOT_AUTHORIZED, "a certificate may only renew itself")
    if old.profile != CMP_PROFILE or old.status(ca.world.clock.now()) != "ISSUED":
        raise RefusedError(BAD_CERT_ID, "the certificate is not one that may be renewed")
    if old.certificate.subject != asked.subject:
        raise RefusedError(BAD_CERT_TEMPLATE, "the subject is not that of the certificate")
    if not ca.renewable(old):
        raise RefusedError(BAD_REQUEST, "the renewal window is not open")


def named(request: CertRequest, ca: Ca) -> Issued:
    """RFC 4210, 5.3.5: the control oldCertId names the certificate to be renewed."""
    match request.controls:
        case [control] if control.type == OLD_CERT_ID:
            found = ca.by_serial(f"{control.value.serial:X}")
            if found is not None:
                return found
    raise RefusedError(BAD_CERT_ID, "oldCertId is missing, or names no certificate of this CA")

"""What the CA demands of a certification request before it issues anything."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from sandbox.digicert.ca import Request
from sandbox.digicert.errors import problem

UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class CsrError(Exception):
    """Why the CA does not certify what is asked for; a client may read it."""


def request_of(csr: x509.CertificateSigningRequest) -> Request:
    """As `wanted`, for the interfaces that answer in JSON."""
    try:
        return wanted(csr)
    except CsrError as error:
        raise problem(400, "invalid_input", str(error)) from error


def wanted(csr: x509.CertificateSigningRequest, subject: x509.Name | None = None) -> Request:
    """Subject, key and SAN of a sound request; other extensions are the profile's business and not the client's.

    `subject` takes the place of the request's own.
    """
    try:
        proven = csr.is_signature_valid
        san = [each.value for each in csr.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
        key = csr.public_key()
        subject = csr.subject if subject is None else subject
    except UNREADABLE as error:
        raise CsrError(f"the CSR cannot be read: {type(error).__name__}") from error
    if not proven:
        raise CsrError("the signature of the CSR is wrong")
    return requested(subject, key, san[0] if san else None)


def requested(subject: x509.Name, key: PublicKeyTypes, san: x509.SubjectAlternativeName | None) -> Request:
    """What the certificate profile allows, wherever it stood."""
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(name := names[0].value, str) or not 1 <= len(name) <= 64:
        raise CsrError("subject.common_name is required, once, with 1 to 64 characters")
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, CURVES):
            return Request(name, subject, key, san)
        case rsa.RSAPublicKey() if key.key_size >= 2048:
            return Request(name, subject, key, san)
    raise CsrError("the key type is not allowed by the certificate profile")

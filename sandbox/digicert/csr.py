"""What the CA demands of a certification request before it issues anything."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sandbox.digicert.ca import Request
from sandbox.digicert.errors import problem

UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def request_of(csr: x509.CertificateSigningRequest) -> Request:
    """Subject, key and SAN of a sound request; other extensions are the profile's business and not the client's."""
    try:
        proven = csr.is_signature_valid
        san = [each.value for each in csr.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
        key = csr.public_key()
        names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE as error:
        raise problem(400, "invalid_input", f"the CSR cannot be read: {type(error).__name__}") from error
    if not proven:
        raise problem(400, "invalid_input", "the signature of the CSR is wrong")
    if len(names) != 1 or not isinstance(name := names[0].value, str) or not 1 <= len(name) <= 64:
        raise problem(400, "invalid_input", "subject.common_name is required, once, with 1 to 64 characters")
    elliptic = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)
    if not elliptic and not (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048):
        raise problem(400, "invalid_input", "the key type is not allowed by the certificate profile")
    return Request(name, csr.subject, key, san[0] if san else None)

"""Who sends a CMP message, and that it came unchanged: a MAC of a shared secret, or a signature (RFC 4210, 5.1.3).

The reference is the id of a passcode, the secret is the passcode (unsure), as DigiCert ONE's users call `openssl cmp
-ref ID -secret pass:PASSCODE`. They give the issuing CA as `-srvcert`, with `-ignore_keyusage`: it signs the answers.
"""

import hmac
import secrets
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import SignatureAlgorithmOID

from sandbox.digicert.access import Access, same
from sandbox.digicert.ca import CMP_PROFILE, Ca, Issued
from sandbox.digicert.cmp.refusal import BAD_ALG, BAD_MESSAGE_CHECK, SIGNER_NOT_TRUSTED, RefusedError
from sandbox.digicert.cmp.syntax import PBM, Header, Message, PbmParameter, ProtectedPart, ProtectionAlgorithm

SIGNATURES: Final[dict[ObjectIdentifier, hashes.HashAlgorithm]] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.RSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.RSA_WITH_SHA512: hashes.SHA512(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: hashes.SHA512(),
}
ONE_WAY: Final = {ObjectIdentifier("2.16.840.1.101.3.4.2.1"): hashes.SHA256()}
# OpenSSL 3 takes HMAC with SHA-1 unless told otherwise, under the name that RFC 4211 has for it.
MACS: Final = {
    ObjectIdentifier("1.3.6.1.5.5.8.1.2"): "sha1",
    ObjectIdentifier("1.2.840.113549.2.7"): "sha1",
    ObjectIdentifier("1.2.840.113549.2.9"): "sha256",
}
ITERATIONS: Final = range(100, 100_001)  # RFC 4211, 4.4: at least 100, and no more than one is ready to compute


@dataclass(frozen=True)
class Sender:
    """Who proved to have sent a message: whoever holds the secret, or a certificate that this CA has issued."""

    certificate: Issued | None


def authenticate(message: Message, ca: Ca, granted: Access) -> Sender:
    header = message.header
    if header.protection is None or message.protection is None:
        raise RefusedError(BAD_MESSAGE_CHECK, "the message is not protected")
    covered, value = covered_by(header, message.body), message.protection.as_bytes()
    parameters = header.protection.parameters
    if header.protection.algorithm == PBM and isinstance(parameters, PbmParameter):
        reference = (header.sender_key or b"").decode("utf-8", "replace")
        expected = mac(parameters, granted.cmp_passcode, covered)
        if not same(reference, granted.cmp_reference) or not hmac.compare_digest(value, expected):
            raise RefusedError(BAD_MESSAGE_CHECK, "the reference or the secret is wrong")
        return Sender(None)
    signer = signer_of(message, ca)
    if not signed_by(signer.certificate.public_key(), header.protection.algorithm, value, covered):
        raise RefusedError(BAD_MESSAGE_CHECK, "the signature is wrong")
    return Sender(signer)


def signer_of(message: Message, ca: Ca) -> Issued:
    """The first of the extra certificates (RFC 9483, 3.3), which must be good and of this profile."""
    shown, now = message.extra_certificates or [], ca.world.clock.now()
    for each in ca.issued:
        if shown and each.certificate == shown[0] and each.profile == CMP_PROFILE and each.status(now) == "ISSUED":
            return each
    raise RefusedError(SIGNER_NOT_TRUSTED, "the message is not signed with a good certificate of this profile")


def protect(
    header: Header, body: asn1.TLV, asked: ProtectionAlgorithm | None, sender: Sender | None, *, ca: Ca, granted: Access
) -> Message:
    """An answer protected as the request was; not at all where nobody is known to have sent that."""
    if sender is None or asked is None:
        return Message(header=header, body=body, protection=None, extra_certificates=None)
    issuing = ca.hierarchy.ica
    if isinstance(asked.parameters, PbmParameter):
        parameters = replace(asked.parameters, salt=secrets.token_bytes(16))
        header = replace(header, protection=ProtectionAlgorithm(algorithm=PBM, parameters=parameters))
        value = mac(parameters, granted.cmp_passcode, covered_by(header, body))
    else:
        algorithm = SignatureAlgorithmOID.ECDSA_WITH_SHA256
        header = replace(header, protection=ProtectionAlgorithm(algorithm=algorithm, parameters=None))
        value = issuing.key.sign(covered_by(header, body), ec.ECDSA(hashes.SHA256()))
    certificates = [issuing.certificate, ca.hierarchy.root.certificate]
    return Message(header=header, body=body, protection=asn1.BitString(value, 0), extra_certificates=certificates)


def covered_by(header: Header, body: asn1.TLV) -> bytes:
    return asn1.encode_der(ProtectedPart(header=header, body=body))


def mac(parameters: PbmParameter, secret: str, data: bytes) -> bytes:
    """RFC 4211, 4.4: the secret and the salt are hashed again and again; what comes out is the key."""
    one_way, name = ONE_WAY.get(parameters.owf.algorithm), MACS.get(parameters.mac.algorithm)
    if one_way is None or name is None or parameters.iterations not in ITERATIONS:
        raise RefusedError(BAD_ALG, "the MAC must be HMAC, its key from 100 to 100000 rounds of SHA-256")
    key = secret.encode() + parameters.salt
    for _ in range(parameters.iterations):
        digest = hashes.Hash(one_way)
        digest.update(key)
        key = digest.finalize()
    return hmac.digest(key, data, name)


def signed_by(key: CertificatePublicKeyTypes, algorithm: ObjectIdentifier, signature: bytes, data: bytes) -> bool:
    digest = SIGNATURES.get(algorithm)
    if digest is None:
        raise RefusedError(BAD_ALG, f"the signature algorithm {algorithm.dotted_string} is not allowed")
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, data, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey():
                key.verify(signature, data, ec.ECDSA(digest))
            case _:
                return False
    except InvalidSignature:
        return False
    return True


def key_identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

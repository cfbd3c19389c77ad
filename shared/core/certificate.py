"""What is kept of a certificate, and the checks on one that DigiCert ONE has just issued."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.core import names
from shared.core.csr import SigningRequest
from shared.core.errors import UpstreamRefused

# A certificate may begin a little in the future of our clock, and CAs date them back against clock skew.
CLOCK_SKEW: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A device certificate as the ledger knows it. Hex is lower case without separators; times are UTC."""

    der: bytes
    serial: str
    thumbprint: str  # SHA-256 of the DER; DPS and IoT Hub call this the thumbprint
    thumbprint_sha1: str
    spki_sha256: str
    subject: str  # RFC 4514
    issuer: str
    not_before: datetime
    not_after: datetime

    def is_valid_at(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after

    def renewal_due(self, renewal_point: float) -> datetime:
        """When `renewal_point` (0 to 1) of the lifetime is over."""
        return self.not_before + (self.not_after - self.not_before) * renewal_point


def certificate(loaded: x509.Certificate) -> Certificate:
    """The parts of a parsed certificate that are kept."""
    encoded = loaded.public_bytes(Encoding.DER)
    spki = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        der=encoded,
        serial=serial_hex(loaded),
        thumbprint=hashlib.sha256(encoded).hexdigest(),
        thumbprint_sha1=hashlib.sha1(encoded, usedforsecurity=False).hexdigest(),
        spki_sha256=hashlib.sha256(spki).hexdigest(),
        subject=loaded.subject.rfc4514_string(),
        issuer=loaded.issuer.rfc4514_string(),
        not_before=loaded.not_valid_before_utc,
        not_after=loaded.not_valid_after_utc,
    )


def serial_hex(loaded: x509.Certificate) -> str:
    """The serial number in lower-case hex, as DigiCert ONE prints it."""
    return f"{loaded.serial_number:x}"


def check_issued(candidates: list[x509.Certificate], request: SigningRequest, now: datetime) -> x509.Certificate:
    """The one certificate among `candidates` that answers the request; chains that came with it are left out.

    RFC 7030 §4.2.3: the answer holds nothing but the issued certificate. Raises UpstreamRefused when none fits.
    """
    try:
        return _check_issued(candidates, request, now)
    except UpstreamRefused:
        raise
    except Exception as error:  # a certificate's properties are parsed lazily and raise without a common base
        raise UpstreamRefused("the CA answered with a certificate that cannot be read", cause=repr(error)) from error


def _check_issued(candidates: list[x509.Certificate], request: SigningRequest, now: datetime) -> x509.Certificate:
    leaf = next((one for one in candidates if _spki(one) == request.spki_sha256), None)
    if leaf is None:
        raise UpstreamRefused("the CA answered with a certificate for another key", cause="no key match")
    if leaf.subject != request.subject:
        raise UpstreamRefused(
            "the CA changed the subject of the certificate",
            cause=f"asked {request.subject.rfc4514_string()!r}, got {leaf.subject.rfc4514_string()!r}",
        )
    if not leaf.not_valid_before_utc - CLOCK_SKEW <= now < leaf.not_valid_after_utc:
        raise UpstreamRefused("the CA answered with a certificate that is not valid now", cause=_validity(leaf))
    granted = {*request.san, ("dns", request.common_name.lower())}
    if is_ca(leaf) or not granted.issuperset(names.certificate_san(leaf)):
        raise UpstreamRefused(
            "the CA answered with a certificate that says more than was asked for",
            cause=f"CA: {is_ca(leaf)}, subjectAltName: {names.certificate_san(leaf)}",
        )
    return leaf


def is_ca(one: x509.Certificate) -> bool:
    """Whether the certificate is that of a CA (RFC 5280 §4.2.1.9)."""
    try:
        return bool(one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def is_issued_by(leaf: x509.Certificate, authorities: tuple[x509.Certificate, ...]) -> bool:
    """True when one of the authorities has signed the certificate."""
    return any(_has_signed(authority, leaf) for authority in authorities)


def issuer_text(leaf: x509.Certificate) -> str:
    """The issuer's name for the log; whoever made the certificate may have put anything there."""
    try:
        return leaf.issuer.rfc4514_string()
    except ValueError:
        return "an issuer whose name cannot be read"


def _has_signed(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)  # compares the names too
    except Exception:  # noqa: BLE001 - InvalidSignature, ValueError, TypeError and UnsupportedAlgorithm share no base
        return False
    return True


def _spki(loaded: x509.Certificate) -> str:
    spki = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _validity(leaf: x509.Certificate) -> str:
    return f"{leaf.not_valid_before_utc.astimezone(UTC)} to {leaf.not_valid_after_utc.astimezone(UTC)}"

"""Client certificates that nobody knows, and the forms in which one may be forged into a header."""

import base64
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

GARBAGE: Final = base64.b64encode(b"forged").decode()
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smoke-stranger")])


def stranger(begin: datetime, end: datetime) -> str:
    """PEM of a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    shown = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (certificate.public_bytes(Encoding.PEM) + shown).decode()


def fresh(now: datetime) -> str:
    return stranger(now - timedelta(hours=1), now + timedelta(days=1))


def expired(now: datetime) -> str:
    return stranger(now - timedelta(days=9), now - timedelta(days=1))


def forms(certificate: x509.Certificate) -> dict[str, str]:
    """How the certificate might stand in a header: as App Service writes it, in PEM, and as nginx writes it."""
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return {
        "base64": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
        "PEM": " ".join(pem.split("\n")).strip(),
        "URL-encoded PEM": quote(pem, safe=""),
    }

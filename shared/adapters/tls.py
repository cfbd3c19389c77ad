"""TLS contexts: the system's trust, and client certificates that come from Key Vault and never rest on disk."""

import base64
import secrets
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from shared.core.errors import Misconfigured

_TEXT: Final = "the service is not set up correctly"


def context() -> ssl.SSLContext:
    """TLS 1.2 or later under the system's trust store (SSL_CERT_FILE moves it)."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def client_context(secret: str) -> ssl.SSLContext:
    """The same with a client certificate: `secret` is PEM (certificates and key) or base64 of a PFX without password.

    `ssl` reads keys from files alone, so the key is written encrypted under a password that lives for this call.
    Raises Misconfigured.
    """
    key, certificates = _read(secret)
    password = secrets.token_hex(32)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    made = context()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(encrypted + b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
        try:
            made.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            raise Misconfigured(_TEXT, cause="a client certificate and its key do not match") from error
    return made


def _read(secret: str) -> tuple[PrivateKeyTypes, list[x509.Certificate]]:
    """Key and certificates, leaf first. The error never quotes what was read."""
    try:
        return _from_pem(secret) if "-----BEGIN" in secret else _from_pfx(secret)
    except (ValueError, TypeError):
        raise Misconfigured(_TEXT, cause="a client certificate secret is neither PEM nor PFX") from None


def _from_pem(secret: str) -> tuple[PrivateKeyTypes, list[x509.Certificate]]:
    parts = ["-----BEGIN " + part for part in secret.split("-----BEGIN ")[1:]]
    key = next((part for part in parts if "PRIVATE KEY-----" in part), "")
    return load_pem_private_key(key.encode(), None), x509.load_pem_x509_certificates(secret.encode())


def _from_pfx(secret: str) -> tuple[PrivateKeyTypes, list[x509.Certificate]]:
    key, leaf, others = pkcs12.load_key_and_certificates(base64.b64decode(secret, validate=True), None)
    if key is None or leaf is None:
        raise ValueError("the PFX lacks a key or its certificate")
    return key, [leaf, *others]

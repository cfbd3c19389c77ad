"""Client certificates from Key Vault: every form they come in, and never in clear on disk."""

import base64
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from sandbox import pki
from shared.adapters import tls
from shared.core.errors import Misconfigured

AUTHORITY = pki.factory_authority(datetime.now(UTC))
KEY = ec.generate_private_key(ec.SECP256R1())
LEAF = pki.issue_leaf(AUTHORITY, "birthcert", KEY.public_key(), datetime.now(UTC))
CERTIFICATES = LEAF.public_bytes(Encoding.PEM) + AUTHORITY.certificate.public_bytes(Encoding.PEM)
PEM_KEY = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PFX = pkcs12.serialize_key_and_certificates(b"", KEY, LEAF, [AUTHORITY.certificate], NoEncryption())

FORMS = {
    "certificates, then key": CERTIFICATES + PEM_KEY,
    "key, then certificates": PEM_KEY + CERTIFICATES,
    "traditional key": CERTIFICATES + KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    "PFX": base64.b64encode(PFX),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_makes_a_context(form: str) -> None:
    tls.client_context(FORMS[form].decode())


OTHER = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

BROKEN = {
    "empty": b"",
    "no key": CERTIFICATES,
    "no certificate": PEM_KEY,
    "another key": CERTIFICATES + OTHER,
    "garbage": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + CERTIFICATES,
    "not base64": b"@@@",
    "PFX without key": base64.b64encode(
        pkcs12.serialize_key_and_certificates(b"", None, None, [AUTHORITY.certificate], NoEncryption())
    ),
}


@pytest.mark.parametrize("form", BROKEN)
def test_what_is_no_certificate_and_key_is_named_without_being_quoted(form: str) -> None:
    secret = BROKEN[form].decode()
    with pytest.raises(Misconfigured) as refused:
        tls.client_context(secret)
    shown = f"{refused.value.public} {refused.value.cause}"
    assert not any(line in shown for line in secret.splitlines() if len(line) > 8)


def test_the_key_rests_on_disk_only_encrypted_and_only_for_a_moment() -> None:
    """An audit hook copies each file as it is read back, which is the last moment before it is deleted."""
    seen: list[bytes] = []
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and event == "shutil.rmtree":
            watching[0] = False
            seen.extend(file.read_bytes() for file in Path(arguments[0]).iterdir())

    sys.addaudithook(watch)
    tls.client_context((CERTIFICATES + PEM_KEY).decode())
    assert len(seen) == 1, "the file that OpenSSL reads was not seen: the test would prove nothing"
    assert b"ENCRYPTED PRIVATE KEY" in seen[0]
    assert PEM_KEY.splitlines()[1] not in seen[0]
    assert not list(Path(tempfile.gettempdir()).glob("*/client.pem"))

"""Every credential of the sandbox, made anew at each start and worth nothing elsewhere.

Each secret is listed in `world.secrets`, and holds the canary where its form allows, so that one search of all logs
finds any leak.
"""

import base64
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import pki
from sandbox.world import World


@dataclass(frozen=True)
class Credentials:
    canary: str
    device_user: str
    device_password: str = field(repr=False)
    digicert_passcode_user: str
    digicert_passcode: str = field(repr=False)
    digicert_api_key: str = field(repr=False)
    digicert_client_pem: str = field(repr=False)
    digicert_client_certificate: x509.Certificate
    scep_passcode: str = field(repr=False)
    cmp_reference: str  # the id of the passcode, not a secret
    cmp_passcode: str = field(repr=False)
    acme_key_id: str
    acme_hmac_key: str = field(repr=False)
    front_end_secret: str = field(repr=False)
    function_key: str = field(repr=False)
    allocation_key: str = field(repr=False)
    event_grid_key: str = field(repr=False)
    identity_header: str = field(repr=False)
    token_key: bytes = field(repr=False)


def new_credentials(world: World) -> Credentials:
    canary = f"canary-{secrets.token_hex(8)}"
    world.secrets.append(canary)

    def secret(name: str) -> str:
        value = f"{name}-{canary}-{secrets.token_urlsafe(24)}"
        world.secrets.append(value)
        return value

    # DigiCert shows the key as the base64url of a text, too: then the canary is hidden in it.
    hmac_key = base64.urlsafe_b64encode(secret("acme-hmac-key").encode()).decode().rstrip("=")
    world.secrets.append(hmac_key)
    certificate, pem = client_identity()
    world.secrets.extend(private_lines(pem))
    return Credentials(
        canary=canary,
        device_user="device",
        device_password=secret("device-password"),
        digicert_passcode_user="birthcert",
        digicert_passcode=secret("digicert-passcode"),
        digicert_api_key=secret("digicert-api-key"),
        digicert_client_pem=pem,
        digicert_client_certificate=certificate,
        scep_passcode=secret("scep-passcode"),
        cmp_reference=str(uuid.uuid4()),
        cmp_passcode=secret("cmp-passcode"),
        acme_key_id=secrets.token_urlsafe(32),
        acme_hmac_key=hmac_key,
        front_end_secret=secret("front-end-secret"),
        function_key=secret("function-key"),
        allocation_key=secret("allocation-key"),
        event_grid_key=secret("event-grid-key"),
        identity_header=secret("identity-header"),
        token_key=secret("token-key").encode(),
    )


def private_lines(pem: str) -> list[str]:
    """The lines of a PEM key that hold private bits. The last line of a P-256 key is public (it ends its public point)
    and may stand in any copy of the certificate, so it is no sign of a leak.
    """
    body = pem.split("-----BEGIN PRIVATE KEY-----\n")[1].split("-----END", maxsplit=1)[0]
    return body.splitlines()[:-1]


def client_identity() -> tuple[x509.Certificate, str]:
    """A client certificate of a DigiCert ONE service user, and the PEM of it with its key as Key Vault keeps both."""
    now = datetime.now(UTC)
    authority = pki.self_signed("Sandbox Service User CA", ec.SECP256R1(), now, 2 * pki.YEAR)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = pki.issue_leaf(authority, "birthcert-service-user", key.public_key(), now, pki.YEAR)
    return certificate, pki.certificate_pem(certificate) + pki.key_pem(key)

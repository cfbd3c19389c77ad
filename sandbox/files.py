"""What the sandbox writes into `.sandbox`: what a device, a factory and the function app need to know of it.

Rewritten at each start. The folder is readable by this user alone.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import pki, ports
from sandbox.arm import state as arm
from sandbox.credentials import Credentials
from sandbox.dps.diagnostics import EVENT_HUB
from sandbox.pki import Authority, Hierarchy
from sandbox.profiles import profiles

DIRECTORY = Path(".sandbox")
STORAGE_ACCOUNT = "devstoreaccount1"  # the one account that Azurite has


@dataclass(frozen=True)
class Authorities:
    """The four CAs of the sandbox."""

    tls: Authority
    issuing: Hierarchy
    factory: Authority


def clear(directory: Path) -> None:
    """Start with an empty folder: nothing of an earlier sandbox, whose certificates are worthless now, stays."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    for name in ("logs", "factory"):
        (directory / name).mkdir(mode=0o700)


def write(directory: Path, authorities: Authorities, credentials: Credentials) -> None:
    """Everything but what Azurite needs; `write_server` adds that."""
    for name, authority in (
        ("tls-root", authorities.tls),
        ("root", authorities.issuing.root),
        ("ica", authorities.issuing.ica),
        ("factory-ca", authorities.factory),
    ):
        write_private(directory / f"{name}.pem", pki.certificate_pem(authority.certificate))
    write_private(directory / "factory" / "ca.key", pki.key_pem(authorities.factory.key))
    write_private(directory / "passcode", f"{credentials.device_user}:{credentials.device_password}\n")
    write_private(directory / "profiles.toml", profiles())
    env = {**environment(directory, credentials), **deployment()}
    write_private(directory / "env", "".join(f"{name}={value}\n" for name, value in env.items()))


def write_server(directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    """The server certificate and its key for Azurite, which reads both from files only."""
    paths = directory / "azurite.pem", directory / "azurite.key"
    write_private(paths[0], pki.certificate_pem(certificate))
    write_private(paths[1], pki.key_pem(key))
    return paths


def write_private(path: Path, text: str) -> None:
    """No moment at which another user could read it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def environment(directory: Path, credentials: Credentials) -> Mapping[str, str]:
    """All that joins the function app and the sandbox: the app settings, and what the platform gives to an app."""
    folder = directory.absolute()
    storage = {
        service: f"https://{ports.LOOPBACK}:{port}/{STORAGE_ACCOUNT}"
        for service, port in (
            ("blob", ports.AZURITE_BLOB),
            ("queue", ports.AZURITE_QUEUE),
            ("table", ports.AZURITE_TABLE),
        )
    }
    return {
        "PROFILES_PATH": str(folder / "profiles.toml"),
        "KEY_VAULT_URL": f"https://{ports.LOOPBACK}:{ports.KEY_VAULT}",
        **{f"STORAGE__{service}ServiceUri": url for service, url in storage.items()},
        "DPS_HOST": ports.DPS_HOST,
        "IOT_HUBS": ",".join(f"{name}={host}" for name, host in ports.HUBS.items()),
        "EVENT_TOPIC_URL": f"https://localhost:{ports.EVENT_GRID}/api/events",
        "DPS_LOGS_EVENT_HUB": EVENT_HUB,
        # Event Hubs is not played: the name is never called (sandbox/host/event_hubs.py).
        "DPS_LOGS__fullyQualifiedNamespace": "sandbox.servicebus.windows.net",
        "CLIENT_CERTIFICATE_HEADER": "X-ARR-ClientCert",
        "FRONT_END_SECRET_NAME": "front-end-secret",
        "NUDGES_PER_MINUTE": "3000",  # nobody waits here for the registry budget of a real hub
        "BATCH_ROWS_PER_MINUTE": "3000",  # nor for DigiCert ONE's
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:01",  # nor for an idle queue
        # App Service's managed identity endpoint: learn.microsoft.com/azure/app-service/overview-managed-identity
        "IDENTITY_ENDPOINT": f"https://localhost:{ports.ENTRA}/msi/token",
        "IDENTITY_HEADER": credentials.identity_header,
        # Whom the app's TLS clients trust: the one for httpx and OpenSSL, the other for the Azure SDKs.
        "SSL_CERT_FILE": str(folder / "tls-root.pem"),
        "REQUESTS_CA_BUNDLE": str(folder / "tls-root.pem"),
    }


def deployment() -> dict[str, str]:
    """What joins `python -m infra.setup` and the sandbox besides: names that azd knows after a deployment."""
    return {
        "AZURE_SUBSCRIPTION_ID": arm.SUBSCRIPTION,
        "AZURE_RESOURCE_GROUP": arm.RESOURCE_GROUP,
        "AZURE_DPS_NAME": arm.DPS_NAME,
        "AZURE_FUNCTION_APP_NAME": arm.SITE_NAME,
        "AZURE_RESOURCE_MANAGER_URL": f"https://localhost:{ports.RESOURCE_MANAGER}",
    }


def key_vault_secrets(credentials: Credentials) -> dict[str, str]:
    """What Key Vault holds, by the names that the profiles use."""
    return {
        "digicert-est-passcode": f"{credentials.digicert_passcode_user}:{credentials.digicert_passcode}",
        "digicert-api-key": credentials.digicert_api_key,
        "digicert-client": credentials.digicert_client_pem,
        "est-passcode": f"{credentials.device_user}:{credentials.device_password}",
        "front-end-secret": credentials.front_end_secret,
    }

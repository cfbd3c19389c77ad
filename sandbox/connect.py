"""`python -m sandbox connect`: is a certificate let in? Asks DPS first and then the hub that DPS assigned.

Prints one line of JSON; the exit code is 0 only when everyone who was asked let the certificate in.
"""

import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sandbox import device, ports
from sandbox.device import DeviceError, Identity


def load_identity(certificate: Path, key: Path) -> Identity:
    """The leaf and whatever certificates follow it in the file, with the leaf's key."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise DeviceError(f"no certificate can be read from {certificate}: {error}") from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise DeviceError(f"no private key can be read from {key}: {error}") from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise DeviceError(f"{key} holds a key that is neither RSA nor EC")
    if private.public_key() != chain[0].public_key():
        raise DeviceError(f"{key} is not the key of the first certificate in {certificate}")
    return Identity(private, tuple(chain))


def try_in(identity: Identity, root: Path, hub: str = "") -> dict[str, str]:
    """`hub` (hub-a, hub-b or HOST:PORT) skips DPS."""
    result = {"registrationId": identity.name, "assignedHub": "", "dps": "skipped", "hub": "skipped"}
    host, device_id = ports.HUBS.get(hub, hub), identity.name
    if hub and ":" not in host:
        raise DeviceError(f"no hub is named {hub}: there are {', '.join(ports.HUBS)}, or give HOST:PORT")
    if not host:
        registered = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, root, identity)
        result |= {"dps": registered.status, "assignedHub": registered.hub}
        if registered.status != "assigned":
            return result | {"dpsReason": registered.reason}
        host, device_id = registered.hub, registered.device_id
    admitted, reason = device.connect(host, root, identity, device_id)
    return result | ({"hub": "connected"} if admitted else {"hub": "refused", "hubReason": reason})


def main(certificate: Path, key: Path, hub: str = "", directory: Path = Path(".sandbox")) -> int:
    """`directory` is where the running sandbox has put its files."""
    identity = load_identity(certificate, key)
    root = directory / "tls-root.pem"
    if not root.is_file():
        raise DeviceError(f"the sandbox is not running here: there is no {root} (start it with `make up`)")
    try:
        result = try_in(identity, root, hub)
    except DeviceError as error:
        if isinstance(error.__cause__, ConnectionRefusedError):
            raise DeviceError(f"the sandbox is not running (start it with `make up`): {error}") from error
        raise
    print(json.dumps(result))
    return 0 if result["hub"] == "connected" else 1

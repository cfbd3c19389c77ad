"""A birth over CMPv2, by `openssl cmp` (OpenSSL 3)."""

import subprocess
import tempfile
from pathlib import Path

from sandbox import device
from sandbox.births import tool
from sandbox.births.given import Given
from sandbox.device import Identity
from sandbox.files import write_private


def missing() -> str:
    """LibreSSL and OpenSSL 1.1, which also go by the name of openssl, have no `cmp`."""
    try:
        done = subprocess.run(["openssl", "cmp", "-help"], capture_output=True, timeout=tool.TIMEOUT, check=False)
    except OSError:
        return "openssl is not installed"
    return "" if done.returncode == 0 else "this openssl has no CMP: it takes OpenSSL 3"


def enroll(state: Path, name: str) -> Identity:
    """A secret and its reference prove both sides to each other, so no CA needs to be known but that of TLS."""
    given = Given.read(state)
    key = device.new_key("ec-p256")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        tool.write_key(files / "device.key", key)
        write_private(files / "secret", given.cmp_secret)
        tool.run(
            [
                *("openssl", "cmp", "-config", "", "-cmd", "ir", "-server", given.cmp_url),
                *("-tls_used", "-tls_trusted", state / "tls-root.pem"),
                *("-ref", given.cmp_reference, "-secret", f"file:{files / 'secret'}"),
                # Who answers is known by the secret; OpenSSL wants some name, and DigiCert's users give any.
                *("-recipient", f"/CN={name}", "-subject", f"/CN={name}", "-newkey", files / "device.key"),
                *("-certout", files / "leaf.pem", "-cacertsout", files / "ca.pem"),
            ]
        )
        return tool.identity(key, files / "leaf.pem", files / "ca.pem")

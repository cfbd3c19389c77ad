"""A birth over SCEP, by strongSwan's `pki --scepca` and `pki --scep`."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509

from sandbox import device
from sandbox.births import tool
from sandbox.births.given import Given
from sandbox.device import DeviceError, Identity
from sandbox.files import write_private

NOWHERE: Final = "http://127.0.0.1:1/"


def missing() -> str:
    """SCEP came with strongSwan 5.9.8, and speaks HTTP by a plugin that Debian puts into another package."""
    try:
        done = subprocess.run(
            ["pki", "--scepca", "--url", NOWHERE], capture_output=True, text=True, timeout=tool.TIMEOUT, check=False
        )
    except OSError:
        return "strongSwan's pki is not installed (Debian: strongswan-pki)"
    if "unrecognized option" in done.stderr:
        return "this pki has no SCEP: it takes strongSwan 5.9.8"
    if "no capable fetcher" in done.stderr:
        return "strongSwan's pki has no HTTP client (Debian: libstrongswan-extra-plugins)"
    return ""


def enroll(state: Path, name: str) -> Identity:
    """The challenge password goes in by a file: a command line can be read by every user of a machine."""
    given = Given.read(state)
    key = device.new_key("rsa-2048")  # SCEP encrypts the answer to it
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        tool.write_key(files / "device.key", key)
        write_private(files / "options", f"--password {given.scep_password}\n")
        authorities(files, given.scep_url, state / "root.pem")
        leaf = tool.run(
            [
                *("pki", "--scep", "--url", given.scep_url, "--dn", f"CN={name}", "--in", files / "device.key"),
                *("--cacert-enc", files / "ca-ra.pem", "--cacert-sig", files / "ca-ra.pem"),
                *("--cacert", files / "ca.pem", "--cacert", files / "ca-1.pem"),
                *("--outform", "pem", "--options", files / "options"),
            ]
        )
        (files / "leaf.pem").write_text(leaf)
        return tool.identity(key, files / "leaf.pem", files / "ca-1.pem")


def authorities(files: Path, url: str, root: Path) -> None:
    """`ca.pem` (the root), `ca-1.pem` (the issuing CA) and `ca-ra.pem`: good, if the root is the known one."""
    tool.run(["pki", "--scepca", "--url", url, "--caout", files / "ca.pem", "--outform", "pem"])
    shown, known = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (files / "ca.pem", root))
    if shown != known:
        raise DeviceError("SCEP shows another root than the known one")

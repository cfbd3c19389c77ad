"""Runs other people's command-line tools for a device, in a folder that is gone afterwards."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from sandbox.device import DeviceError, Identity, Key
from sandbox.files import write_private

TIMEOUT = 60


def run(command: Sequence[str | Path]) -> str:
    """What the tool prints; DeviceError with its last line when it fails. No proxy: it calls nobody else's machine."""
    environment = os.environ | {"no_proxy": "*", "NO_PROXY": "*"}
    try:
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word of why"]
        raise DeviceError(f"{command[0]} {command[1]}: {lines[-1]}")
    return done.stdout


def write_key(path: Path, key: Key) -> None:
    write_private(path, Identity(key, ()).pem().decode())


def identity(key: Key, *files: Path) -> Identity:
    """The certificates of `files`, in their order; the first must be for `key`."""
    chain = [each for file in files for each in x509.load_pem_x509_certificates(file.read_bytes())]
    if chain[0].public_key() != key.public_key():
        raise DeviceError(f"{files[0].name}: the certificate is not for the key of the request")
    return Identity(key, tuple(chain))

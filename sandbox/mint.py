"""Makes a device's factory certificate as the factory would: `python -m sandbox mint --cn NAME --out DIR`."""

import argparse
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import pki

STATE: Final = Path(".sandbox")
SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class MintError(Exception):
    """Its text is one line for a person."""


def mint(state: Path, cn: str, out: Path, *, rogue: bool = False, expired: bool = False) -> tuple[Path, Path]:
    """Write `out/CN.pem` and `out/CN.key`; return both paths.

    `rogue` signs with a CA made on the spot that has the factory CA's name; `expired` ends the certificate yesterday.
    """
    if not SAFE_NAME.fullmatch(cn):
        raise MintError(
            f"the name {cn!r} is no good as a file name: use 1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first"
        )
    factory = factory_of(state)
    authority = pki.rogue_authority(factory) if rogue else factory
    now = datetime.now(UTC)
    begin, end = (now - timedelta(days=31), now - timedelta(days=1)) if expired else (now, now + 10 * pki.YEAR)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = pki.issue_leaf(authority, cn, key.public_key(), begin, end - begin)
    out.mkdir(parents=True, exist_ok=True)
    certificate_path, key_path = out / f"{cn}.pem", out / f"{cn}.key"
    certificate_path.write_text(pki.certificate_pem(certificate))
    write_private(key_path, pki.key_pem(key))
    return certificate_path, key_path


def factory_of(state: Path) -> pki.Authority:
    try:
        certificate = (state / "factory-ca.pem").read_bytes()
        key = (state / "factory" / "ca.key").read_bytes()
    except FileNotFoundError as error:
        raise MintError("there is no factory CA yet: start the sandbox once (make up)") from error
    return pki.load_authority(certificate, key)


def write_private(path: Path, text: str) -> None:
    """Readable by its owner alone from the first moment on, also where a file of that name lay before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def main(arguments: list[str]) -> int:
    """The command line after `mint`; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox mint", description=__doc__)
    parser.add_argument("--cn", required=True, help="the common name, and the name of both files")
    parser.add_argument("--out", required=True, type=Path, help="the folder for NAME.pem and NAME.key")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--rogue", action="store_true", help="from a CA that only bears the factory CA's name")
    kind.add_argument("--expired", action="store_true", help="ended yesterday")
    options = parser.parse_args(arguments)
    try:
        paths = mint(STATE, options.cn, options.out, rogue=options.rogue, expired=options.expired)
    except MintError as error:
        print(error, file=sys.stderr)
        return 1
    print(*paths, sep="\n")
    return 0

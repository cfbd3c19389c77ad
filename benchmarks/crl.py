"""A CRL of a million entries: what the product's reading costs beside the bare parse, each in a process of its own.

`python -m benchmarks.crl WHAT FOLDER` is one such process; it prints its figures as JSON. Bare is what nobody can leave
out: parse, verify the signature, go over the entries once.
"""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.world import Clock
from shared import wiring
from shared.core import crl
from shared.core.crl import Marks
from shared.core.issuer import names_of
from shared.flows.crl_reader import MOST_ENTRIES

REPOSITORY = Path(__file__).parents[1]
ENTRIES: Final = 1_000_000
ROUNDS: Final = 3
BARE: Final = "bare"
# What is asked of the child, and what it is called. The bare one is first: the others are held against it.
CASES: Final = {
    BARE: "bare: parse, verify, go over the entries",
    "first": f"the product, first reading: the {MOST_ENTRIES:,} newest are looked up",
    "again": "the product, another reading: all were seen before",
}


NOTE: Final = (
    f"Each figure is the median of {ROUNDS} processes, which have imported the same and hold the file in memory. The "
    "ratio is to the bare reading."
)


@dataclass(frozen=True)
class Figure:
    """Medians of several processes. `peak_mb` is the resident memory of the whole process, where /proc tells it."""

    name: str
    entries: int
    cpu_s: float
    ratio: float
    peak_mb: float | None


def measure(say: Callable[[str], None]) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        say(f"making a CRL of {ENTRIES:,} entries")
        made = _child("make", folder)
        say(f"it has {made['bytes'] / 1e6:.0f} MB")
        figures: list[Figure] = []
        for what, name in CASES.items():
            taken = [_child(what, folder) for _ in range(ROUNDS)]
            seconds, peaks = (
                median(one["cpu_s"] for one in taken),
                [one["peak_mb"] for one in taken if "peak_mb" in one],
            )
            bare = figures[0].cpu_s if figures else seconds
            figures.append(Figure(name, ENTRIES, seconds, seconds / bare, median(peaks) if peaks else None))
            say(f"CRL, {name}: {seconds:.2f} s")
    return figures


def _child(what: str, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.crl", what, folder]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{what}: {done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(what: str, folder: Path) -> None:
    print(json.dumps(make(folder) if what == "make" else read(what, folder)))


def make(folder: Path) -> dict[str, float]:
    now = Clock().now()
    authority = pki.issuing_hierarchy(now).ica
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    extensions: list[x509.Extension[x509.ExtensionType]] = [x509.Extension(reason.oid, critical=False, value=reason)]
    revoked = [
        x509.RevokedCertificateBuilder(
            secrets.randbits(127) | 1 << 126, now - timedelta(seconds=number), extensions
        ).build()
        for number in range(ENTRIES)
    ]
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=revoked)
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    der = builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
    (folder / "list.crl").write_bytes(der)
    (folder / "marks").write_bytes(array("Q", sorted(crl.mark(one.serial_number) for one in revoked)).tobytes())
    (folder / "ca.pem").write_text(pki.certificate_pem(authority.certificate))
    return {"bytes": len(der)}


def read(what: str, folder: Path) -> dict[str, float]:
    der = (folder / "list.crl").read_bytes()
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    seen = array("Q", (folder / "marks").read_bytes() if what == "again" else b"")  # as the last reading has left them
    began = time.process_time()
    total = bare(der, authority) if what == BARE else product(der, authority, seen)
    seconds = time.process_time() - began
    if total != ENTRIES:
        raise RuntimeError(f"{total} entries were read")
    return {"cpu_s": seconds, **_peak()}


def bare(der: bytes, authority: x509.Certificate) -> int:
    found = x509.load_der_x509_crl(der)
    if not found.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]  # an EC key of ours
        raise RuntimeError("the list is not signed by its CA")
    return sum(entry.serial_number > 0 for entry in found)


def product(der: bytes, authority: x509.Certificate, seen: Marks) -> int:
    last = crl.Last(names_of(authority)[0], seen=seen)
    listed = crl.read(der, [authority], last=last, most=MOST_ENTRIES, now=wiring.now())
    if len(listed.new) != (0 if seen else MOST_ENTRIES):
        raise RuntimeError(f"{len(listed.new)} entries were new")
    return listed.total


def _peak() -> dict[str, float]:
    """`ru_maxrss` would begin with what the parent had when it started us; VmHWM is of this program alone."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), "")
    return {"peak_mb": int(found.split()[1]) / 1024} if found else {}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

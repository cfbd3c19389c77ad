"""What becomes of the rows of a batch: a line of JSON Lines for each, written chunk by chunk, and read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.batch import OUTCOMES, RowOutcome
from shared.core.batch_rows import Row
from shared.core.fleet import LedgerCertificate


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row. `by_ca` when it got to DigiCert ONE, and was refused there."""

    row: Row
    outcome: RowOutcome
    reason: str = ""
    certificate: LedgerCertificate | None = None
    by_ca: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A result as it is written down."""

    outcome: RowOutcome
    text: bytes


def line(result: Result) -> Line:
    """The result as a line of JSON Lines."""
    shown: dict[str, object] = {
        "row": result.row.number,
        "device_id": result.row.device_id,
        "outcome": result.outcome,
    }
    if result.reason:
        shown["reason"] = result.reason
    if result.certificate:
        made = result.certificate.certificate
        leaf = x509.load_der_x509_certificate(made.der)
        shown |= {
            "serial": made.serial,
            "not_after": made.not_after.isoformat(),
            "certificate": leaf.public_bytes(Encoding.PEM).decode(),
        }
    return Line(result.outcome, json.dumps(shown).encode() + b"\n")


def by_row(lines: bytes) -> Mapping[int, Line]:
    """The lines that were written down, by the number of their row."""
    found: dict[int, Line] = {}
    for text in lines.splitlines(keepends=True):
        shown = json.loads(text)
        found[shown["row"]] = Line(shown["outcome"], text)
    return found


def counts(lines: Sequence[Line]) -> dict[RowOutcome, int]:
    """How many rows have come to what."""
    return {outcome: sum(one.outcome == outcome for one in lines) for outcome in OUTCOMES}

"""What operators and factories send to have devices born in other ways than EST, and how the answers look."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cryptography import x509

from shared.core import csr, ops, table_rows
from shared.core.csr import SigningRequest
from shared.core.errors import Malformed, TooLarge
from shared.core.identity import DeviceId, device_id
from shared.core.ops import Command
from shared.core.policy import requested_device
from shared.core.principal import Operator
from shared.core.profile import Label
from shared.core.table_rows import TableRow

MAX_VALID_HOURS: Final = 90 * 24
_USUAL_VALID_HOURS: Final = 72
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that an operator asks for."""

    device_id: DeviceId
    label: Label
    request: SigningRequest
    comment: str


@dataclass(frozen=True, slots=True)
class WantedPasscode:
    """`label` is empty for the one that the device has."""

    label: Label
    valid: timedelta
    comment: str


def wanted(body: bytes) -> Wanted:
    """The body of POST /api/certificates. Raises Malformed, Forbidden, TooLarge."""
    given = ops.fields(body, ("device_id", "label", "csr", "comment"), most=csr.MAX_BODY)
    for name in ("device_id", "label", "csr"):
        if not ops.text(given, name):
            raise Malformed(f'the body must hold "{name}"')
    request = csr.parse(csr.decode_body(ops.text(given, "csr").encode("ascii", errors="replace")))
    asked = requested_device(Operator("", device_id(ops.text(given, "device_id"))), request)
    return Wanted(asked, ops.text(given, "label"), request, ops.comment(given))


def passcode(body: bytes) -> WantedPasscode:
    """The body of POST /api/devices/{id}/passcode. Raises Malformed, TooLarge."""
    given = ops.fields(body, ("label", "valid_hours", "comment"))
    hours = given.get("valid_hours", _USUAL_VALID_HOURS)
    if type(hours) is not int or not 1 <= hours <= MAX_VALID_HOURS:
        raise Malformed(f'"valid_hours" must be a whole number from 1 to {MAX_VALID_HOURS}')
    return WantedPasscode(ops.text(given, "label"), timedelta(hours=hours), ops.comment(given))


def started(body: bytes, *, key: str, caller: str) -> tuple[Command, int | None]:
    """The body of POST /api/batches/{id}/start, with the length that the file should have. Raises Malformed."""
    given = ops.fields(body, ("bytes", "comment"))
    size = given.get("bytes")
    if size is not None and (type(size) is not int or size < 1):
        raise Malformed('"bytes" must be the length of the whole file, a whole number')
    return Command(key, caller, ops.comment(given)), size


def label(parameters: Mapping[str, str]) -> Label:
    """The label in the query, or an empty string. Raises Malformed."""
    if set(parameters) - {"label", "code"}:
        raise Malformed("the query may hold label, and nothing else")
    return parameters.get("label", "")


def row_view(row: TableRow, outcome: str, reason: str) -> dict[str, object]:
    """What became of a row of a table."""
    shown: dict[str, object] = {"row": row.number, "device_id": row.values.get("device_id", ""), "outcome": outcome}
    return {**shown, "reason": reason} if reason else shown


def spelled(counts: Mapping[str, int]) -> dict[str, int]:
    """Outcomes as names of JSON members."""
    return {outcome.replace(" ", "_"): count for outcome, count in counts.items()}


def imported(content: bytes, *, is_pem: bool) -> list[TableRow]:
    """The rows of POST /api/certificates/import: a PEM file with one or more certificates, or JSON Lines.

    Each row has the text "certificate": one certificate in PEM. Raises Malformed, TooLarge.
    """
    if not is_pem:
        return table_rows.read(content, is_csv=False, required=("certificate",), optional=())
    if len(content) > table_rows.MAX_BYTES:
        raise TooLarge(f"the body is over {table_rows.MAX_BYTES} bytes: send it in parts")
    found = content.decode("ascii", errors="replace").split(_BEGIN)[1:]
    if not found:
        raise Malformed("the body holds no PEM certificate")
    if len(found) > table_rows.MAX_ROWS:
        raise TooLarge(f"the body has over {table_rows.MAX_ROWS} certificates: send it in parts")
    return [_pem_row(number, one) for number, one in enumerate(found, 1)]


def _pem_row(number: int, text: str) -> TableRow:
    body, end, _ = text.partition(_END)
    if not end:
        return TableRow(number, problem="the certificate is cut off")
    return TableRow(number, {"certificate": f"{_BEGIN}{body}{_END}\n"})


def leaf(row: TableRow) -> x509.Certificate:
    """The certificate of an imported row. Raises Malformed."""
    if row.problem:
        raise Malformed(row.problem)
    try:
        (found,) = x509.load_pem_x509_certificates(row.values["certificate"].encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise Malformed('"certificate" must be one certificate in PEM') from error
    return found

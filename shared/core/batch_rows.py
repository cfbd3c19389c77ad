"""The rows of a batch file, read piece by piece: CSV (RFC 4180) or JSON Lines, in UTF-8.

A row that cannot be read is a row with a problem, and never the end of the file: one broken line among a hundred
thousand spoils nothing but itself.
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import Final

from shared.core.errors import Malformed

# A signing request of 16 KiB of DER is 22 KiB of base64; a row is that, and some columns of the factory's own.
MAX_ROW: Final = 64 * 1024
# The names of the columns are kept with the batch.
MAX_HEADER: Final = 8 * 1024
DEVICE_ID: Final = "device_id"
CSR: Final = "csr"
_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BLANK: Final = re.compile(rb"\s*")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/=\s]*")
_BROKEN_QUOTES: Final = "the row is not CSV (RFC 4180): look at its quotes"
_BARE_RETURNS: Final = "the line holds carriage returns alone: end each line with LF or CR LF"
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Row:
    """`number` counts from 1, without the header and without empty lines. `problem` is empty when it can be read."""

    number: int
    device_id: str = ""
    csr: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, and how many bytes of the file they took."""

    rows: tuple[Row, ...]
    consumed: int


def csv_columns(beginning: bytes) -> tuple[tuple[str, ...], int]:
    """The names of the columns in the first line, lower case, and its length in bytes. Raises Malformed."""
    check_encoding(beginning)
    text = beginning.removeprefix(_BOM)
    line, newline, _ = text.partition(b"\n")
    if len(line) > MAX_HEADER:
        raise Malformed(f"the first line, which names the columns, is over {MAX_HEADER} bytes")
    if not newline:
        raise Malformed("the file must begin with a line of column names, and rows after it")
    names = tuple(name.strip().lower() for name in _fields(line))
    missing = [name for name in (DEVICE_ID, CSR) if names.count(name) != 1]
    if missing:
        raise Malformed(f"the first line must name each of these columns once: {', '.join(missing)}")
    return names, len(beginning) - len(text) + len(line) + 1


def check_encoding(beginning: bytes) -> None:
    """Raises Malformed for a file that is surely not UTF-8."""
    if beginning.startswith(_UTF_16) or b"\x00" in beginning[:64]:
        raise Malformed("the file is not in UTF-8 (it looks like UTF-16): save it as UTF-8")


def read(data: bytes, columns: tuple[str, ...], *, before: int, most: int, final: bool) -> Piece:
    """At most `most` rows from the beginning of `data`; `columns` are those of a CSV file, none for JSON Lines.

    `before` is the number of rows before, `final` says that nothing comes after `data`. A row that is not complete
    yet is left for the next piece, which has to begin with it.
    """
    rows: list[Row] = []
    position = _past_blank(data, len(_BOM) if before == 0 and data.startswith(_BOM) else 0)
    while len(rows) < most and position < len(data):
        end = _end(data, position, quoted=bool(columns), final=final)
        if end is None:
            break
        if columns and _is_torn(data[position:end], columns):
            end = data.find(b"\n", position) + 1
        number, record = before + len(rows) + 1, data[position:end]
        rows.append(_csv_row(number, record, columns) if columns else _json_row(number, record))
        position = _past_blank(data, end)
    return Piece(tuple(rows), position)


def _past_blank(data: bytes, position: int) -> int:
    """Where the next line begins that is not empty: a file of empty lines alone costs no more than its bytes."""
    found = _BLANK.match(data, position)
    return found.end() if found else position


def _end(data: bytes, start: int, *, quoted: bool, final: bool) -> int | None:
    """Where the record ends that begins at `start`; None when that is not in `data`.

    A line break between quotes belongs to the record (RFC 4180 §2.6). When a quote is never closed, the line is taken
    for itself: what comes after it may be sound.
    """
    first = newline = data.find(b"\n", start)
    counted, quotes = start, 0
    while quoted and newline != -1 and newline - start <= MAX_ROW:
        quotes += data.count(b'"', counted, newline)
        if quotes % 2 == 0:
            break
        counted, newline = newline, data.find(b"\n", newline + 1)
    if quoted and newline == -1 and final and len(data) - start <= MAX_ROW:
        quotes += data.count(b'"', counted)
        if quotes % 2 == 0:
            return len(data)  # the last record, without a line break at its end
    if newline != -1 and newline - start <= MAX_ROW:
        return newline + 1
    if newline == -1 and not final and len(data) - start <= MAX_ROW:
        return None
    if first != -1:
        return first + 1
    return len(data) if final else None if len(data) - start <= MAX_ROW else len(data)


def _is_torn(record: bytes, columns: tuple[str, ...]) -> bool:
    """Whether several lines are no record, but rows of their own, because two of them have a quote too many."""
    first, *later = record.rstrip().split(b"\n")
    if not later:
        return False
    try:
        fields = _fields(record)
    except Malformed:
        return True
    ours = [fields[columns.index(name)] for name in (DEVICE_ID, CSR)] if len(fields) == len(columns) else fields
    if not all(_is_request(one.strip()) for one in ours if "\n" in one.strip()):
        return True
    # What is between quotes may be anything (RFC 4180 §2.6), but is hardly a row beside others.
    return first.count(b",") + 1 >= len(columns) and any(_is_row(line, columns) for line in later)


def _is_row(line: bytes, columns: tuple[str, ...]) -> bool:
    """Whether a line is surely a row by itself. The base64 of each request begins so: a SEQUENCE of over 127 bytes."""
    if line.count(b",") + 1 < len(columns) or b"MI" not in line:
        return False
    try:
        fields = _fields(line)
    except Malformed:
        return False
    if len(fields) != len(columns) or not fields[columns.index(DEVICE_ID)].strip():
        return False
    csr = fields[columns.index(CSR)].strip()
    return csr.startswith("MI") and _BASE64.fullmatch(csr) is not None


def _csv_row(number: int, record: bytes, columns: tuple[str, ...]) -> Row:
    try:
        fields = _fields(record)
    except Malformed as error:
        return Row(number, problem=error.public)
    if len(fields) != len(columns):
        return Row(number, problem=f"the row has {len(fields)} columns; the first line names {len(columns)}")
    return _row(number, *(fields[columns.index(name)] for name in (DEVICE_ID, CSR)))


def _is_request(text: str) -> bool:
    """What may stand in a column over several lines: one request in PEM, or base64. A comma is in neither."""
    return "," not in text if text.startswith("-----BEGIN") else _BASE64.fullmatch(text) is not None


def _fields(record: bytes) -> list[str]:
    """The columns of one CSV record. Raises Malformed."""
    if len(record) > MAX_ROW:
        raise Malformed(f"the row is over {MAX_ROW} bytes")
    try:
        parsed = [one for one in csv.reader(io.StringIO(record.decode(), newline=""), strict=True) if one]
    except UnicodeDecodeError as error:
        raise Malformed("the row is not in UTF-8") from error
    except csv.Error as error:
        raise Malformed(_BROKEN_QUOTES) from error
    if len(parsed) > 1:
        raise Malformed(_BARE_RETURNS)
    return parsed[0] if parsed else []


def _json_row(number: int, record: bytes) -> Row:
    if len(record) > MAX_ROW:
        return Row(number, problem=f"the row is over {MAX_ROW} bytes")
    try:
        found = json.loads(record.decode())  # strictly: by itself `json` takes half characters and other encodings
    except (ValueError, RecursionError):
        return Row(number, problem="the row is no JSON object in UTF-8 on one line")
    match found:
        case {"problem": str(problem), "device_id": str(device_id), "csr": ""}:  # what a ZIP archive was found to hold
            return Row(number, _shown(device_id), problem=_shown(problem))
        case {"device_id": str(device_id), "csr": str(csr)}:
            return _row(number, device_id, csr)
        case _:
            return Row(number, problem='the row must be a JSON object with the texts "device_id" and "csr"')


def _row(number: int, device_id: str, csr: str) -> Row:
    given = {DEVICE_ID: device_id.strip(), CSR: csr.strip()}
    missing = [name for name, value in given.items() if not value]
    if missing:
        return Row(number, _shown(given[DEVICE_ID]), problem=f"the row has no {' and no '.join(missing)}")
    foreign = [name for name, value in given.items() if not value.isascii()]
    if foreign:
        problem = f"the row has characters in {' and in '.join(foreign)} that are not ASCII"
        return Row(number, _shown(given[DEVICE_ID]), problem=problem)
    return Row(number, given[DEVICE_ID], given[CSR])


def _shown(text: str) -> str:
    """Of what somebody has written that which can be shown: half of a surrogate pair (JSON) is in no encoding."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text.strip()[:_SHOWN])

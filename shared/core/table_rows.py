"""Small tables that somebody uploads in one request: CSV with named columns (RFC 4180), or JSON Lines, in UTF-8."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.core.batch_rows import check_encoding
from shared.core.errors import Malformed, TooLarge

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_ROWS: Final = 5_000
_MAX_EMPTY: Final = 10 * MAX_ROWS


@dataclass(frozen=True, slots=True)
class TableRow:
    """`number` counts from 1, without the header and without empty lines. `problem` is empty when it can be read."""

    number: int
    values: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


# What a line holds, and what is wrong with it; None for an empty one.
type _Found = tuple[Mapping[str, str], str]


def read(content: bytes, *, is_csv: bool, required: Sequence[str], optional: Sequence[str]) -> list[TableRow]:
    """All rows. Other columns are left alone. Raises Malformed, TooLarge."""
    if len(content) > MAX_BYTES:
        raise TooLarge(f"the body is over {MAX_BYTES} bytes: send it in parts")
    check_encoding(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not in UTF-8, from byte {error.start + 1} on") from error
    rows: list[TableRow] = []
    empty = 0
    for found in _csv(text, required) if is_csv else _json_lines(text):
        if found is None:
            empty += 1
            if empty > _MAX_EMPTY:
                raise TooLarge(f"the body has over {_MAX_EMPTY} empty lines")
            continue
        if len(rows) == MAX_ROWS:
            raise TooLarge(f"the body has over {MAX_ROWS} rows: send it in parts")
        values, problem = found
        rows.append(_kept(TableRow(len(rows) + 1, values, problem), required, optional))
    return rows


def _kept(row: TableRow, required: Sequence[str], optional: Sequence[str]) -> TableRow:
    """The columns that are asked for, without white space around them."""
    if row.problem:
        return row
    values = {name: row.values[name].strip() for name in (*required, *optional) if name in row.values}
    missing = [name for name in required if not values.get(name)]
    problem = f"the row has no {' and no '.join(missing)}" if missing else ""
    return TableRow(row.number, values, problem)


def _csv(text: str, required: Sequence[str]) -> Iterator[_Found | None]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in required if names.count(name) != 1]
        if missing:
            raise Malformed(f"the first line must name each of these columns once: {', '.join(missing)}")
        for fields in reader:
            if fields and len(fields) != len(names):
                yield {}, f"the row has {len(fields)} columns; the first line names {len(names)}"
            else:
                yield (dict(zip(names, fields, strict=True)), "") if fields else None
    except csv.Error as error:
        raise Malformed(f"line {reader.line_num} is not CSV (RFC 4180): look at its quotes") from error


def _json_lines(text: str) -> Iterator[_Found | None]:
    for line in io.StringIO(text, newline="\n"):
        if not line.strip():
            yield None
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and all(isinstance(one, str) for one in found.values()):
            yield found, ""
        else:
            yield {}, "the row must be a JSON object of texts, on one line"

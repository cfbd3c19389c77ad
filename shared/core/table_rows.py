"""Small tables that somebody uploads in one request: CSV with named columns (RFC 4180), or JSON Lines, in UTF-8."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.core.batch_rows import check_encoding
from shared.core.errors import Malformed, TooLarge
from shared.core.ops import named

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


@dataclass(frozen=True, slots=True)
class _Columns:
    """Names of columns or members; `reserved` are beginnings of names."""

    known: tuple[str, ...]
    required: tuple[str, ...]
    reserved: tuple[str, ...]

    def problem(self, names: Sequence[str]) -> str:
        """What is wrong with the names of a table's columns, or of an object's members; empty when nothing is."""
        twice = [name for name in self.known if names.count(name) > 1]
        if twice:
            return f"{', '.join(twice)} may stand there once only"
        unknown = [name for name in names if name not in self.known and _plain(name).startswith(self.reserved)]
        return f"there is no {named(unknown)}; known are {', '.join(self.known)}" if unknown else ""


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def read(
    content: bytes, *, is_csv: bool, required: Sequence[str], optional: Sequence[str], reserved: tuple[str, ...] = ()
) -> list[TableRow]:
    """All rows. Other columns are left alone, but none whose name begins as a `reserved` one: it is misspelled.

    Raises Malformed, TooLarge.
    """
    if len(content) > MAX_BYTES:
        raise TooLarge(f"the body is over {MAX_BYTES} bytes: send it in parts")
    check_encoding(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not in UTF-8, from byte {error.start + 1} on") from error
    rows: list[TableRow] = []
    empty = 0
    columns = _Columns((*required, *optional), tuple(required), reserved)
    for found in _csv(text, columns) if is_csv else _json_lines(text, columns):
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


def _csv(text: str, columns: _Columns) -> Iterator[_Found | None]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in columns.required if names.count(name) != 1]
        if missing:
            raise Malformed(f"the first line must name each of these columns once: {', '.join(missing)}")
        problem = columns.problem(names)
        if problem:
            raise Malformed(f"the first line: {problem}")
        for fields in reader:
            if fields and len(fields) != len(names):
                yield {}, f"the row has {len(fields)} columns; the first line names {len(names)}"
            else:
                yield (dict(zip(names, fields, strict=True)), "") if fields else None
    except csv.Error as error:
        raise Malformed(f"line {reader.line_num} is not CSV (RFC 4180): look at its quotes") from error


def _json_lines(text: str, columns: _Columns) -> Iterator[_Found | None]:
    for line in io.StringIO(text, newline="\n"):
        if not line.strip():
            yield None
            continue
        try:
            members = json.loads(line, object_pairs_hook=tuple)  # of an object: a member may stand there twice
        except (ValueError, RecursionError):
            members = None
        if isinstance(members, tuple) and all(isinstance(one, str) for _, one in members):
            problem = columns.problem([name for name, _ in members])
            yield ({}, problem) if problem else (dict(members), "")
        else:
            yield {}, "the row must be a JSON object of texts, on one line"

"""Small tables: what CSV or JSON Lines wrote is read the same, and what is broken is told by its row or line."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import table_rows
from shared.core.errors import Malformed, TooLarge
from shared.core.table_rows import MAX_BYTES, MAX_ROWS, TableRow

NAMES = ("device_id", "label", "note")
texts = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), max_size=30)
tables = st.lists(st.tuples(texts.filter(str.strip), texts, texts), max_size=10)


def read(content: bytes, *, is_csv: bool = False) -> list[TableRow]:
    return table_rows.read(content, is_csv=is_csv, required=("device_id",), optional=("label",))


@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_table_reads_as_it_was_written_in_either_form(
    rows: list[tuple[str, str, str]], newline: str, marked: bool
) -> None:
    held = io.StringIO()
    writer = csv.writer(held, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([[name.upper() for name in NAMES], *rows])
    mark = b"\xef\xbb\xbf" if marked else b""
    lines = newline.join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows)
    wanted = [
        TableRow(number, {"device_id": name.strip(), "label": label.strip()})
        for number, (name, label, _) in enumerate(rows, 1)
    ]
    assert read(mark + held.getvalue().encode(), is_csv=True) == wanted
    assert read(mark + lines.encode()) == wanted


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_end_in_anything_but_rows_or_a_refusal(content: bytes, is_csv: bool) -> None:
    try:
        found = read(content, is_csv=is_csv)
    except Malformed:
        return
    assert [row.number for row in found] == list(range(1, len(found) + 1))
    assert all(row.problem or row.values["device_id"] for row in found)


@pytest.mark.parametrize(
    ("content", "is_csv", "text"),
    [
        ("device_id\nx".encode("utf-16"), True, "UTF-16"),
        (b"device_id\n\xff", True, "not in UTF-8, from byte 11 on"),
        (b"", True, "name each of these columns once: device_id"),
        (b"device;id\n", True, "once: device_id"),
        (b"device_id,DEVICE_ID\n", True, "once: device_id"),
        (b'device_id\nx\n"y', True, "line 3 is not CSV"),
        (b'"device_id', True, "line 1 is not CSV"),
        (b"\xff", False, "not in UTF-8, from byte 1 on"),
    ],
)
def test_a_table_that_is_none_is_refused_as_a_whole(content: bytes, is_csv: bool, text: str) -> None:
    with pytest.raises(Malformed, match=text):
        read(content, is_csv=is_csv)


def test_a_broken_row_spoils_no_other() -> None:
    found = read(b"device_id,label\nx,a,b\n\n ,a\ny,\n", is_csv=True)
    assert [(row.number, row.problem) for row in found] == [
        (1, "the row has 3 columns; the first line names 2"),
        (2, "the row has no device_id"),
        (3, ""),
    ]
    problem = "the row must be a JSON object of texts, on one line"
    found = read(b'[]\n{"device_id": 7}\n{"device_id": "x"}\n\n{"a": "b"}\n' + b"[" * 9_999)
    assert [row.problem for row in found] == [problem, problem, "", "the row has no device_id", problem]


@pytest.mark.parametrize(
    "row", [b'{"device_id": "x", "device_id": "y"}', b'{"device_id": "x", "label": "", "label": ""}']
)
def test_a_member_that_stands_twice_costs_its_row_alone(row: bytes) -> None:
    first, second = read(row + b'\n{"device_id": "z", "note": "a", "note": "b"}')
    assert first.problem.endswith("may stand there once only")
    assert second.problem == ""


def test_a_column_that_stands_twice_costs_the_table() -> None:
    with pytest.raises(Malformed, match="label may stand there once only"):
        read(b"device_id,label,LABEL\nx,a,b\n", is_csv=True)
    assert read(b"device_id,note,note\nx,a,b\n", is_csv=True) == [TableRow(1, {"device_id": "x"})]


def test_over_a_limit_it_is_to_be_sent_in_parts() -> None:
    with pytest.raises(TooLarge, match=f"over {MAX_BYTES} bytes: send it in parts"):
        read(b" " * (MAX_BYTES + 1))
    line = b'{"device_id": "x"}\n'
    assert len(read(line * MAX_ROWS)) == MAX_ROWS
    with pytest.raises(TooLarge, match=f"over {MAX_ROWS} rows"):
        read(line * (MAX_ROWS + 1))


@pytest.mark.parametrize("is_csv", [True, False])
def test_a_body_of_empty_lines_is_not_gone_through_to_its_end(is_csv: bool) -> None:
    with pytest.raises(TooLarge, match="empty lines"):
        read((b"device_id\n" if is_csv else b"") + b"\n" * (MAX_BYTES - 10), is_csv=is_csv)

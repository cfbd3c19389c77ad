"""Batch files are read piece by piece: whatever the pieces, the rows are the same, and a broken one spoils no other."""

import csv
import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import batch_rows
from shared.core.batch_rows import MAX_ROW, Row

PEM = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----"
BASE64 = "ABCabc019+/="
BROKEN = st.sampled_from([b'"never closed,x,y\n', b"one column\n", b"\xff\xfe,\xff,x\n", b'a,"b"c,d\n', b'a,"b,c\n'])
COLUMNS = ("device_id", "csr", "line")

# What csv.reader makes of a text that csv.writer has written, and JSON of itself: all but bare carriage returns.
texts = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: text.strip()
)
plain = st.characters(max_codepoint=0x7F, exclude_characters="\r\n\x00")
names = st.text(plain, min_size=1, max_size=60).filter(lambda text: text.strip())
wrapped = st.lists(st.text(BASE64, min_size=1, max_size=20), min_size=1, max_size=5).map("\n".join)
records = st.lists(st.tuples(names, names | wrapped | st.just(PEM), texts), min_size=0, max_size=12)


def csv_file(rows: list[tuple[str, ...]], *, newline: str = "\n") -> bytes:
    held = io.StringIO()
    csv.writer(held, lineterminator=newline).writerows(rows)
    return held.getvalue().encode()


def read_all(data: bytes, columns: tuple[str, ...], window: int, most: int = 3) -> list[Row]:
    """As the flow does it: a window from where the last piece ended, until nothing is consumed."""
    rows: list[Row] = []
    offset = 0
    while True:
        part = data[offset : offset + window]
        final = len(part) < window
        piece = batch_rows.read(part, columns, before=len(rows), most=most, final=final)
        if not piece.consumed:
            return rows
        rows += piece.rows
        offset += piece.consumed


@given(records, st.integers(min_value=2 * MAX_ROW, max_value=3 * MAX_ROW), st.integers(1, 5))
def test_a_csv_file_reads_the_same_in_any_pieces(rows: list[tuple[str, str, str]], window: int, most: int) -> None:
    read = read_all(csv_file(list(rows)), COLUMNS, window, most)
    assert [(row.device_id, row.csr) for row in read] == [(first.strip(), second.strip()) for first, second, _ in rows]
    assert [row.number for row in read] == list(range(1, len(rows) + 1))
    assert not any(row.problem for row in read)


@given(records)
def test_json_lines_read_as_they_were_written(rows: list[tuple[str, str, str]]) -> None:
    data = b"".join(json.dumps({"device_id": a, "csr": b, "other": c}).encode() + b"\n" for a, b, c in rows)
    read = read_all(data, (), 8 * MAX_ROW)
    assert [(row.device_id, row.csr, row.problem) for row in read] == [(a.strip(), b.strip(), "") for a, b, _ in rows]


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_make_it_fail_or_stand_still(data: bytes, is_csv: bool) -> None:
    columns = COLUMNS if is_csv else ()
    piece = batch_rows.read(data, columns, before=0, most=1_000, final=True)
    assert piece.consumed == len(data)
    assert all(row.problem or (row.device_id and row.csr) for row in piece.rows)


@given(st.dictionaries(st.integers(0, 9), BROKEN, min_size=1, max_size=4), st.sampled_from([b"AAA", b'"AA\nAA"']))
def test_broken_csv_rows_spoil_only_themselves(broken: dict[int, bytes], request: bytes) -> None:
    """Two of them with an open quote hold what stands between them in quotes: it is read all the same."""
    sound = [b"dev-%d,%s,x\n" % (number, request) for number in range(10)]
    data = b"".join(broken.get(number, b"") + line for number, line in enumerate(sound))
    read = read_all(data, COLUMNS, 8 * MAX_ROW)
    assert [row.device_id for row in read if not row.problem] == [f"dev-{number}" for number in range(10)]
    assert sum(bool(row.problem) for row in read) == len(broken)


STRAY = st.sampled_from(["ok", '"a ""q"" b"', '5" pipe', 'x"', '"x'])


@given(st.lists(STRAY, min_size=1, max_size=8), st.sampled_from(["", "\n"]), st.integers(1, 9))
def test_a_quote_in_a_column_that_is_not_read_swallows_no_row(notes: list[str], last: str, most: int) -> None:
    """Only a quote that opens a column and is never closed makes its own row unreadable."""
    data = "\n".join(f"dev-{number},MIIB,{note}" for number, note in enumerate(notes)) + last
    read = read_all(data.encode(), COLUMNS, 8 * MAX_ROW, most)
    assert len(read) == len(notes)
    for number, (row, note) in enumerate(zip(read, notes, strict=True)):
        assert row == Row(number + 1, f"dev-{number}", "MIIB") or (note == '"x' and "look at its quotes" in row.problem)


@pytest.mark.parametrize(
    "note",
    [
        "x\ny, z",
        "x\ndev-2,AAA-,z",
        "x\ndev-2;MIIB,y,z",
        "x\n,MIIB,z",
        "x\ndev-2,MIIB",
        'x\ndev-2,""MI"",z',
        'x\n""""MI,,',
    ],
)
def test_a_note_over_several_lines_is_one_row_unless_a_line_of_it_is_a_row(note: str) -> None:
    data = f'dev-1,MIIB,"{note}"\ndev-9,MIIB,x\n'.encode()
    assert [row.device_id for row in read_all(data, COLUMNS, 8 * MAX_ROW)] == ["dev-1", "dev-9"]


def test_a_note_before_the_request_may_end_in_what_looks_like_a_row() -> None:
    """Its first line does not: torn apart, both would be."""
    (row,) = read_all(b'dev-1,"x\ny,z","MIIB"\n', ("device_id", "line", "csr"), 8 * MAX_ROW)
    assert row == Row(1, "dev-1", "MIIB")
    torn = read_all(b'dev-1,"x,MIIB\ndev-2,y",MIIB\n', ("device_id", "line", "csr"), 8 * MAX_ROW)
    assert [(row.device_id, bool(row.problem)) for row in torn] == [("", True), ("dev-2", False)]


def test_lines_that_end_in_carriage_returns_alone_are_told_as_such() -> None:
    (row,) = read_all(b"dev-1,AAA,x\rdev-2,BBB,y\rdev-3,CCC,z\n", COLUMNS, 8 * MAX_ROW)
    assert row == Row(1, problem="the line holds carriage returns alone: end each line with LF or CR LF")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_last_row_needs_no_line_break_at_its_end(newline: str) -> None:
    data = csv_file([("dev-1", PEM, "x"), ("dev-2", PEM, "y\nz")], newline=newline).rstrip()
    assert read_all(data, COLUMNS, 8 * MAX_ROW) == [Row(1, "dev-1", PEM), Row(2, "dev-2", PEM)]
    open_at_the_end = data.removesuffix(b'"')
    assert [bool(row.problem) for row in read_all(open_at_the_end, COLUMNS, 8 * MAX_ROW)][:2] == [False, True]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (rb'{"device_id": "dev-1", "csr": "\ud800"}', Row(1, "dev-1", problem="csr")),
        (rb'{"device_id": "d\ud800", "csr": "AAA"}', Row(1, "d\ufffd", problem="device_id")),
        (rb'{"device_id": "\ud800", "csr": ""}', Row(1, "\ufffd", problem="no csr")),
        ('{"device_id": "dév-1", "csr": "ÄÄ"}'.encode(), Row(1, "dév-1", problem="device_id and in csr")),
        (b'{"device_id": "dev-1", "csr": "\xed\xa0\x80"}', Row(1, problem="in UTF-8")),
        ('{"device_id": "dev-1", "csr": "AAA"}'.encode("utf-16-be"), Row(1, problem="in UTF-8")),
        (rb'{"device_id": "\u001b[1m", "csr": "", "problem": "a\ud800\n"}', Row(1, "\ufffd[1m", problem="a\ufffd")),
        (b'{"device_id": "' + b"x" * 9_999 + b'", "csr": ""}', Row(1, "x" * 200, problem="no csr")),
    ],
)
def test_what_cannot_be_written_down_is_refused_and_shown_as_far_as_it_can_be(line: bytes, shown: Row) -> None:
    (row,) = batch_rows.read(line, (), before=0, most=9, final=True).rows
    assert (row.number, row.device_id, row.csr) == (1, shown.device_id, "")
    assert shown.problem in row.problem
    assert (row.device_id + row.problem).encode()


def test_a_request_over_many_lines_with_a_column_too_many_is_one_broken_row() -> None:
    read = read_all(csv_file([("dev-1", PEM, "x", "y"), ("dev-2", PEM, "x")]), COLUMNS, 8 * MAX_ROW)
    assert [row.problem for row in read] == ["the row has 4 columns; the first line names 3", ""]


def test_what_is_no_request_over_many_lines_is_told_line_by_line() -> None:
    read = read_all(b'dev-1,"-----BEGIN\nA,B\n-----END",x\ndev-2,"AA\nA-",x\n', COLUMNS, 8 * MAX_ROW)
    assert len(read) == 5
    assert all(row.problem for row in read)


@pytest.mark.parametrize("line", [b"\n", b" \t\n", b'"' + b"\n" * (MAX_ROW - 1)])
def test_hostile_lines_cost_no_more_than_their_bytes(line: bytes) -> None:
    data = line * (8 * MAX_ROW // len(line))
    began = time.process_time()
    read_all(data, COLUMNS, 8 * MAX_ROW, most=400)
    assert time.process_time() - began < 2.0


def test_a_row_that_is_too_long_is_refused_and_the_next_is_read() -> None:
    for columns, long, sound in (
        (COLUMNS, b"dev-1," + b"A" * MAX_ROW + b",x\n", b"dev-2,AAA,x\n"),
        ((), b'{"device_id": "' + b"A" * MAX_ROW + b'"}\n', b'{"device_id": "dev-2", "csr": "AAA"}\n'),
    ):
        read = read_all(long + sound, columns, 8 * MAX_ROW)
        assert [row.problem for row in read] == [f"the row is over {MAX_ROW} bytes", ""]


def test_a_file_of_one_endless_line_is_refused_row_by_row_and_comes_to_an_end() -> None:
    read = read_all(b"A" * (20 * MAX_ROW), COLUMNS, 8 * MAX_ROW)
    assert read
    assert all(row.problem for row in read)


def test_pem_in_quotes_keeps_its_lines() -> None:
    data = csv_file([("dev-1", PEM, "x"), ("dev-2", PEM, "y")], newline="\r\n")
    assert [row.csr for row in read_all(data, COLUMNS, 8 * MAX_ROW)] == [PEM, PEM]


def test_a_row_that_is_cut_off_is_refused_at_the_end_and_awaited_before() -> None:
    data = b'{"device_id": "dev-1", "csr": "AA"}\n{"device_id": "de'
    waiting = batch_rows.read(data, (), before=0, most=9, final=False)
    assert [row.device_id for row in waiting.rows] == ["dev-1"]
    assert waiting.consumed == data.index(b"\n") + 1
    rest = batch_rows.read(data[waiting.consumed :], (), before=1, most=9, final=True)
    assert [(row.number, row.problem) for row in rest.rows] == [(2, "the row is no JSON object in UTF-8 on one line")]


def test_an_open_quote_is_awaited_while_it_may_still_be_closed() -> None:
    assert not batch_rows.read(b'dev-1,"AA\nAA\n', COLUMNS, before=0, most=9, final=False).consumed


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]", 'must be a JSON object with the texts "device_id" and "csr"'),
        (b'{"device_id": 7, "csr": "x"}', 'must be a JSON object with the texts "device_id" and "csr"'),
        (b'{"device_id": " ", "csr": "x"}', "no device_id"),
        (b'{"device_id": "", "csr": ""}', "no device_id and no csr"),
        (b"[" * 5_000, "no JSON object"),
        (b"\xff", "no JSON object in UTF-8"),
    ],
)
def test_a_json_row_says_what_is_missing(line: bytes, problem: str) -> None:
    (row,) = batch_rows.read(line, (), before=0, most=9, final=True).rows
    assert problem in row.problem


def test_what_a_zip_archive_was_found_to_hold_keeps_its_problem() -> None:
    line = b'{"device_id": "dev-1", "csr": "", "problem": "the file is encrypted"}'
    assert batch_rows.read(line, (), before=0, most=9, final=True).rows == (
        Row(1, "dev-1", problem="the file is encrypted"),
    )


def test_empty_lines_and_a_byte_order_mark_are_no_rows() -> None:
    data = b'\xef\xbb\xbf\n\r\n{"device_id": "dev-1", "csr": "x"}\n\n'
    assert [(row.number, row.device_id) for row in read_all(data, (), 8 * MAX_ROW)] == [(1, "dev-1")]

"""The first line of a CSV file names its columns: one that does not is refused before anything is begun."""

import pytest

from shared.core import batch_rows
from shared.core.batch_rows import MAX_HEADER, MAX_ROW
from shared.core.errors import Malformed


def test_the_first_line_of_a_csv_file_names_the_columns_in_any_case_and_order() -> None:
    line = b'\xef\xbb\xbfLine, CSR ,"Device_ID"\r\n'
    assert batch_rows.csv_columns(line + b"1,x,dev-1\n") == (("line", "csr", "device_id"), len(line))


@pytest.mark.parametrize(
    ("beginning", "text"),
    [
        (b"device_id;csr\nx;y\n", "name each of these columns once: device_id, csr"),
        (b"device_id,csr,csr\n", "once: csr"),
        (b"device_id,csr", "begin with a line of column names"),
        (b"", "begin with a line of column names"),
        (b"\n", "device_id, csr"),
        ("device_id,csr\n".encode("utf-16"), "UTF-16"),
        ("device_id,csr\n".encode("utf-16-le"), "UTF-16"),
        (b"\xff,csr\n", "not in UTF-8"),
        (b'"device_id,csr\n', "look at its quotes"),
        (b"device_id,csr," + b"x" * MAX_HEADER + b"\n", "over 8192 bytes"),
        (b"x" * (MAX_ROW + 1), "over 8192 bytes"),
        (b"device_id,csr\rdev-1,AAA\n", "carriage returns alone"),
    ],
)
def test_a_csv_file_without_a_fitting_first_line_is_refused_at_once(beginning: bytes, text: str) -> None:
    with pytest.raises(Malformed, match=text):
        batch_rows.csv_columns(beginning)

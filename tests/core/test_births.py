"""What factories and operators send to have devices born in other ways: each row for itself, and nothing lost."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from shared.core import births, table_rows
from shared.core.errors import Forbidden, Malformed, TooLarge
from shared.core.table_rows import TableRow
from tests.core.making import DEVICE, Authority, csr

CA = Authority()
LEAVES = [CA.issue(f"device-{number}") for number in range(4)]
PEMS = [leaf.public_bytes(Encoding.PEM).decode() for leaf in LEAVES]
CUT_OFF = PEMS[0][:200]
AROUND = ("", "\n", "Bag Attributes\n  friendlyName: x\n", "# a comment - with a dash\n", "ü")


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def asked(**changes: object) -> bytes:
    request = base64.b64encode(csr()).decode()
    return body(**{"device_id": DEVICE, "label": "devices", "csr": request, "comment": "ticket 4711", **changes})


def test_a_certificate_is_asked_for_by_device_label_and_request() -> None:
    wanted = births.wanted(asked())
    assert (wanted.device_id, wanted.label, wanted.comment) == (DEVICE, "devices", "ticket 4711")
    assert wanted.request.der == csr() or wanted.request.common_name == DEVICE


@pytest.mark.parametrize("name", ["device_id", "label", "csr"])
def test_none_of_them_may_be_missing(name: str) -> None:
    with pytest.raises(Malformed, match=f'"{name}"'):
        births.wanted(asked(**{name: ""}))


@pytest.mark.parametrize("request_text", ["\\ud800", "ü" * 8, "?"])
def test_a_request_that_is_no_base64_is_told_so(request_text: str) -> None:
    """A lone surrogate is text to JSON, and to no encoding."""
    content = asked(csr="X").replace(b'"X"', f'"{request_text}"'.encode())
    with pytest.raises(Malformed, match="not base64"):
        births.wanted(content)


def test_the_request_names_the_device_that_is_asked_for() -> None:
    with pytest.raises(Forbidden):
        births.wanted(asked(device_id="somebody-else"))


def test_a_passcode_is_valid_for_as_long_as_is_asked() -> None:
    assert births.passcode(b"{}").valid == timedelta(hours=72)
    wanted = births.passcode(body(label="devices", valid_hours=1, comment="for the line"))
    assert (wanted.label, wanted.valid, wanted.comment) == ("devices", timedelta(hours=1), "for the line")


@pytest.mark.parametrize("hours", [0, -1, births.MAX_VALID_HOURS + 1, 1.5, "1", True, None])
def test_a_passcode_is_valid_for_whole_hours_and_not_for_ever(hours: object) -> None:
    with pytest.raises(Malformed, match="valid_hours"):
        births.passcode(body(valid_hours=hours))


def test_the_query_names_a_label_and_nothing_else() -> None:
    assert births.label({}) == ""
    assert births.label({"label": "devices", "code": "function key"}) == "devices"
    with pytest.raises(Malformed, match="label"):
        births.label({"lable": "devices"})


def test_a_row_is_shown_with_its_reason_where_there_is_one() -> None:
    row = TableRow(3, {"device_id": DEVICE})
    assert births.row_view(row, "known", "") == {"row": 3, "device_id": DEVICE, "outcome": "known"}
    assert births.row_view(TableRow(4), "refused", "why")["reason"] == "why"
    assert births.spelled({"already expected": 2}) == {"already_expected": 2}


def imported(content: str, *, is_pem: bool) -> list[Any]:
    """The certificate of each row, or why there is none."""
    found: list[Any] = []
    for row in births.imported(content.encode(), is_pem=is_pem):
        try:
            found.append(births.leaf(row))
        except Malformed as refusal:
            found.append(refusal.public)
    return found


@given(st.lists(st.tuples(st.sampled_from(AROUND), st.sampled_from(range(len(LEAVES)))), min_size=1, max_size=6))
def test_every_certificate_of_a_bundle_is_a_row(parts: list[tuple[str, int]]) -> None:
    text = "".join(around + PEMS[number] for around, number in parts)
    assert imported(text, is_pem=True) == [LEAVES[number] for _, number in parts]


def test_a_certificate_that_is_cut_off_costs_its_own_row_alone() -> None:
    text = PEMS[1] + CUT_OFF + "\n" + PEMS[2] + CUT_OFF
    cut_off = "the certificate is cut off"
    assert imported(text, is_pem=True) == [LEAVES[1], cut_off, LEAVES[2], cut_off]


@given(st.lists(st.sampled_from([*range(len(LEAVES)), "x", "", PEMS[0] + PEMS[1], CUT_OFF]), min_size=1, max_size=6))
def test_a_broken_line_costs_its_own_row_alone(rows: list[int | str]) -> None:
    texts = [PEMS[row] if isinstance(row, int) else row for row in rows]
    found = imported("\n".join(json.dumps({"certificate": one}) for one in texts), is_pem=False)
    assert len(found) == len(rows)
    for row, one in zip(rows, found, strict=True):
        assert one == LEAVES[row] if isinstance(row, int) else isinstance(one, str)


@pytest.mark.parametrize("line", ['{"certificate": 7}', "[]", '{"pem": "x"}', '{"certificate": "\\ud800"}'])
def test_a_line_without_a_certificate_is_refused(line: str) -> None:
    (found,) = imported(line, is_pem=False)
    assert isinstance(found, str)


def test_a_certificate_of_a_version_that_does_not_exist_is_refused() -> None:
    der = LEAVES[0].public_bytes(Encoding.DER).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020106"), 1)
    text = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----"
    assert imported(text, is_pem=True) == ['"certificate" must be one certificate in PEM']


def test_a_body_without_any_is_refused() -> None:
    with pytest.raises(Malformed, match="holds no PEM certificate"):
        births.imported(b"-----BEGIN PRIVATE KEY-----", is_pem=True)


def test_a_body_holds_5000_certificates_and_no_more() -> None:
    most = PEMS[0].encode() * table_rows.MAX_ROWS
    assert len(births.imported(most, is_pem=True)) == table_rows.MAX_ROWS
    with pytest.raises(TooLarge, match="send it in parts"):
        births.imported(most + PEMS[0].encode(), is_pem=True)
    line = b'{"certificate": "x"}\n'
    assert len(births.imported(line * table_rows.MAX_ROWS, is_pem=False)) == table_rows.MAX_ROWS
    with pytest.raises(TooLarge, match="send it in parts"):
        births.imported(line * (table_rows.MAX_ROWS + 1), is_pem=False)


@pytest.mark.parametrize("is_pem", [True, False])
def test_a_body_that_is_too_long_is_refused_unread(*, is_pem: bool) -> None:
    with pytest.raises(TooLarge, match="bytes"):
        births.imported(b" " * (table_rows.MAX_BYTES + 1), is_pem=is_pem)


@given(st.binary(max_size=200) | st.sampled_from(PEMS).map(lambda pem: pem[:-30].encode()), st.booleans())
def test_any_body_is_rows_or_a_refusal(content: bytes, is_pem: bool) -> None:
    try:
        rows = births.imported(content, is_pem=is_pem)
    except Malformed:
        return
    for row in rows:
        try:
            assert isinstance(births.leaf(row), x509.Certificate)
        except Malformed:
            continue

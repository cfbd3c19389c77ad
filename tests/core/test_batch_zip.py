"""A ZIP of signing requests: nothing in it is believed, and each file is a row with its answer."""

import base64
import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core import batch_rows, batch_zip
from shared.core.batch_rows import MAX_ROW, Row
from shared.core.batch_zip import MAX_FILE
from shared.core.csr import MAX_DER
from shared.core.errors import Malformed, TooLarge

PEM = b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"


def zipped(**entries: bytes) -> bytes:
    return archive(list(entries.items()))


def archive(entries: list[tuple[str, bytes]]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return held.getvalue()


def rows(content: bytes) -> list[Row]:
    return list(batch_zip.rows(batch_zip.opened(io.BytesIO(content))))


def test_each_file_is_a_device_in_pem_der_or_base64() -> None:
    der = b"\x30\x82\x01\x00" + b"\x00" * 256
    found = rows(archive([("dev-1.csr", PEM), ("dev.2.der", der), ("DEV-3.PEM", b"MIIB\n"), ("d.p10", b"0xyz")]))
    assert [row.device_id for row in found] == ["dev-1", "dev.2", "DEV-3", "d"]
    assert [row.csr[:9] for row in found] == ["-----BEGI", "MIIBAAAAA"[:9], "MIIB", "0xyz"]
    assert not any(row.problem for row in found)


@pytest.mark.parametrize("name", ["../dev-1.csr", "/dev-1.csr", "a/dev-1.csr", "a\\dev-1.csr", "dev-1.txt", "dev-1"])
def test_a_name_that_is_no_device_is_refused_and_told(name: str) -> None:
    (row,) = rows(archive([(name, PEM)]))
    assert "without folders" in row.problem
    assert not row.csr


def test_folders_and_what_desktops_add_are_no_rows() -> None:
    noise = [("folder/", b""), ("__MACOSX/._dev-1.csr", b"x"), (".DS_Store", b"x"), ("Thumbs.db", b"x")]
    assert [row.device_id for row in rows(archive([*noise, ("dev-1.csr", PEM)]))] == ["dev-1"]


def test_a_bomb_is_read_no_further_than_a_request_can_be_long() -> None:
    (row,) = rows(zipped(**{"dev-1.csr": b"\x00" * (200 * MAX_FILE)}))
    assert row.problem == f"the file is over {MAX_FILE} bytes"


@pytest.mark.parametrize("byte", [b"\xff", b"\x00", b"\x1b", b"\x7f", b"\x0b", b"\xc3\xa9"])
def test_a_bomb_of_what_is_no_text_costs_no_more_than_a_line_that_says_so(byte: bytes) -> None:
    (row,) = rows(zipped(**{"dev-1.csr": byte * (MAX_FILE // len(byte))}))
    assert row == Row(1, "dev-1", problem="the file holds no signing request")
    (row,) = rows(zipped(**{"dev-1.csr": b"-----BEGIN" + byte}))
    assert row.problem


@pytest.mark.parametrize("name", ["\u00e9" * 30_000, "x" * 65])
def test_a_name_that_is_longer_than_any_device_id_is_refused_and_not_repeated(name: str) -> None:
    (row,) = rows(archive([(f"{name}.csr", PEM)]))
    assert "at most 64 characters" in row.problem
    assert len(batch_zip.line(row)) < 1_000


@pytest.mark.parametrize(
    "content", [b'"' * MAX_FILE, b"\\" * MAX_FILE, b"\n" * MAX_FILE, b"\x30\x82" * (MAX_FILE // 2)]
)
def test_no_line_is_longer_than_what_is_read_at_a_time(content: bytes) -> None:
    (row,) = rows(archive([("\u00e9" * 64 + ".csr", content)]))
    assert len(batch_zip.line(row)) < 2 * MAX_ROW


def test_lines_come_in_blocks_of_bounded_size_and_none_is_lost() -> None:
    small, large = [Row(one, f"dev-{one}", "AAA") for one in range(2_500)], Row(1, "dev-1", "A" * MAX_FILE)
    found = iter(small)
    blocks = list(iter(lambda: batch_zip.block(found), []))
    assert [len(one) for one in blocks] == [1_000, 1_000, 500]
    assert [line for one in blocks for line in one] == [batch_zip.line(row) for row in small]
    found = iter([large] * 200)
    blocks = list(iter(lambda: batch_zip.block(found), []))
    assert sum(map(len, blocks)) == 200
    assert max(sum(map(len, one)) for one in blocks) < 5_000_000


def test_the_longest_request_fits() -> None:
    held = base64.encodebytes(b"\x30\x82" + b"\x01" * (MAX_DER - 2)).replace(b"\n", b"\r\n")
    (row,) = rows(zipped(**{"dev-1.csr": held}))
    assert row.csr == held.decode().strip()


def test_a_bomb_that_lies_about_its_length_is_refused_too() -> None:
    content = bytearray(zipped(**{"dev-1.csr": b"A" * (50 * MAX_FILE)}))
    stated = struct.pack("<I", 50 * MAX_FILE)
    while (at := content.find(stated)) != -1:
        content[at : at + 4] = struct.pack("<I", 10)
    (row,) = rows(bytes(content))
    assert row.problem
    assert not row.csr


def test_a_damaged_file_spoils_only_itself() -> None:
    content = bytearray(archive([("dev-1.csr", PEM * 20), ("dev-2.csr", PEM)]))
    content[60:70] = b"\xff" * 10
    damaged, sound = rows(bytes(content))
    assert damaged.problem == "the file is damaged"
    assert sound.csr == PEM.decode().strip()


def test_an_encrypted_file_is_told_as_such() -> None:
    content = bytearray(zipped(**{"dev-1.csr": PEM}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    (row,) = rows(bytes(content))
    assert row.problem == "the file is encrypted"


@pytest.mark.parametrize("content", [b"", b"PK", PEM, zipped(**{"dev-1.csr": PEM})[:-30]])
def test_what_is_no_archive_or_only_half_of_one_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed, match="its end is missing"):
        batch_zip.opened(io.BytesIO(content))


def test_an_archive_of_too_many_files_is_refused() -> None:
    entries = [(f"{number}.csr", b"") for number in range(8)]
    content = bytearray(archive(entries))
    end = content.rfind(b"PK\x05\x06")
    begin = struct.unpack_from("<I", content, end + 16)[0]
    many = bytes(content[begin:end]) * (batch_zip.MAX_ENTRIES // 8 + 1)
    content[end + 12 : end + 16] = struct.pack("<I", len(many))
    with pytest.raises(TooLarge, match="over 250000 files: split it"):
        batch_zip.opened(io.BytesIO(content[:begin] + many + content[end:]))


def test_a_directory_is_not_read_that_says_it_is_longer_than_any_may_be() -> None:
    content = bytearray(archive([("dev-1.csr", PEM)]))
    end = content.rfind(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<I", batch_zip.MAX_DIRECTORY + 1)
    with pytest.raises(TooLarge, match="split it"):
        batch_zip.opened(io.BytesIO(b"\0" * (batch_zip.MAX_DIRECTORY + 1) + content))


def test_a_name_that_lies_about_its_encoding_is_told() -> None:
    content = bytearray(archive([("dév.csr", PEM)]))
    content = content.replace("é".encode(), b"\xff\xff")
    with pytest.raises(Malformed, match="encoding that it states"):
        batch_zip.opened(io.BytesIO(content))


def test_what_is_packed_in_another_way_is_told() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("dev-1.csr", PEM)
    (row,) = rows(held.getvalue())
    assert "use deflate" in row.problem


SOUND = archive([("dev-1.csr", PEM), ("dev-2.csr", PEM * 9), ("dev-3.der", b"\x30\x82" + b"\x01" * 90)])


@given(st.dictionaries(st.integers(0, len(SOUND) - 1), st.integers(0, 255), min_size=1, max_size=8))
@settings(max_examples=400)
def test_no_damage_ends_in_anything_but_a_refusal_or_rows(damage: dict[int, int]) -> None:
    content = bytearray(SOUND)
    for place, byte in damage.items():
        content[place] = byte
    try:
        found = rows(bytes(content))
    except (Malformed, TooLarge):
        return
    assert all(len(row.csr) <= 2 * MAX_FILE for row in found)


def test_rows_come_in_the_order_of_the_files_themselves() -> None:
    content = archive([("dev-1.csr", PEM), ("dev-2.csr", PEM)])
    archived = batch_zip.opened(io.BytesIO(content))
    archived.filelist.reverse()
    assert [row.device_id for row in batch_zip.rows(archived)] == ["dev-1", "dev-2"]


def test_a_row_comes_back_from_its_line() -> None:
    for row in (Row(1, "dev-1", "AAA"), Row(1, "dev-1", problem="the file is encrypted")):
        assert batch_rows.read(batch_zip.line(row), (), before=0, most=9, final=True).rows == (row,)

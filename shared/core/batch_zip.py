"""A ZIP of signing requests, one file per device: DEVICE_ID.csr, .pem, .der, .p10 or .req.

Nothing is unpacked by its name, and nothing is read further than a signing request can be long.
"""

import base64
import io
import itertools
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from shared.core.batch_rows import Row
from shared.core.csr import MAX_DER
from shared.core.errors import Malformed, TooLarge

MAX_ENTRIES: Final = 250_000
# The longest request in PEM or base64 is well below.
MAX_FILE: Final = 2 * MAX_DER
# The directory at the end is read whole, and each entry takes half a kilobyte of memory afterwards.
MAX_DIRECTORY: Final = 24 * 1024 * 1024
_TOO_MANY: Final = f"the ZIP archive holds over {MAX_ENTRIES} files: split it, or send CSV or JSON Lines"
_MAX_STEM: Final = 64
# How much is written in one go, and of how many files.
_BLOCK: Final = 4 * 1024 * 1024
_BLOCK_ROWS: Final = 1_000
_TEXT: Final = re.compile(rb"[\t\n\r\x20-\x7e]*")
_ENDINGS: Final = (".csr", ".pem", ".der", ".p10", ".req")
# What archives of macOS and Windows hold beside the files themselves.
_NOISE: Final = ("__MACOSX/", ".DS_Store", "Thumbs.db")
_PACKED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# All that `zipfile` raises over damage; the struct module's where a header is cut off.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, OSError, ValueError, RuntimeError,
)  # fmt: skip


def opened(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive. Raises Malformed, TooLarge."""
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except UnicodeDecodeError as error:
        raise Malformed("the name of a file in the ZIP archive is not in the encoding that it states") from error
    except _DAMAGE as error:
        raise Malformed("the file is no ZIP archive, or its end is missing: send it again") from error
    if len(archive.filelist) > MAX_ENTRIES:
        raise TooLarge(_TOO_MANY)
    return archive


class _Bounded(io.BufferedIOBase):
    """The file, of which nobody reads more at once than a directory can be long. Raises TooLarge.

    `zipfile` reads the directory in one go, before it counts, and as long as the archive says that it is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        wanted = MAX_DIRECTORY if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY:
            raise TooLarge(_TOO_MANY)
        return self._file.read(wanted)


def rows(archive: zipfile.ZipFile) -> Iterator[Row]:
    """One row for each file, in the order in which they lie in the archive. Slow: it reads and inflates."""
    number = 0
    for entry in sorted(archive.filelist, key=lambda one: one.header_offset):
        if entry.is_dir() or entry.filename.startswith(_NOISE[0]) or entry.filename.endswith(_NOISE[1:]):
            continue
        number += 1
        device_id = _device_id(entry.filename)
        if device_id is None:
            shown = json.dumps(entry.filename[:80])
            problem = (
                f"the name {shown} must be DEVICE_ID (at most {_MAX_STEM} characters) and one of "
                f"{' '.join(_ENDINGS)}, without folders"
            )
            yield Row(number, problem=problem)
        else:
            yield _row(number, device_id, archive, entry)


def block(found: Iterator[Row]) -> list[bytes]:
    """The lines of the next rows, as many as are written in one go; none at the end. Slow, as `rows` is."""
    lines, size = list[bytes](), 0
    for row in itertools.islice(found, _BLOCK_ROWS):
        lines.append(line(row))
        size += len(lines[-1])
        if size >= _BLOCK:
            break
    return lines


def line(row: Row) -> bytes:
    """The row as a line of JSON Lines, with what is wrong with it."""
    text = {"device_id": row.device_id, "csr": row.csr, **({"problem": row.problem} if row.problem else {})}
    return json.dumps(text).encode() + b"\n"


def _device_id(name: str) -> str | None:
    stem, dot, ending = name.rpartition(".")
    if "/" in name or "\\" in name or f"{dot}{ending.lower()}" not in _ENDINGS or len(stem) > _MAX_STEM:
        return None
    return stem


def _row(number: int, device_id: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Row:
    if entry.flag_bits & 0x1:
        return Row(number, device_id, problem="the file is encrypted")
    if entry.compress_type not in _PACKED:
        return Row(number, device_id, problem="the file is packed in a way that is not read here: use deflate")
    try:
        with archive.open(entry) as file:
            # The length that the archive states is not to be believed: a bomb states a small one.
            content = file.read(MAX_FILE + 1)
    except _DAMAGE:
        return Row(number, device_id, problem="the file is damaged")
    if len(content) > MAX_FILE:
        return Row(number, device_id, problem=f"the file is over {MAX_FILE} bytes")
    # DER begins with a SEQUENCE (0x30) and a length in more than one byte; all else is taken for base64 already.
    if content[:1] == b"\x30" and content[1:2] > b"\x7f":
        return Row(number, device_id, base64.b64encode(content).decode())
    if not _TEXT.fullmatch(content):
        return Row(number, device_id, problem="the file holds no signing request")
    return Row(number, device_id, content.decode("ascii").strip())

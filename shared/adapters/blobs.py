"""The files of batches in Azure Blob Storage, in one container: block blobs, written whole or block by block."""

import asyncio
import errno
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, BlockState

from shared.core.errors import Conflict, Misconfigured, NotFound, Unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from azure.storage.blob.aio import BlobClient, BlobServiceClient

CONTAINER: Final = "batches"
_AT_ONCE: Final = 4 * 1024 * 1024
# Beyond this aiohttp warns.
_IN_ONE_GO: Final = 1024 * 1024


@dataclass(frozen=True)
class Blobs:
    """All raise Unavailable when the store does not answer, Misconfigured when it refuses us."""

    service: "BlobServiceClient"
    _made: list[bool] = field(default_factory=list, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def write(self, name: str, content: bytes) -> None:
        """Large content goes in blocks, as streams: aiohttp sends bytes in one go, while nothing else runs."""
        if len(content) > _IN_ONE_GO:
            parts = range(0, len(content), _AT_ONCE)
            for number, begin in enumerate(parts, 1):
                await self.stage(name, number, content[begin : begin + _AT_ONCE])
            await self.commit(name, len(parts))
            return
        try:
            await (await self._blob(name)).upload_blob(content, overwrite=True)
        except AzureError as error:
            raise _translated(error) from error

    async def stage(self, name: str, number: int, content: bytes) -> None:
        try:
            await (await self._blob(name)).stage_block(_block(number), io.BytesIO(content), length=len(content))
        except AzureError as error:
            raise _translated(error) from error

    async def commit(self, name: str, blocks: int) -> None:
        """Of each block the latest: one that waits, or the one that is part of the blob already."""
        try:
            wanted = [BlobBlock(_block(number), BlockState.LATEST) for number in range(1, blocks + 1)]
            await (await self._blob(name)).commit_block_list(wanted)
        except HttpResponseError as error:
            if getattr(error, "error_code", "") == "InvalidBlockList":  # the Storage SDK sets it on azure-core's error
                raise Conflict("blocks of the file are missing") from error
            raise _translated(error) from error
        except AzureError as error:
            raise _translated(error) from error

    async def blocks(self, name: str) -> Mapping[int, int]:
        try:
            made, waiting = await (await self._blob(name)).get_block_list("all")
        except ResourceNotFoundError:
            return {}
        except AzureError as error:
            raise _translated(error) from error
        return {int(str(block.id)): int(block.size or 0) for block in (*made, *waiting)}

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Of an offset beyond the end nothing: the service says 416 to it."""
        try:
            stream = await (await self._blob(name)).download_blob(offset, length)
            return await stream.readall()
        except HttpResponseError as error:
            if error.status_code == 416:
                return b""
            raise _translated(error) from error
        except AzureError as error:
            raise _translated(error) from error

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[IO[bytes]]:
        """No copy is made: an instance has less disk than the largest file may have bytes."""
        try:
            size = (await (await self._blob(name)).get_blob_properties()).size
        except AzureError as error:
            raise _translated(error) from error
        with io.BufferedReader(_Ranges(self, name, size, asyncio.get_running_loop()), _AT_ONCE) as file:
            yield file

    async def _blob(self, name: str) -> "BlobClient":
        """Raises AzureError. The container is made when it is missing."""
        if not self._made:
            async with self._lock:
                if not self._made:
                    with suppress(ResourceExistsError):
                        await self.service.create_container(CONTAINER)
                    self._made.append(True)
        return self.service.get_blob_client(CONTAINER, name)


class _Ranges(io.RawIOBase):
    """A blob as a file, read range by range. It waits for the event loop, and so must not be read on it."""

    def __init__(self, blobs: Blobs, name: str, size: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._blobs, self._name, self._size, self._loop = blobs, name, size, loop
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise OSError(errno.EINVAL, "before the beginning of the file")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        reading = self._blobs.read(self._name, self._at, len(view))
        part = asyncio.run_coroutine_threadsafe(reading, self._loop).result()
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


def _block(number: int) -> str:
    """The ids of a blob's blocks have all the same length. The SDK encodes them in base64."""
    return f"{number:08d}"


def _translated(error: AzureError) -> NotFound | Misconfigured | Unavailable:
    """SDK errors end here."""
    if isinstance(error, ResourceNotFoundError):
        return NotFound("there is no such file", cause=repr(error))
    if isinstance(error, ClientAuthenticationError) or (
        isinstance(error, HttpResponseError) and error.status_code == 403
    ):
        return Misconfigured("the service is not set up correctly", cause=f"the blobs refuse us: {error!r}")
    return Unavailable("a service that is needed does not answer", retry_after=5, cause=f"blobs: {error!r}")

"""The files of batches in Azure Blob Storage, in one container: block blobs, written whole or block by block."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
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
from azure.storage.blob import BlobBlock

from shared.core.errors import Conflict, Misconfigured, NotFound, Unavailable

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient, BlobServiceClient

CONTAINER: Final = "batches"
_AT_ONCE: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Blobs:
    """All raise Unavailable when the store does not answer, Misconfigured when it refuses us."""

    service: "BlobServiceClient"
    _made: list[bool] = field(default_factory=list, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def write(self, name: str, content: bytes) -> None:
        """Larger content goes in blocks, which the SDK commits at the end."""
        try:
            await (await self._blob(name)).upload_blob(content, overwrite=True)
        except AzureError as error:
            raise _translated(error) from error

    async def stage(self, name: str, number: int, content: bytes) -> None:
        try:
            await (await self._blob(name)).stage_block(_block(number), content)
        except AzureError as error:
            raise _translated(error) from error

    async def commit(self, name: str, blocks: int) -> int:
        """A list that names a block which is not there is refused as a whole (InvalidBlockList)."""
        blob = await self._blob(name)
        try:
            await blob.commit_block_list([BlobBlock(_block(number)) for number in range(1, blocks + 1)])
            return int((await blob.get_blob_properties()).size)
        except HttpResponseError as error:
            if getattr(error, "error_code", "") == "InvalidBlockList":  # the Storage SDK sets it on azure-core's error
                raise Conflict("blocks of the file are missing") from error
            raise _translated(error) from error
        except AzureError as error:
            raise _translated(error) from error

    async def staged(self, name: str) -> Sequence[int]:
        try:
            _, waiting = await (await self._blob(name)).get_block_list("all")
        except ResourceNotFoundError:
            return ()
        except AzureError as error:
            raise _translated(error) from error
        return sorted(int(str(block.id)) for block in waiting)

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
        """On the disk of the instance, without a name, and gone when it is closed."""
        with tempfile.TemporaryFile() as file:
            offset = 0
            while part := await self.read(name, offset, _AT_ONCE):
                await asyncio.to_thread(file.write, part)
                offset += len(part)
            file.seek(0)
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

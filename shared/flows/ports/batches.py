"""What the flows need to keep batches and their files, and to stay below a rate that all instances share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

from shared.core.batch import Batch


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """A batch as it was read. `version` is the store's own mark, opaque here."""

    batch: Batch
    version: str


class Batches(Protocol):
    """The batches and how far they have come. All raise Unavailable."""

    async def create(self, batch: Batch) -> KeptBatch:
        """The batch of that id: this one, unless there is one already."""
        ...

    async def load(self, ident: str) -> KeptBatch | None: ...

    async def save(self, kept: KeptBatch, batch: Batch) -> KeptBatch:
        """Put it in the place of what was read. Raises StaleVersionError when somebody else has."""
        ...

    def every(self) -> AsyncIterator[Batch]:
        """All of them, in no order."""
        ...


class Files(Protocol):
    """Blobs, by name. All raise Unavailable, and NotFound for a blob that is not there."""

    async def write(self, name: str, content: bytes) -> None:
        """Create or replace it whole."""
        ...

    async def stage(self, name: str, number: int, content: bytes) -> None:
        """Put down a block of a blob that is to be; the same number again replaces it."""
        ...

    async def commit(self, name: str, blocks: int) -> int:
        """Make a blob of the blocks from 1 to `blocks`; its size. Raises Conflict when one is missing."""
        ...

    async def staged(self, name: str) -> Sequence[int]:
        """The numbers of the blocks that were put down and belong to no blob yet, in order."""
        ...

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """At most that many bytes from there; none at its end."""
        ...

    def opened(self, name: str) -> AbstractAsyncContextManager[IO[bytes]]:
        """The whole blob as a local file, to be read at any place."""
        ...


class Pace(Protocol):
    """Turns at DigiCert ONE, at the rate that is configured, for all instances together."""

    async def reserve(self, turns: int) -> tuple[datetime, ...]:
        """The times of so many turns. Raises Unavailable."""
        ...


class BatchWork(Protocol):
    """The queue of batches."""

    async def batch(self, ident: str, delay: int = 0) -> None:
        """Go on with the batch. Raises Unavailable. `delay` is in seconds."""
        ...

"""What the flows need to keep batches and their files, and to stay below a rate that all instances share."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

from shared.core.batch import Batch, State


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

    def every(self, state: State | None = None) -> AsyncIterator[Batch]:
        """All of them, or those in that state, in no order."""
        ...


class Files(Protocol):
    """Blobs, by name. All raise Unavailable, and NotFound for a blob that is not there."""

    async def write(self, name: str, content: bytes) -> None:
        """Create or replace it whole."""
        ...

    async def stage(self, name: str, number: int, content: bytes) -> None:
        """Put down a block of a blob that is to be; the same number again replaces it, also when it is part of one."""
        ...

    async def commit(self, name: str, blocks: int) -> None:
        """Make a blob of the blocks from 1 to `blocks`; safe to repeat. Raises Conflict when one is missing."""
        ...

    async def blocks(self, name: str) -> Mapping[int, int]:
        """The numbers and sizes of the blocks that were put down, whether a blob was made of them or not yet."""
        ...

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """At most that many bytes from there; none at its end."""
        ...

    def opened(self, name: str) -> AbstractAsyncContextManager[IO[bytes]]:
        """The whole blob as a file that can be read at any place, beside the event loop alone."""
        ...


class Pace(Protocol):
    """Turns at DigiCert ONE, at the rate that is configured, for all instances together."""

    async def reserve(self, turns: int) -> tuple[datetime, ...]:
        """The times of so many turns; none when they would not be soon (`core/pace.py`). Raises Unavailable."""
        ...


class BatchWork(Protocol):
    """The queue of batches."""

    async def batch(self, ident: str, delay: int = 0) -> None:
        """Go on with the batch. Raises Unavailable. `delay` is in seconds."""
        ...

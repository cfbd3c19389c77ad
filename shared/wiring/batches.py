"""What batches need: the files, the rows that say how far they have come, and their share of DigiCert ONE."""

import asyncio
from typing import TYPE_CHECKING, Final

from shared.adapters.batch_table import TableBatches, TablePace
from shared.adapters.blobs import Blobs
from shared.adapters.queues import StorageQueues
from shared.adapters.tables import Tables
from shared.core.profile import Profiles
from shared.flows.batch import Batching
from shared.flows.batch_chunk import Chunk
from shared.flows.issue import Issue
from shared.flows.ports.clock import Clock
from shared.flows.turns import Turns
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobServiceClient

# The worker holds a request's body in memory, and the platform takes about 100 MB at most.
_AT_ONCE: Final = 32 * 1024 * 1024
# A chunk takes half a minute or so: long enough to be worth a message, short enough to pause between two.
_LEAST_ROWS: Final = 10
_MOST_ROWS: Final = 200


def batching(  # noqa: PLR0917 - each is one of the things that are joined here
    settings: Settings,
    known: Profiles,
    issue: Issue,
    tables: Tables,
    blobs: "BlobServiceClient",
    work: StorageQueues,
    clock: Clock,
) -> Batching:
    rate = settings.batch_rows_per_minute
    return Batching(
        batches=TableBatches(tables),
        files=Blobs(blobs),
        chunk=Chunk(known, issue, Turns(TablePace(tables, rate, clock), rate, clock, asyncio.sleep)),
        work=work,
        clock=clock,
        aside=asyncio.to_thread,
        most_bytes=settings.batch_megabytes * 1024 * 1024,
        most_at_once=_AT_ONCE,
        chunk_rows=max(_LEAST_ROWS, min(_MOST_ROWS, rate // 2)),
    )

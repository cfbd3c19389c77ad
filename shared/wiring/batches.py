"""What batches need: the files, the rows that say how far they have come, and their share of DigiCert ONE."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.adapters.batch_table import TableBatches, TablePace
from shared.adapters.blobs import Blobs
from shared.adapters.queues import StorageQueues
from shared.adapters.tables import Tables
from shared.core.profile import Profiles
from shared.flows.batch import Batching
from shared.flows.batch_chunk import Chunk
from shared.flows.batch_run import BatchRun
from shared.flows.issue import Issue
from shared.flows.ports.clock import Clock
from shared.flows.ports.operators import Wishes
from shared.flows.turns import Turns
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobServiceClient

# The worker holds a request's body in memory, and the platform takes about 100 MB at most.
_AT_ONCE: Final = 32 * 1024 * 1024
_PART: Final = 8 * 1024 * 1024
# A chunk takes half a minute: long enough to be worth what it writes, short enough to pause between two.
_MOST_ROWS: Final = 400
# Six seconds of DigiCert ONE's answers keep the rate up.
_LEAST_ROWS_AT_ONCE: Final = 4
_MOST_ROWS_AT_ONCE: Final = 64


@dataclass(frozen=True)
class Outside:
    """Where batches are kept, and where their work is announced."""

    tables: Tables
    blobs: "BlobServiceClient"
    work: StorageQueues
    wishes: Wishes


def batching(settings: Settings, outside: Outside, clock: Clock) -> Batching:
    """What factories ask for."""
    return Batching(
        batches=TableBatches(outside.tables),
        files=Blobs(outside.blobs),
        wishes=outside.wishes,
        work=outside.work,
        clock=clock,
        aside=asyncio.to_thread,
        most_bytes=settings.batch_megabytes * 1024 * 1024,
        most_at_once=_AT_ONCE,
        part_bytes=_PART,
        chunk_rows=max(1, min(_MOST_ROWS, settings.batch_rows_per_minute // 2)),
    )


def batch_run(settings: Settings, known: Profiles, issue: Issue, outside: Outside, clock: Clock) -> BatchRun:
    """What works it off."""
    rate = settings.batch_rows_per_minute
    at_once = max(_LEAST_ROWS_AT_ONCE, min(_MOST_ROWS_AT_ONCE, rate // 10))
    turns = Turns(TablePace(outside.tables, rate, clock), rate, clock, asyncio.sleep)
    return BatchRun(
        batches=TableBatches(outside.tables),
        files=Blobs(outside.blobs),
        chunk=Chunk(known, issue, turns, at_once),
        work=outside.work,
        clock=clock,
        aside=asyncio.to_thread,
        most_bytes=settings.batch_megabytes * 1024 * 1024,
    )

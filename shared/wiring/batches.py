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
        chunk_rows=chunk_rows(settings.batch_rows_per_minute),
    )


def batch_run(settings: Settings, known: Profiles, issue: Issue, outside: Outside, clock: Clock) -> BatchRun:
    """What works it off."""
    rate = settings.batch_rows_per_minute
    turns = Turns(TablePace(outside.tables, rate, clock), rate, clock, asyncio.sleep)
    return BatchRun(
        batches=TableBatches(outside.tables),
        files=Blobs(outside.blobs),
        chunk=Chunk(known, issue, turns, rows_at_once(rate)),
        work=outside.work,
        clock=clock,
        aside=asyncio.to_thread,
        most_bytes=settings.batch_megabytes * 1024 * 1024,
    )


def chunk_rows(per_minute: int) -> int:
    """Half a minute's: long enough to be worth what a chunk writes, short enough to pause between two."""
    return max(1, min(400, per_minute // 2))


def rows_at_once(per_minute: int) -> int:
    """As many as are under way at the rate while DigiCert ONE takes six seconds for each."""
    return max(4, min(64, per_minute // 10))

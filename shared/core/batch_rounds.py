"""Another round: what DigiCert ONE has not approved yet is asked for again, and what has ended is left alone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.core.batch import Batch, Cursor, let_go

# How long DigiCert ONE may take to approve: what is pending then ends as refused.
APPROVAL: Final = timedelta(days=30)
NEXT_ROUND: Final = timedelta(hours=1)


def last_chunk(batch: Batch) -> int:
    """The number of the last chunk that has results, in this round or the one before."""
    return batch.cursor.chunk - 1 if batch.round == 1 else max(batch.chunks, batch.cursor.chunk - 1)


def ended(batch: Batch, now: datetime) -> Batch:
    """The batch at the end of the file: done, or at the beginning of another round for what is pending."""
    batch = replace(batch, changed=now, trouble="", cause="", tries=0)
    if not batch.counts.get("pending"):
        return replace(let_go(batch, now), state="done")
    return replace(
        let_go(batch, now + NEXT_ROUND),
        round=batch.round + 1,
        rows=batch.cursor.row,
        chunks=last_chunk(batch),
        cursor=Cursor(offset=batch.header),
        counts={},
        before=batch.counts,
        waiting=batch.waiting or now,
        streak=None,
        stops=0,
    )


def is_late(batch: Batch, now: datetime) -> bool:
    """Whether what is pending will never be anything else."""
    return batch.waiting is not None and now - batch.waiting > APPROVAL

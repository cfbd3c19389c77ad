"""A batch of signing requests from a factory's system: how far it has come, and what may be done with it now.

It is worked through in chunks, one after the other, in the order of the file: the cursor is all that a crash leaves
behind, and all that the next try needs. DigiCert ONE may want an approval for each certificate; then the file is gone
through again, in another round, until each row has ended.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.core.errors import Conflict
from shared.core.profile import Label

type Format = Literal["csv", "jsonl", "zip"]
type State = Literal["uploading", "running", "paused", "done", "cancelled", "failed"]
type RowOutcome = Literal["issued", "already issued", "pending", "refused"]
type Deed = Literal["start", "pause", "resume", "cancel"]

OUTCOMES: Final[tuple[RowOutcome, ...]] = ("issued", "already issued", "pending", "refused")
# How long DigiCert ONE may take to approve: what is pending then ends as refused.
APPROVAL: Final = timedelta(days=30)
_MAY: Final[dict[Deed, dict[State, State]]] = {
    "start": {"uploading": "running"},
    "pause": {"running": "paused"},
    "resume": {"paused": "running"},
    "cancel": {"uploading": "cancelled", "running": "cancelled", "paused": "cancelled"},
}
_BECOMES: Final[dict[Deed, State]] = {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next chunk begins: the byte of the file, the rows before it, and its own number from 1."""

    offset: int = 0
    row: int = 0
    chunk: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """`columns` are the names in the header of a CSV file, which is `header` bytes long; `size` is that of the file.

    `rows` is the number of rows where it is known beforehand (ZIP), else 0; `chunks` that of the first round's chunks.
    `counts` are those of the current round. `trouble` says what keeps the batch from going on, or why it ended, `tries`
    how often that has been so at this chunk.
    """

    id: str
    label: Label
    format: Format
    state: State
    caller: str
    comment: str
    created: datetime
    columns: tuple[str, ...] = ()
    header: int = 0
    size: int = 0
    digest: str = ""
    rows: int = 0
    chunk_rows: int = 100
    round: int = 1
    chunks: int = 0
    cursor: Cursor = Cursor()
    counts: dict[RowOutcome, int] = field(default_factory=dict)
    begun: datetime | None = None
    changed: datetime | None = None
    trouble: str = ""
    tries: int = 0

    @property
    def source(self) -> str:
        """The name of the blob whose rows are read: of a ZIP, what was taken out of it."""
        return f"{self.id}/rows.jsonl" if self.format == "zip" else self.input

    @property
    def input(self) -> str:
        """The name of the blob that was uploaded."""
        return f"{self.id}/input.{self.format}"


def batch_id(key: str) -> str:
    """The id belongs to the idempotency key: the same request again means the same batch."""
    return f"b-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def digest(content: bytes) -> str:
    """By which two uploads are known to be the same."""
    return hashlib.sha256(content).hexdigest()


def result_name(ident: str, chunk: int) -> str:
    """The name of the blob that holds the results of a chunk."""
    return f"{ident}/results/{chunk:08d}.jsonl"


def after(batch: Batch, deed: Deed, now: datetime) -> Batch:
    """The batch once the operator has had his way; unchanged when he had it before. Raises Conflict."""
    wanted = _BECOMES[deed]
    if batch.state == wanted:
        return batch
    if batch.state not in _MAY[deed]:
        raise Conflict(f"the batch is {batch.state}: there is nothing to {deed}")
    begun = now if wanted == "running" and batch.begun is None else batch.begun
    return replace(batch, state=wanted, begun=begun, changed=now, trouble="")


def advanced(batch: Batch, to: Cursor, counts: dict[RowOutcome, int], now: datetime) -> Batch:
    """The batch after a chunk."""
    total = {one: batch.counts.get(one, 0) + counts.get(one, 0) for one in OUTCOMES}
    return replace(batch, cursor=to, counts=total, changed=now, trouble="", tries=0)


def hindered(batch: Batch, text: str) -> Batch:
    """The batch after a try that came to nothing."""
    return replace(batch, trouble=text, tries=batch.tries + 1)


def delay(tries: int, retry_after: int) -> int:
    """The seconds until the next try: longer and longer, an hour at most."""
    return int(min(3_600, max(1, retry_after) * 2 ** min(tries, 10)))


def with_file(batch: Batch, size: int, columns: tuple[str, ...], header: int) -> Batch:
    """The batch whose file has come."""
    return replace(batch, size=size, columns=columns, header=header, cursor=Cursor(offset=header))


def is_same(there: Batch, wanted: Batch) -> bool:
    """Whether the batch that is there under the id is what is asked for."""
    return (there.label, there.format, there.digest) == (wanted.label, wanted.format, wanted.digest)


def last_chunk(batch: Batch) -> int:
    """The number of the last chunk that has results, in this round or the one before."""
    return batch.cursor.chunk - 1 if batch.round == 1 else max(batch.chunks, batch.cursor.chunk - 1)


def ended(batch: Batch, now: datetime) -> Batch:
    """The batch at the end of the file: done, or at the beginning of another round for what is pending."""
    if not batch.counts.get("pending"):
        return replace(batch, state="done", changed=now, trouble="")
    if now - batch.created > APPROVAL:
        text = f"{batch.counts['pending']} rows were not approved within {APPROVAL.days} days"
        return replace(batch, state="failed", changed=now, trouble=text)
    again = Cursor(offset=batch.header)
    return replace(batch, round=batch.round + 1, chunks=last_chunk(batch), cursor=again, counts={}, changed=now)


def share(batch: Batch) -> float:
    """How much of the file is done, from 0 to 1."""
    if batch.state == "done":
        return 1.0
    if batch.rows:
        return min(1.0, batch.cursor.row / batch.rows)
    return min(1.0, batch.cursor.offset / batch.size) if batch.size else 0.0


def rate(batch: Batch) -> float:
    """Rows a minute, over the whole of the current round's time; 0 while nothing is known."""
    if batch.begun is None or batch.changed is None or batch.changed <= batch.begun or batch.round > 1:
        return 0.0
    return batch.cursor.row / ((batch.changed - batch.begun).total_seconds() / 60)


def expected_end(batch: Batch, now: datetime) -> datetime | None:
    """When the batch will be done if it goes on as it has; None when nothing tells."""
    done = share(batch)
    if batch.state != "running" or batch.begun is None or not 0 < done < 1 or batch.round > 1:
        return None
    return now + (now - batch.begun) * ((1 - done) / done)

"""A batch of signing requests from a factory's system: how far it has come, and what may be done with it now.

It is worked through in chunks, one after the other, in the order of the file: the cursor is all that a crash leaves
behind, and all that the next try needs. DigiCert ONE may want an approval for each certificate; then the file is gone
through again, in another round, until each row has ended.
"""

import hashlib
import math
from collections.abc import Mapping
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
# Longer than one run of a function may take (host.json), so that only a run that died leaves a hold behind.
HOLD: Final = timedelta(minutes=6)
# How long nothing may happen to a running batch after its time before somebody looks for it.
FORGOTTEN: Final = timedelta(minutes=15)
_MOST_CAUSE: Final = 300
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
class Lap:
    """Where the batch stood when it last began to run: by what has come since, its end is estimated."""

    at: datetime
    row: int
    share: float


@dataclass(frozen=True, slots=True)
class Streak:
    """How many rows DigiCert ONE has refused one after the other, and where the chunk begins that holds the first."""

    rows: int
    cursor: Cursor
    counts: dict[RowOutcome, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """`columns` are the names in the header of a CSV file, which is `header` bytes long; `size` is that of the file.

    `digest` is that of the content where it came with the first request, and part of the blob's name: two requests that
    come at once with one key and two files do not spoil each other's.

    `rows` is the number of rows where it is known, else 0: of a ZIP from the beginning, of others after the first
    round. `chunks` is the number of the first round's chunks, `waiting` its end, if anything was pending then. `counts`
    are those of the current round, `before` those of the whole one before.

    `trouble` says what keeps the batch from going on, or why it ended, `cause` what is more to it for the log alone,
    `tries` how often that has been so at this chunk. `stops` is how often the batch was stopped for its `streak`.
    `held_until` says until when somebody is at the next chunk, `due` from when on it is to be done.
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
    before: dict[RowOutcome, int] = field(default_factory=dict)
    waiting: datetime | None = None
    streak: Streak | None = None
    stops: int = 0
    begun: datetime | None = None
    changed: datetime | None = None
    trouble: str = ""
    cause: str = ""
    tries: int = 0
    lap: Lap | None = None
    held_until: datetime | None = None
    due: datetime | None = None

    @property
    def source(self) -> str:
        """The name of the blob whose rows are read: of a ZIP, what was taken out of it."""
        return f"{self.id}/rows.jsonl" if self.format == "zip" else self.input

    @property
    def input(self) -> str:
        """The name of the blob that was uploaded."""
        return f"{self.id}/input{'-' if self.digest else ''}{self.digest[:16]}.{self.format}"


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
    changed = replace(batch, state=wanted, changed=now, trouble="", cause="", tries=0)
    if wanted != "running":
        return changed
    lap = Lap(now, batch.cursor.row, share(batch))
    return replace(changed, begun=batch.begun or now, lap=lap, due=now)


def wait(batch: Batch, now: datetime) -> int:
    """The seconds until the next chunk may be begun, 0 when that is now."""
    until = max(batch.due or now, batch.held_until or now)
    return math.ceil((until - now).total_seconds()) if until > now else 0


def held(batch: Batch, now: datetime) -> Batch:
    """The batch while we are at its next chunk."""
    return replace(batch, held_until=now + HOLD)


def is_held(batch: Batch, now: datetime) -> bool:
    """Whether the hold that somebody has is not over."""
    return batch.held_until is not None and batch.held_until > now


def let_go(batch: Batch, due: datetime) -> Batch:
    """The batch after we were at it."""
    return replace(batch, held_until=None, due=due)


def advanced(batch: Batch, to: Cursor, counts: Mapping[RowOutcome, int], now: datetime) -> Batch:
    """The batch after a chunk."""
    total = {one: batch.counts.get(one, 0) + counts.get(one, 0) for one in OUTCOMES}
    return replace(let_go(batch, now), cursor=to, counts=total, changed=now, trouble="", cause="", tries=0)


def hindered(batch: Batch, text: str, retry_after: int, now: datetime, cause: str = "") -> Batch:
    """The batch after a try that came to nothing."""
    due = now + timedelta(seconds=delay(batch.tries, retry_after))
    return replace(let_go(batch, due), trouble=text, cause=cause[:_MOST_CAUSE], tries=batch.tries + 1)


def stopped(batch: Batch, state: Literal["paused", "failed"], text: str, now: datetime, cause: str = "") -> Batch:
    """The batch that cannot go on: until an operator resumes it, or never."""
    return replace(let_go(batch, now), state=state, changed=now, trouble=text, cause=cause[:_MOST_CAUSE])


def joined(there: Batch, after: Batch, held_until: datetime | None) -> Batch | None:
    """What we have done, and what an operator has done meanwhile; None when the chunk is no longer ours.

    What was asked for is written down in any case. Paused or cancelled goes before "go on", and nothing before the end.
    """
    if there.held_until != held_until:
        return None
    ended = after.state in ("done", "failed") or (after.state == "paused" and there.state == "running")
    return replace(after, state=after.state if ended else there.state, lap=there.lap)


def is_forgotten(batch: Batch, now: datetime) -> bool:
    """Whether it runs and nothing moves it: the message that should have is lost, or is poison."""
    expected = max(one for one in (batch.created, batch.due, batch.held_until) if one)
    return batch.state == "running" and now - expected > FORGOTTEN


def is_new(batch: Batch) -> bool:
    """Whether it runs and nobody has been at it: its first message may never have been sent."""
    return batch.state == "running" and batch.held_until is None and batch.due == batch.begun


def delay(tries: int, retry_after: int) -> int:
    """The seconds until the next try: longer and longer, an hour at most."""
    return int(min(3_600, max(1, retry_after) * 2 ** min(tries, 10)))


def with_file(batch: Batch, size: int, columns: tuple[str, ...], header: int) -> Batch:
    """The batch whose file has come."""
    return replace(batch, size=size, columns=columns, header=header, cursor=Cursor(offset=header))


def is_same(there: Batch, wanted: Batch) -> bool:
    """Whether the batch that is there under the id is what is asked for."""
    return (there.label, there.format, there.digest) == (wanted.label, wanted.format, wanted.digest)


def outcomes(batch: Batch) -> Mapping[RowOutcome, int]:
    """How many rows have come to what: while the file is gone through again, as it was after the last time."""
    return batch.before if batch.round > 1 and batch.state != "done" else batch.counts


def rows_done(batch: Batch) -> int:
    """How many rows have been decided, or are pending in the first round."""
    return batch.cursor.row if batch.round == 1 else batch.rows - outcomes(batch).get("pending", 0)


def share(batch: Batch) -> float:
    """How much of the file is done, from 0 to 1."""
    if batch.state == "done":
        return 1.0
    if batch.rows:
        return min(1.0, rows_done(batch) / batch.rows)
    return min(1.0, batch.cursor.offset / batch.size) if batch.size else 0.0

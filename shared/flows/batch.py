"""Batches of signing requests: taken in, worked through chunk by chunk, paused and resumed, never twice and never lost.

A queue message means "go on". What is to be done stands in the batch itself; a chunk that was begun and not written
down is done again, and issue-once gives the certificates that exist already.
"""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from shared.core import batch as rules
from shared.core import batch_rows, batch_zip
from shared.core.batch import Batch, Cursor, Deed
from shared.core.errors import Again, Conflict, Malformed, Misconfigured, NotFound, Refusal, TooLarge
from shared.flows.batch_chunk import Chunk, Stopped
from shared.flows.ports.aside import Aside
from shared.flows.ports.batches import Batches, BatchWork, Files, KeptBatch
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import StaleVersionError

# Longer than any row, so that a piece holds one at least.
WINDOW: Final = 8 * batch_rows.MAX_ROW
# The part of a ZIP's rows that is written in one go.
_UNPACKED: Final = 1_000
_NEXT_ROUND_SECONDS: Final = 3_600
_RETRY_SECONDS: Final = 60
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class Batching:
    """`most_bytes` is the size that a file may have, `most_at_once` that of one request's body.

    `chunk_rows` is the number of rows that new batches are worked through at a time.
    """

    batches: Batches
    files: Files
    chunk: Chunk
    work: BatchWork
    clock: Clock
    aside: Aside
    most_bytes: int
    most_at_once: int
    chunk_rows: int

    async def create(self, wanted: Batch, content: bytes) -> Batch:
        """The batch that the request asks for: begun with this content or, where there is none, waiting for blocks.

        The same key again is the same batch. Raises Conflict when it was used for something else, Malformed, TooLarge.
        """
        digest = await self.aside(partial(rules.digest, content)) if content else ""
        wanted = replace(wanted, digest=digest, chunk_rows=self.chunk_rows)
        if content:
            self._check_size(len(content))
            columns, header = _beginning(wanted, content)
            await self.files.write(wanted.input, content)
            wanted = rules.with_file(wanted, len(content), columns, header)
            wanted = rules.after(wanted, "start", self.clock())
        kept = await self.batches.create(wanted)
        if not rules.is_same(kept.batch, wanted):
            raise Conflict("this Idempotency-Key has been used for another batch: take a new one")
        if kept.batch.state == "running":
            await self.work.batch(kept.batch.id)
        return kept.batch

    async def stage(self, ident: str, number: int, content: bytes) -> None:
        """Take a block of the file. Raises NotFound, Conflict, TooLarge, Malformed."""
        batch = (await self._load(ident)).batch
        if batch.state != "uploading":
            raise Conflict(f"the batch is {batch.state}: nothing can be added to its file")
        if not content or len(content) > self.most_at_once:
            raise TooLarge(f"a block has 1 to {self.most_at_once} bytes")
        if not 1 <= number <= self.most_bytes // self.most_at_once + 1_000:
            raise Malformed("blocks are numbered from 1")
        await self.files.stage(batch.input, number, content)

    async def change(self, ident: str, deed: Deed) -> Batch:
        """Start, pause, resume or cancel. Safe to repeat. Raises NotFound, Conflict, and what `create` raises."""
        for _ in range(_ATTEMPTS):
            kept = await self._load(ident)
            after = rules.after(kept.batch, deed, self.clock())
            if deed == "start" and after != kept.batch:
                after = await self._joined(after)
            try:
                saved = await self.batches.save(kept, after) if after != kept.batch else kept
            except StaleVersionError:
                continue
            if saved.batch.state == "running":
                await self.work.batch(ident)
            return saved.batch
        raise Conflict("the batch is changing too fast; try again")

    async def find(self, ident: str) -> Batch:
        """Raises NotFound."""
        return (await self._load(ident)).batch

    def every(self) -> AsyncIterator[Batch]:
        """All batches, in no order."""
        return self.batches.every()

    async def results(self, ident: str, after: int, most_bytes: int) -> tuple[bytes, int]:
        """The results after that chunk as JSON Lines, up to about `most_bytes`; the chunk to go on after, 0 at the end.

        Raises NotFound.
        """
        batch = (await self._load(ident)).batch
        last = rules.last_chunk(batch)
        parts, size = list[bytes](), 0
        for chunk in range(after + 1, last + 1):
            part = await self._whole(rules.result_name(ident, chunk))
            parts.append(part)
            size += len(part)
            if size >= most_bytes and chunk < last:
                return b"".join(parts), chunk
        return b"".join(parts), 0

    async def advance(self, ident: str) -> Batch | None:
        """Do the next part of a batch that is running; None when there is nothing to do. Raises Unavailable."""
        kept = await self.batches.load(ident)
        if kept is None or kept.batch.state != "running":
            return None
        try:
            after, wait = await self._next(kept.batch)
        except (Again, Misconfigured) as refusal:
            after = rules.hindered(kept.batch, _text(refusal))
            wait = rules.delay(kept.batch.tries, refusal.retry_after if isinstance(refusal, Again) else _RETRY_SECONDS)
        try:
            saved = await self.batches.save(kept, after) if after != kept.batch else kept
        except StaleVersionError:
            return await self._overtaken(kept)
        if saved.batch.state == "running":
            await self.work.batch(ident, wait)
        return saved.batch

    async def _overtaken(self, kept: KeptBatch) -> Batch | None:
        """Somebody has paused it, or done the same: then the message that they sent goes on, or ours was the last."""
        now = await self.batches.load(kept.batch.id)
        if now is not None and now.batch.state == "running" and now.batch.cursor == kept.batch.cursor:
            await self.work.batch(kept.batch.id)  # paused and resumed meanwhile: what we did is done again
        return now.batch if now else None

    async def _next(self, batch: Batch) -> tuple[Batch, int]:
        """The batch after its next part, and the seconds until the one after that."""
        if batch.format == "zip" and not batch.rows:
            return await self._unpacked(batch), 0
        cursor = batch.cursor
        data = await self.files.read(batch.source, cursor.offset, WINDOW)
        final = len(data) < WINDOW
        piece = batch_rows.read(data, batch.columns, before=cursor.row, most=batch.chunk_rows, final=final)
        if not piece.consumed:
            after = rules.ended(batch, self.clock())
            return after, _NEXT_ROUND_SECONDS
        try:
            done = await self.chunk.run(batch, piece.rows)
        except Stopped as stopped:
            return replace(batch, state="paused", changed=self.clock(), trouble=stopped.text), 0
        await self.files.write(rules.result_name(batch.id, cursor.chunk), done.lines)
        to = Cursor(cursor.offset + piece.consumed, cursor.row + len(piece.rows), cursor.chunk + 1)
        return rules.advanced(batch, to, done.counts, self.clock()), 0

    async def _unpacked(self, batch: Batch) -> Batch:
        """The rows of a ZIP archive, as JSON Lines, in a blob of their own."""
        async with self.files.opened(batch.input) as file:
            try:
                archive = await self.aside(partial(batch_zip.opened, file))
            except (Malformed, TooLarge) as refusal:
                return replace(batch, state="failed", changed=self.clock(), trouble=refusal.public)
            found, count, blocks = batch_zip.rows(archive), 0, 0
            while part := await self.aside(lambda: list(itertools.islice(found, _UNPACKED))):
                blocks, count = blocks + 1, count + len(part)
                await self.files.stage(batch.source, blocks, b"".join(batch_zip.line(row) for row in part))
        if not count:
            return replace(batch, state="failed", changed=self.clock(), trouble="the ZIP archive holds no files")
        size = await self.files.commit(batch.source, blocks)
        return replace(batch, rows=count, size=size, changed=self.clock())

    async def _joined(self, batch: Batch) -> Batch:
        """The batch with the file that its blocks make."""
        numbers = await self.files.staged(batch.input)
        if not numbers:
            raise Conflict("the batch has no file yet: put its blocks, and start it then")
        if list(numbers) != list(range(1, len(numbers) + 1)):
            raise Conflict(f"blocks are missing: there are {len(numbers)}, and the last is number {numbers[-1]}")
        size = await self.files.commit(batch.input, len(numbers))
        self._check_size(size)
        columns, header = _beginning(batch, await self.files.read(batch.input, 0, WINDOW))
        return rules.with_file(batch, size, columns, header)

    def _check_size(self, size: int) -> None:
        if size > self.most_bytes:
            raise TooLarge(f"the file is over {self.most_bytes} bytes: split it")

    async def _load(self, ident: str) -> KeptBatch:
        kept = await self.batches.load(ident)
        if kept is None:
            raise NotFound("there is no such batch")
        return kept

    async def _whole(self, name: str) -> bytes:
        parts = list[bytes]()
        while part := await self.files.read(name, sum(map(len, parts)), WINDOW):
            parts.append(part)
        return b"".join(parts)


def _beginning(batch: Batch, content: bytes) -> tuple[tuple[str, ...], int]:
    """The columns of the file and the length of the line that names them. Raises Malformed."""
    if batch.format == "csv":
        return batch_rows.csv_columns(content)
    if batch.format == "jsonl":
        batch_rows.check_encoding(content)
    elif not content.startswith(b"PK"):
        raise Malformed("the file is no ZIP archive")
    return (), 0


def _text(refusal: Refusal) -> str:
    """For operators, who read the log too."""
    return f"{refusal.public}: {refusal.cause}"[:300] if refusal.cause else refusal.public

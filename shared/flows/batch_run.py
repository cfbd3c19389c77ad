"""Batches of signing requests, worked through chunk by chunk: no row is lost, and none leads to two certificates.

A queue message means "go on". What is to be done stands in the batch itself; a chunk that was begun and not written
down is done again, and issue-once gives the certificates that exist already. Two messages for one batch do no harm:
whoever is at a chunk holds it.
"""

import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from shared.core import batch as rules
from shared.core import batch_results, batch_rounds, batch_rows, batch_streak, batch_zip
from shared.core.batch import Batch, Cursor, Lap
from shared.core.errors import Again, Malformed, Misconfigured, NotFound, Refusal, TooLarge
from shared.flows.batch_chunk import Chunk, StoppedError
from shared.flows.ports.aside import Aside
from shared.flows.ports.batches import Batches, BatchWork, Files, KeptBatch
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.turns import LateError

# Longer than any row, so that a piece holds one at least.
WINDOW: Final = 8 * batch_rows.MAX_ROW
# For how long one message leads from chunk to chunk: from the queue the next may take seconds to come.
SPELL: Final = timedelta(seconds=60)
# A message that comes so much too early has met a clock that is a little off. Any other that finds somebody at the
# batch, or the batch at rest, is one too many: whoever held it last has sent the next.
_EARLY: Final = 60
_MISTAKE: Final = "a mistake of our own, see the log"
_RETRY_SECONDS: Final = 60
_LATE: Final = timedelta(seconds=5)
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class BatchRun:
    """`most_bytes` is the size that a file may have, also when it is unpacked."""

    batches: Batches
    files: Files
    chunk: Chunk
    work: BatchWork
    clock: Clock
    aside: Aside
    most_bytes: int

    async def go_on(self, ident: str, *, again: bool = False) -> Batch | None:
        """Do the next parts of a batch that is running, and have a message sent for the rest. Raises Unavailable.

        `again` when the message has come before: whoever had it then may have died and hold the batch still.
        """
        until = self.clock() + SPELL
        while True:
            taken = await self._taken(ident)
            batch = await self._worked(taken) if isinstance(taken, KeptBatch) else taken
            if batch is None or batch.state != "running":
                return batch
            now = self.clock()
            wait = rules.wait(batch, now)
            if wait or now >= until:
                if again or isinstance(taken, KeptBatch) or wait <= _EARLY:
                    await self.work.batch(ident, wait)
                return batch

    async def wake(self) -> int:
        """Send a message for each batch that nothing moves any more; how many. Raises Unavailable."""
        now, woken = self.clock(), 0
        async for batch in self.batches.every("running"):
            if rules.is_forgotten(batch, now):
                await self.work.batch(batch.id)
                woken += 1
        return woken

    async def advance(self, ident: str) -> Batch | None:
        """Do the next part of a batch, if it is time for it and nobody else is at it. Raises Unavailable."""
        taken = await self._taken(ident)
        return await self._worked(taken) if isinstance(taken, KeptBatch) else taken

    async def _taken(self, ident: str) -> KeptBatch | Batch | None:
        """The batch that we hold now, or that is not to be held now as it is."""
        found = await self.batches.load(ident)
        if found is None or found.batch.state != "running" or rules.wait(found.batch, self.clock()):
            return found.batch if found else None
        try:
            return await self.batches.save(found, rules.held(found.batch, self.clock()))
        except StaleVersionError:  # somebody was faster
            there = await self.batches.load(ident)
            return there.batch if there else None

    async def _worked(self, kept: KeptBatch) -> Batch:
        """The batch after the part that we hold it for."""
        try:
            return await self._written(kept, await self._part(kept.batch))
        except Exception as error:  # whatever it is, it is told; the next message need not wait until our hold is over
            now = self.clock()
            passing = isinstance(error, Refusal)
            after = rules.let_go(kept.batch, now) if passing else rules.hindered(kept.batch, _MISTAKE, 60, now)
            with contextlib.suppress(StaleVersionError, Refusal):
                await self.batches.save(kept, after)
            raise

    async def _written(self, kept: KeptBatch, after: Batch) -> Batch:
        """The batch as it now stands: with what an operator has done to it meanwhile."""
        held_until = kept.batch.held_until
        for _ in range(_ATTEMPTS):
            try:
                return (await self.batches.save(kept, after)).batch
            except StaleVersionError:
                there = await self.batches.load(after.id)
            both = rules.joined(there.batch, after, held_until) if there else None
            if there is None or both is None:
                break
            kept, after = there, both
        return kept.batch

    async def _part(self, batch: Batch) -> Batch:
        """The batch after its next part, or after what has come in its way."""
        try:
            return await self._next(batch)
        except (Again, Misconfigured) as refusal:
            seconds = refusal.retry_after if isinstance(refusal, Again) else _RETRY_SECONDS
            return rules.hindered(batch, refusal.public, seconds, self.clock(), refusal.cause)
        except LateError:  # other batches are at work too; what has been issued needs no turn any more
            return rules.let_go(batch, self.clock() + _LATE)
        except StoppedError as stopped:
            return rules.stopped(batch, "paused", stopped.text, self.clock())
        except NotFound as refusal:
            return rules.stopped(batch, "failed", refusal.public, self.clock(), refusal.cause)

    async def _next(self, batch: Batch) -> Batch:
        if batch.format == "zip" and not batch.rows:
            return await self._unpacked(batch)
        cursor = batch.cursor
        data = await self.files.read(batch.source, cursor.offset, WINDOW)
        final = len(data) < WINDOW
        piece = batch_rows.read(data, batch.columns, before=cursor.row, most=batch.chunk_rows, final=final)
        if not piece.consumed:
            return batch_rounds.ended(batch, self.clock())
        name = rules.result_name(batch.id, cursor.chunk)
        lines = dict(batch_results.by_row(await whole(self.files, name))) if batch.round > 1 else {}
        ended = {number for number, line in lines.items() if line.outcome != "pending"}
        worked = await self.chunk.run(batch, [row for row in piece.rows if row.number not in ended])
        asked = [one.by_ca for one in worked.results if one.by_ca or one.outcome in ("issued", "pending")]
        streak = batch_streak.after(batch, asked)
        stops = worked.failure is None and batch_streak.is_too_long(batch, streak)
        is_whole = worked.failure is None and not stops
        # What DigiCert ONE has refused is asked for again, as is what could not be decided.
        lines |= {one.row.number: batch_results.line(one) for one in worked.results if is_whole or not one.by_ca}
        written = [lines[row.number] for row in piece.rows if row.number in lines]
        if is_whole or (written and rules.is_held(batch, self.clock())):
            await self.files.write(name, b"".join(line.text for line in written))
        if worked.failure:
            raise worked.failure
        if streak and stops:
            reason = next(one.reason for one in reversed(worked.results) if one.by_ca)
            return batch_streak.stopped(batch, streak, reason, self.clock())
        to = Cursor(cursor.offset + piece.consumed, cursor.row + len(piece.rows), cursor.chunk + 1)
        after = rules.advanced(batch, to, batch_results.counts(written), self.clock())
        return batch_streak.noted(after, streak)

    async def _unpacked(self, batch: Batch) -> Batch:
        """The rows of a ZIP archive, as JSON Lines, in a blob of their own."""
        async with self.files.opened(batch.input) as file:
            try:
                archive = await self.aside(partial(batch_zip.opened, file))
            except (Malformed, TooLarge) as refusal:
                return rules.stopped(batch, "failed", refusal.public, self.clock())
            found, count, blocks, size = batch_zip.rows(archive), 0, 0, 0
            while lines := await self.aside(partial(batch_zip.block, found)):
                blocks, count, size = blocks + 1, count + len(lines), size + sum(map(len, lines))
                if size > self.most_bytes:
                    text = f"what the ZIP archive holds is over {self.most_bytes} bytes: split it"
                    return rules.stopped(batch, "failed", text, self.clock())
                await self.files.stage(batch.source, blocks, b"".join(lines))
        if not count:
            return rules.stopped(batch, "failed", "the ZIP archive holds no files", self.clock())
        await self.files.commit(batch.source, blocks)
        now = self.clock()
        return replace(rules.let_go(batch, now), rows=count, size=size, changed=now, lap=Lap(now, 0, 0.0))


async def whole(files: Files, name: str) -> bytes:
    """A blob of results, which is never long. Raises NotFound, Unavailable."""
    parts = list[bytes]()
    while True:
        part = await files.read(name, sum(map(len, parts)), WINDOW)
        parts.append(part)
        if len(part) < WINDOW:
            return b"".join(parts)

"""Batches of signing requests, as factories see them: sent in, started, paused, resumed, cancelled, fetched.

What works through them is in `batch_run.py`; a queue message sets it going.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from shared.core import batch as rules
from shared.core import batch_rounds, batch_rows, ops
from shared.core.batch import Batch, Deed, State
from shared.core.errors import Conflict, Malformed, NotFound, TooLarge, Unavailable
from shared.core.ops import Command
from shared.flows.batch_run import WINDOW, whole
from shared.flows.ports.aside import Aside
from shared.flows.ports.batches import Batches, BatchWork, Files, KeptBatch
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.ports.operators import KeptWish, Wish, Wishes

_ATTEMPTS: Final = 5
# How many more blocks a file may have than if each were as large as it may be.
_SPARE_BLOCKS: Final = 1_000
# Of short chunks so many are read for one answer.
_MOST_CHUNKS: Final = 200
_DONE: Final = "done"


@dataclass(frozen=True)
class Batching:
    """`most_bytes` is the size that a file may have, `most_at_once` that of one request's body.

    `chunk_rows` is the number of rows that new batches are worked through at a time, `part_bytes` about how much of the
    results is given at a time.
    """

    batches: Batches
    files: Files
    wishes: Wishes
    work: BatchWork
    clock: Clock
    aside: Aside
    most_bytes: int
    most_at_once: int
    chunk_rows: int
    part_bytes: int

    async def create(self, wanted: Batch, content: bytes) -> Batch:
        """The batch that the request asks for: begun with this content or, where there is none, waiting for blocks.

        The same key again is the same batch. Raises Conflict when it was used for something else, Malformed, TooLarge.
        """
        digest = await self.aside(partial(rules.digest, content)) if content else ""
        wanted = replace(wanted, digest=digest, chunk_rows=self.chunk_rows)
        kept = await self.batches.load(wanted.id)
        is_made = kept is None
        if kept is None:
            kept = await self.batches.create(await self._with_content(wanted, content) if content else wanted)
        if not rules.is_same(kept.batch, wanted):
            raise Conflict("this Idempotency-Key has been used for another batch: take a new one")
        batch = kept.batch
        if batch.state == "running" and (is_made or rules.is_new(batch) or rules.is_forgotten(batch, self.clock())):
            await self.work.batch(batch.id)  # in any other case there is a message for it
        return batch

    async def _with_content(self, wanted: Batch, content: bytes) -> Batch:
        """The batch that begins at once. Its file is written first: one without a batch harms nobody."""
        self._check_size(len(content))
        columns, header = _beginning(wanted, content)
        await self.files.write(wanted.input, content)
        return rules.after(rules.with_file(wanted, len(content), columns, header), "start", self.clock())

    async def stage(self, ident: str, number: int, content: bytes) -> None:
        """Take a block of the file. Raises NotFound, Conflict, TooLarge, Malformed."""
        batch = (await self._load(ident)).batch
        if batch.state != "uploading":
            raise Conflict(f"the batch is {batch.state}: nothing can be added to its file")
        if not content or len(content) > self.most_at_once:
            raise TooLarge(f"a block has 1 to {self.most_at_once} bytes")
        most = self.most_bytes // self.most_at_once + _SPARE_BLOCKS
        if not 1 <= number <= most:
            raise Malformed(f"blocks are numbered from 1 to {most}")
        if number == 1:
            _beginning(batch, content)
        there = await self.files.blocks(batch.input)
        self._check_size(len(content) + sum(size for one, size in there.items() if one != number))
        await self.files.stage(batch.input, number, content)

    async def change(self, ident: str, deed: Deed, command: Command, size: int | None = None) -> Batch:
        """Start, pause, resume or cancel. Raises NotFound, Conflict, TooLarge.

        A key that was used for the same before does no more. `size` is the length that the file should have.
        """
        await self._load(ident)
        wish = await self._wish(ident, f"{deed} {size}" if size else deed, command)
        if wish.wish.note == _DONE:
            return (await self._load(ident)).batch
        changed = await self._changed(ident, deed, size)
        if changed.state == "running":
            await self.work.batch(ident)
        with contextlib.suppress(StaleVersionError):  # the same request came twice at once
            await self.wishes.change(wish, replace(wish.wish, note=_DONE))
        return changed

    async def _changed(self, ident: str, deed: Deed, size: int | None) -> Batch:
        for _ in range(_ATTEMPTS):
            kept = await self._load(ident)
            after = rules.after(kept.batch, deed, self.clock())
            if after == kept.batch:
                return after
            if deed == "start":
                after = await self._joined(after, size)
            try:
                return (await self.batches.save(kept, after)).batch
            except StaleVersionError:
                continue
        raise Unavailable("the batch is changing too fast; try again", retry_after=2)

    async def _wish(self, ident: str, deed: str, command: Command) -> KeptWish:
        body = ops.fingerprint(deed, command)
        kept = await self.wishes.keep(Wish(f"batch/{ident}", command.key, body, self.clock()))
        if kept.wish.body != body:
            raise Conflict("this Idempotency-Key was used for another request: take a new one")
        return kept

    async def find(self, ident: str) -> Batch:
        """Raises NotFound."""
        return (await self._load(ident)).batch

    def every(self, state: State | None) -> AsyncIterator[Batch]:
        """All batches, or those in that state, in no order."""
        return self.batches.every(state)

    async def results(self, ident: str, after: int, most_bytes: int) -> tuple[bytes, int]:
        """The results after that chunk as JSON Lines, up to about `most_bytes`; the chunk to go on after, 0 at the end.

        Raises NotFound.
        """
        batch = (await self._load(ident)).batch
        last = batch_rounds.last_chunk(batch)
        # What was decided of a chunk that its batch never came to the end of.
        is_over, chunk, parts, size = batch.state in ("cancelled", "failed"), after, list[bytes](), 0
        while chunk < last or is_over:
            if size >= most_bytes or len(parts) >= _MOST_CHUNKS:
                return b"".join(parts), chunk
            try:
                part = await whole(self.files, rules.result_name(ident, chunk + 1))
            except NotFound:
                if chunk < last:
                    raise
                break
            parts, size, chunk = [*parts, part], size + len(part), chunk + 1
        return b"".join(parts), 0

    async def _joined(self, batch: Batch, stated: int | None) -> Batch:
        """The batch with the file that its blocks make; made once more when the first time was not written down."""
        sizes = await self.files.blocks(batch.input)
        if not sizes:
            raise Conflict("the batch has no file yet: put its blocks, and start it then")
        if sorted(sizes) != list(range(1, len(sizes) + 1)):
            raise Conflict(f"blocks are missing: there are {len(sizes)}, and the last is number {max(sizes)}")
        size = sum(sizes.values())
        self._check_size(size)
        if stated not in (None, size):
            raise Conflict(f"the blocks hold {size} bytes, and the file should have {stated}")
        await self.files.commit(batch.input, len(sizes))
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


def _beginning(batch: Batch, content: bytes) -> tuple[tuple[str, ...], int]:
    """The columns of the file and the length of the line that names them. Raises Malformed."""
    if batch.format == "csv":
        return batch_rows.csv_columns(content)
    if batch.format == "jsonl":
        batch_rows.check_encoding(content)
    elif not content.startswith(b"PK"):
        raise Malformed("the file is no ZIP archive")
    return (), 0

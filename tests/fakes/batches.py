"""Batches, their files and their pace, in memory."""

import io
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from shared.core import pace
from shared.core.batch import Batch, State
from shared.core.errors import Conflict, NotFound
from shared.flows.ports.batches import KeptBatch
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.calls import Calls


@dataclass
class FakeBatches:
    calls: Calls = field(default_factory=Calls)
    rows: dict[str, KeptBatch] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=itertools.count)

    async def create(self, batch: Batch) -> KeptBatch:
        async with self.calls.to("batches.create"):
            return self.rows.setdefault(batch.id, KeptBatch(batch, str(next(self._versions))))

    async def load(self, ident: str) -> KeptBatch | None:
        async with self.calls.to("batches.load"):
            return self.rows.get(ident)

    async def save(self, kept: KeptBatch, batch: Batch) -> KeptBatch:
        async with self.calls.to("batches.save"):
            if self.rows.get(batch.id) != kept:
                raise StaleVersionError
            self.rows[batch.id] = KeptBatch(batch, str(next(self._versions)))
            return self.rows[batch.id]

    async def every(self, state: State | None = None) -> AsyncIterator[Batch]:
        async with self.calls.to("batches.every"):
            found = [kept.batch for kept in self.rows.values() if state in (None, kept.batch.state)]
        for batch in found:
            yield batch


@dataclass
class FakeFiles:
    """`contents` are what can be read, `parts` the blocks that were put down, of which some are part of a blob."""

    calls: Calls = field(default_factory=Calls)
    contents: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    async def write(self, name: str, content: bytes) -> None:
        async with self.calls.to("files.write"):
            self.contents[name] = content
            self.parts.pop(name, None)

    async def stage(self, name: str, number: int, content: bytes) -> None:
        async with self.calls.to("files.stage"):
            self.parts.setdefault(name, {})[number] = content

    async def commit(self, name: str, blocks: int) -> None:
        async with self.calls.to("files.commit"):
            there, wanted = self.parts.get(name, {}), range(1, blocks + 1)
            if any(number not in there for number in wanted):
                raise Conflict("blocks of the file are missing")
            self.parts[name] = {number: there[number] for number in wanted}
            self.contents[name] = b"".join(self.parts[name].values())

    async def blocks(self, name: str) -> Mapping[int, int]:
        async with self.calls.to("files.blocks"):
            return {number: len(part) for number, part in self.parts.get(name, {}).items()}

    async def read(self, name: str, offset: int, length: int) -> bytes:
        async with self.calls.to("files.read"):
            if name not in self.contents:
                raise NotFound("there is no such file")
            return self.contents[name][offset : offset + length]

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[IO[bytes]]:
        async with self.calls.to("files.opened"):
            if name not in self.contents:
                raise NotFound("there is no such file")
            content = self.contents[name]
        yield io.BytesIO(content)


@dataclass
class FakePace:
    clock: Clock
    calls: Calls = field(default_factory=Calls)
    per_minute: int = 6_000
    free: datetime | None = None

    async def reserve(self, turns: int) -> tuple[datetime, ...]:
        async with self.calls.to("pace.reserve"):
            reserved = pace.reserve(self.free, turns, self.per_minute, self.clock())
            if reserved is None:
                return ()
            first, self.free = reserved
            return tuple(first + number * timedelta(minutes=1 / self.per_minute) for number in range(turns))

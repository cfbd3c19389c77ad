"""The batches: one row each, as it was written, changed only as it was read, found by its state."""

import asyncio
import secrets
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.batch_table import TableBatches
from shared.core.batch import Batch, Cursor, Lap, Streak
from shared.core.errors import Unavailable
from shared.flows.ports.batches import Batches
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.batches import FakeBatches

if TYPE_CHECKING:
    from tests.contracts.outside import Outside

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)


@dataclass
class Subject:
    batches: Batches
    dead: Batches


@pytest.fixture
def subject(real: "Outside | None") -> Subject:
    if real is not None:
        return Subject(TableBatches(real.ledger.tables), TableBatches(real.dead_ledger.tables))
    dead = FakeBatches()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(FakeBatches(), dead)


@pytest.fixture
def batches(subject: Subject) -> Batches:
    return subject.batches


@pytest.fixture
def batch() -> Batch:
    """A new one, with nothing in it that need not be."""
    return Batch(f"b-{secrets.token_hex(6)}", "devices", "csv", "uploading", "ada (function key)", "", created=NOW)


def full(batch: Batch) -> Batch:
    """The batch with every field set."""
    made = Batch(
        id=batch.id,
        label="Zürich",
        format="zip",
        state="running",
        caller="東京 (function key)",
        comment='"lot" 7',
        created=NOW,
        columns=("device_id", "csr"),
        header=14,
        size=1 << 40,
        digest="ab" * 32,
        rows=100_000,
        chunk_rows=60,
        round=2,
        chunks=7,
        cursor=Cursor(1 << 33, 50_000, 12),
        counts={"issued": 3, "already issued": 2, "pending": 1, "refused": 0},
        before={"issued": 2, "pending": 7},
        waiting=NOW + timedelta(seconds=5),
        streak=Streak(4, Cursor(1 << 32, 49_000, 11), {"issued": 2, "refused": 1}),
        stops=1,
        begun=NOW + timedelta(seconds=1),
        changed=NOW + timedelta(seconds=2),
        trouble="no",
        cause="ServiceRequestError('東京')",
        tries=4,
        lap=Lap(NOW, 7, 0.25),
        held_until=NOW + timedelta(seconds=3),
        due=NOW + timedelta(seconds=4),
    )
    assert all(getattr(made, one.name) != one.default for one in fields(made))
    return made


async def test_a_batch_is_read_as_it_was_written(batches: Batches, batch: Batch) -> None:
    assert await batches.load(batch.id) is None
    for one in (batch, full(replace(batch, id=f"{batch.id}-2"))):
        kept = await batches.create(one)
        assert kept.batch == one
        assert await batches.load(one.id) == kept


async def test_of_many_that_make_it_at_once_one_does_and_all_get_that(batches: Batches, batch: Batch) -> None:
    made = await asyncio.gather(*(batches.create(replace(batch, comment=str(number))) for number in range(8)))
    assert len({one.batch.comment for one in made}) == 1
    assert await batches.load(batch.id) == made[0]


async def test_a_change_is_made_by_who_has_seen_the_latest(batches: Batches, batch: Batch) -> None:
    kept = await batches.create(batch)
    changed = await batches.save(kept, full(batch))
    assert changed.batch == full(batch)
    with pytest.raises(StaleVersionError):
        await batches.save(kept, batch)
    assert await batches.load(batch.id) == changed
    await batches.save(changed, batch)


async def test_batches_are_found_by_their_state(batches: Batches, batch: Batch) -> None:
    kept = await batches.create(batch)
    other = await batches.create(replace(batch, id=f"{batch.id}-2", state="paused"))
    assert {one.id async for one in batches.every()} >= {batch.id, other.batch.id}
    assert batch.id in [one.id async for one in batches.every("uploading")]
    await batches.save(kept, full(batch))
    running = [one async for one in batches.every("running")]
    assert full(batch) in running
    assert all(one.state == "running" for one in running)


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, batch: Batch) -> None:
    kept = await subject.batches.create(batch)
    calls = (
        subject.dead.create(batch),
        subject.dead.load(batch.id),
        subject.dead.save(kept, batch),
        anext(aiter(subject.dead.every("running"))),
    )
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)

"""The messages of a batch: one leads it through, however many were sent, and none that is needed is missing."""

import asyncio
from datetime import timedelta

import pytest

from shared.core import batch as rules
from shared.core.errors import Unavailable
from tests.fakes.world import Fakes
from tests.flows.batching import BATCH, change, devices, lines, now, sent, work

pytestmark = pytest.mark.anyio


async def test_the_same_file_sent_again_adds_no_message_to_a_batch_that_somebody_is_at(world: Fakes) -> None:
    content = lines(*devices(30))
    await sent(world, content)
    assert len(world.work.messages) == 1
    await world.batch_run.advance(BATCH)
    for _ in range(9):
        await sent(world, content)
    assert len(world.work.messages) == 1


async def test_a_file_sent_again_has_its_batch_begun_that_nobody_was_told_of(world: Fakes) -> None:
    content = lines(*devices(3))
    world.calls.fail("work.batch", lambda: Unavailable("no", retry_after=1))
    with pytest.raises(Unavailable):
        await sent(world, content)
    await sent(world, content)
    await work(world)
    assert (await now(world)).state == "done"


async def test_a_file_sent_again_wakes_a_batch_that_is_forgotten(world: Fakes) -> None:
    content = lines(*devices(30))
    await sent(world, content)
    await world.batch_run.advance(BATCH)
    world.work.messages.clear()
    world.clock.forward(seconds=(rules.FORGOTTEN + timedelta(minutes=1)).total_seconds())
    await sent(world, content)
    await work(world)
    assert (await now(world)).state == "done"


async def test_of_many_messages_one_stays(world: Fakes) -> None:
    await sent(world, lines(*devices(30)))
    for number in range(9):
        await change(world, "resume", key=f"k{number}")
    world.upstream.seconds = 1
    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=3_000), times=1)
    messages = world.work.take("batch")
    assert len(messages) == 10
    await asyncio.gather(*(world.batch_run.go_on(message.batch) for message in messages))
    assert [message.delay for message in world.work.messages] == [3_000]
    await work(world)
    assert (await now(world)).state == "done"


async def test_a_message_that_finds_the_batch_at_rest_is_one_too_many(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=3_000), times=1)
    await sent(world, lines(*devices(3)))
    world.work.messages.clear()
    await world.batch_run.go_on(BATCH)
    await world.batch_run.go_on(BATCH)
    assert [message.delay for message in world.work.messages] == [3_000]


async def test_a_message_that_comes_again_waits_for_who_may_have_died(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))
    kept = world.batches.rows[BATCH]
    await world.batches.save(kept, rules.held(kept.batch, world.clock()))
    world.work.messages.clear()
    await world.batch_run.go_on(BATCH)
    assert not world.work.messages
    await world.batch_run.go_on(BATCH, again=True)
    assert [message.delay for message in world.work.messages] == [rules.HOLD // timedelta(seconds=1)]
    await work(world)
    assert (await now(world)).state == "done"

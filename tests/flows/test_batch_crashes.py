"""Workers that die, come twice or are forgotten: no row is lost, and none leads to two certificates."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core import batch as rules
from shared.core.errors import Unavailable
from tests.fakes.calls import Crash, Moment
from tests.fakes.world import Fakes, fakes
from tests.flows.batching import BATCH, devices, lines, now, results, sent, work, zipped

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("calls", [1, 2], ids=["told", "dead"])
async def test_a_crash_at_any_call_loses_no_row_and_issues_none_twice(moment: Moment, calls: int) -> None:
    """`dead`: the process does not come to let go of the chunk either, and its hold must run out."""
    made = devices(12)
    content = lines(*made)
    calm = fakes()
    await sent(calm, content)
    await work(calm)
    for number in range(len(calm.calls.made)):
        world = fakes()
        world.calls.fail_at(number, Crash, moment=moment)
        world.calls.faults[0].times = calls
        while True:
            try:
                await sent(world, content)
            except Crash:
                world.restart()
                continue
            break
        await work(world)
        found = await results(world)
        assert [one["device_id"] for one in found] == [one.name for one in made], number
        assert {one["outcome"] for one in found} == {"issued"}, number
        assert len(world.ca.issued) == len({one["serial"] for one in found}) == 12, number


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("calls", [1, 2], ids=["told", "dead"])
async def test_nor_does_it_of_an_archive_whose_rows_wait_for_approval(moment: Moment, calls: int) -> None:
    """Two rounds: the rows are taken out of the archive, and one of them is pending when the first has ended."""
    made = devices(4)
    content = zipped(*made)

    def waiting() -> Fakes:
        world = fakes()
        world.upstream.behaves += ["pending"]
        world.upstream.approved = True
        return world

    calm = waiting()
    await sent(calm, content, "zip")
    await work(calm)
    assert (await now(calm)).round == 2
    for number in range(len(calm.calls.made)):
        world = waiting()
        world.calls.fail_at(number, Crash, moment=moment)
        world.calls.faults[0].times = calls
        while True:
            try:
                await sent(world, content, "zip")
            except Crash:
                world.restart()
                continue
            break
        await work(world)
        world.calls.faults.clear()
        found = await results(world)
        assert [one["device_id"] for one in found] == [one.name for one in made], number
        assert {one["outcome"] for one in found} == {"issued"}, number
        assert len(world.ca.issued) == len({one["serial"] for one in found}) == 4, number


async def test_two_workers_on_one_batch_ask_for_nothing_twice(world: Fakes) -> None:
    await sent(world, lines(*devices(20)))
    world.upstream.seconds = 1
    await world.work.batch(BATCH)
    await asyncio.gather(*(world.batch_run.go_on(message.batch) for message in world.work.take("batch")))
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}
    assert world.upstream.orders == 20
    assert world.calls.count("files.write") == 3


async def test_who_was_thought_dead_and_comes_back_spoils_nothing(world: Fakes) -> None:
    await sent(world, lines(*devices(5)))

    async def overtaken() -> None:
        del world.calls.meanwhile["files.write"]
        world.clock.forward(seconds=rules.HOLD.total_seconds())
        await world.batch_run.advance(BATCH)

    world.calls.meanwhile["files.write"] = overtaken
    await world.batch_run.advance(BATCH)
    assert ((await now(world)).cursor.row, (await now(world)).counts["issued"]) == (5, 5)
    await work(world)
    assert world.upstream.orders == 5


async def test_a_batch_whose_message_was_lost_is_woken(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))
    world.work.messages.clear()
    assert await world.batch_run.wake() == 0
    world.clock.forward(seconds=rules.FORGOTTEN.total_seconds() + 1)
    assert await world.batch_run.wake() == 1
    await work(world)
    assert (await now(world)).state == "done"
    world.clock.forward(days=1)
    assert await world.batch_run.wake() == 0


async def test_a_batch_that_waits_for_its_time_is_not_forgotten(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=3_600), times=3)
    await sent(world, lines(*devices(3)))
    await world.batch_run.go_on(BATCH)
    world.clock.forward(seconds=3_600)
    assert await world.batch_run.wake() == 0


async def test_a_batch_that_is_gone_leaves_nothing_to_do(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))

    async def gone() -> None:
        world.batches.rows.pop(BATCH, None)

    world.calls.meanwhile["batches.save"] = gone
    assert await world.batch_run.go_on(BATCH) is None
    del world.calls.meanwhile["batches.save"]
    await sent(world, lines(*devices(3)))
    world.calls.meanwhile["files.write"] = gone
    await world.batch_run.advance(BATCH)
    assert not world.batches.rows


async def test_a_batch_that_keeps_changing_is_done_again_when_our_hold_is_over(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))

    async def restless() -> None:
        kept = world.batches.rows[BATCH]
        if kept.batch.held_until is not None:
            world.batches.rows[BATCH] = replace(kept, version=kept.version + "x")

    world.calls.meanwhile["batches.save"] = restless
    held = await world.batch_run.advance(BATCH)
    assert held is not None
    assert (held.cursor.row, rules.wait(held, world.clock())) == (0, rules.HOLD // timedelta(seconds=1))
    del world.calls.meanwhile["batches.save"]
    await work(world)
    assert world.upstream.orders == 3

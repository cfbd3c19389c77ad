"""A batch is paused, resumed and cancelled while it runs; nothing that was asked for is lost on the way."""

import asyncio
from datetime import timedelta

import pytest

from shared.core.errors import Conflict, Unavailable
from tests.fakes.world import Fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, sent, work

pytestmark = pytest.mark.anyio


async def test_paused_means_that_no_further_row_is_asked_for_and_resumed_that_none_is_lost(world: Fakes) -> None:
    await sent(world, lines(*devices(30)))
    await world.batch_run.advance(BATCH)
    assert (await change(world, "pause")).state == "paused"
    await work(world)
    assert len(world.ca.issued) == 10
    assert (await change(world, "resume")).state == "running"
    await work(world)
    assert (await now(world)).state == "done"
    assert len(world.ca.issued) == 30


async def test_a_cancelled_batch_keeps_the_results_it_has(world: Fakes) -> None:
    await sent(world, lines(*devices(30)))
    await world.batch_run.advance(BATCH)
    await change(world, "cancel")
    await work(world)
    assert len(await results(world)) == len(world.ca.issued) == 10
    with pytest.raises(Conflict, match="cancelled"):
        await change(world, "resume")


@pytest.mark.parametrize("deed", ["pause", "cancel"])
async def test_a_chunk_that_is_under_way_is_written_down_all_the_same(world: Fakes, deed: str) -> None:
    await sent(world, lines(*devices(20)))

    async def stop() -> None:
        del world.calls.meanwhile["files.write"]
        await change(world, "pause" if deed == "pause" else "cancel")

    world.calls.meanwhile["files.write"] = stop
    await work(world)
    stopped = await now(world)
    assert stopped.state == ("paused" if deed == "pause" else "cancelled")
    assert (stopped.cursor.row, stopped.counts["issued"]) == (10, 10)
    assert len(await results(world)) == len(world.ca.issued) == 10


async def test_paused_and_resumed_while_a_chunk_is_under_way_nothing_is_done_twice(world: Fakes) -> None:
    await sent(world, lines(*devices(20)))

    async def hesitate() -> None:
        del world.calls.meanwhile["files.write"]
        await change(world, "pause")
        await change(world, "resume")

    world.calls.meanwhile["files.write"] = hesitate
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}
    assert len(world.ca.issued) == world.upstream.orders == 20
    assert world.calls.count("files.write") == 3  # the file, and each chunk once


async def test_the_end_goes_before_a_pause_that_comes_too_late(world: Fakes) -> None:
    await sent(world, lines(*devices(5)))
    await world.batch_run.advance(BATCH)

    async def pause() -> None:
        del world.calls.meanwhile["files.read"]
        await change(world, "pause")

    world.calls.meanwhile["files.read"] = pause
    await work(world)
    assert (await now(world)).state == "done"


async def test_the_same_key_again_does_nothing_more(world: Fakes) -> None:
    await sent(world, lines(*devices(30)))
    await change(world, "pause", key="k1")
    await change(world, "resume", key="k2")
    assert (await change(world, "pause", key="k1")).state == "running"
    with pytest.raises(Conflict, match="used for another request"):
        await change(world, "cancel", key="k1")


async def test_a_request_that_was_cut_off_is_finished_by_the_same_key(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))
    await change(world, "pause")
    world.work.messages.clear()
    world.calls.fail("work.batch", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await change(world, "resume", key="k")
    await change(world, "resume", key="k")
    await work(world)
    assert (await now(world)).state == "done"


async def test_the_same_request_twice_at_once_is_done_once(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))
    both = await asyncio.gather(change(world, "pause", key="k"), change(world, "pause", key="k"))
    assert {one.state for one in both} == {"paused"}


async def test_a_batch_that_keeps_changing_ends_in_come_again(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))

    async def other() -> None:
        kept = world.batches.rows[BATCH]
        world.batches.rows[BATCH] = type(kept)(kept.batch, kept.version + "x")

    world.calls.meanwhile["batches.save"] = other
    with pytest.raises(Unavailable, match="changing too fast"):
        await change(world, "pause")


async def test_a_pause_does_not_count_for_the_rate_and_the_end(world: Fakes) -> None:
    world.pace.per_minute = 60
    world.restart()
    await sent(world, lines(*devices(61)))
    await world.batch_run.go_on(BATCH)
    await change(world, "pause")
    world.clock.forward(days=2)
    await change(world, "resume")
    begun = world.clock()
    await world.batch_run.advance(BATCH)
    batch = await now(world)
    assert batch.lap is not None
    assert batch.lap.at == begun


async def test_a_message_leads_from_chunk_to_chunk_for_a_while_and_sends_another_then(world: Fakes) -> None:
    world.pace.per_minute = 60
    world.restart()
    await sent(world, lines(*devices(200)))
    world.work.messages.clear()
    began = world.clock()
    await world.batch_run.go_on(BATCH)
    assert timedelta(seconds=60) <= world.clock() - began < timedelta(seconds=75)
    assert [message.delay for message in world.work.of("batch")] == [0]

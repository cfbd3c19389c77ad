"""A chunk that cannot come to its end: what was decided of it is never hidden, and nothing is done twice for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.core import batch as rules
from shared.core.errors import NotFound, Unavailable
from tests.fakes.world import Fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, sent, work

pytestmark = pytest.mark.anyio


async def stuck(world: Fakes, count: int = 10, error: Callable[[], Exception] | None = None) -> None:
    """Three rows of the first chunk come to nothing."""
    await sent(world, lines(*devices(count)))
    world.calls.fail("upstream.issue", error or (lambda: Unavailable("no", retry_after=60)), times=3)
    await world.batch_run.advance(BATCH)


async def test_cancelled_after_half_a_chunk_it_shows_what_was_issued(world: Fakes) -> None:
    await stuck(world)
    assert not await results(world), "it may still change"
    await change(world, "cancel")
    found = await results(world)
    assert [one["row"] for one in found] == [4, 5, 6, 7, 8, 9, 10]
    assert {one["outcome"] for one in found} == {"issued"}
    assert len(world.ca.issued) == 7


async def test_the_next_try_writes_the_whole_chunk_and_what_was_issued_stays_so(world: Fakes) -> None:
    await stuck(world)
    await work(world)
    found = await results(world)
    assert [(one["row"], one["outcome"]) for one in found] == [(number, "issued") for number in range(1, 11)]
    assert len(world.ca.issued) == 10


async def test_a_mistake_of_our_own_in_one_row_does_not_hide_the_others(world: Fakes) -> None:
    with pytest.raises(ZeroDivisionError):
        await stuck(world, error=lambda: ZeroDivisionError("ours"))
    await change(world, "cancel")
    assert len(await results(world)) == len(world.ca.issued) == 7


async def test_a_file_that_is_gone_fails_the_batch_with_what_it_had(world: Fakes) -> None:
    await stuck(world, 20)
    del world.files.contents[(await now(world)).input]
    await work(world)
    assert (await now(world)).state == "failed"
    assert len(await results(world)) == 7


async def test_in_another_round_a_chunk_that_is_not_finished_forgets_no_row(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 3
    await sent(world, lines(*devices(10)))
    await world.batch_run.go_on(BATCH)
    world.clock.forward(seconds=3_600)
    world.upstream.approved = True
    world.calls.fail("upstream.poll", lambda: Unavailable("no", retry_after=60), times=2)
    await world.batch_run.advance(BATCH)
    assert [one["outcome"] for one in await results(world)] == ["pending"] * 2 + ["issued"] * 8
    await change(world, "cancel")
    assert [one["row"] for one in await results(world)] == list(range(1, 11))


async def test_results_that_should_be_there_and_are_not_are_told(world: Fakes) -> None:
    await sent(world, lines(*devices(10)))
    await work(world)
    del world.files.contents[rules.result_name(BATCH, 1)]
    with pytest.raises(NotFound):
        await results(world)


async def test_who_was_thought_dead_does_not_write_half_a_chunk_over_a_whole_one(world: Fakes) -> None:
    await sent(world, lines(*devices(5)))
    world.upstream.seconds = 1

    async def overtaken() -> None:
        del world.calls.meanwhile["ledger.release"]
        world.clock.forward(seconds=rules.HOLD / timedelta(seconds=1))
        await world.batch_run.advance(BATCH)

    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=1))
    world.calls.meanwhile["ledger.release"] = overtaken
    await world.batch_run.advance(BATCH)
    assert (await now(world)).cursor.row == 5
    assert [one["outcome"] for one in await results(world)] == ["issued"] * 5

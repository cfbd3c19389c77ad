"""A large file comes in blocks, in any order: what they make is the file, whole, or nothing."""

import pytest

from shared.core.errors import Conflict, Malformed, TooLarge
from tests.fakes.calls import Crash, Moment
from tests.fakes.world import Fakes, fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, sent, work

pytestmark = pytest.mark.anyio


async def uploading(world: Fakes, *blocks: bytes) -> None:
    assert (await sent(world, b"")).state == "uploading"
    for number, block in enumerate(blocks, 1):
        await world.batching.stage(BATCH, number, block)


async def test_a_large_file_comes_in_blocks_in_any_order(world: Fakes) -> None:
    content = lines(*devices(12))
    await uploading(world)
    with pytest.raises(Conflict, match="no file yet"):
        await change(world, "start")
    await world.batching.stage(BATCH, 2, content[1000:])
    with pytest.raises(Conflict, match="blocks are missing: there are 1, and the last is number 2"):
        await change(world, "start")
    await world.batching.stage(BATCH, 1, content[:1000])
    assert (await change(world, "start")).state == "running"
    await work(world)
    assert len(world.ca.issued) == 12
    with pytest.raises(Conflict, match="nothing can be added"):
        await world.batching.stage(BATCH, 3, b"x")


async def test_an_empty_upload_again_is_the_same_upload(world: Fakes) -> None:
    content = lines(*devices(2))
    await uploading(world, content[:500])
    await uploading(world, content)
    await change(world, "start")
    await work(world)
    assert len(world.ca.issued) == 2


async def test_what_is_too_large_is_refused_with_the_limit(world: Fakes) -> None:
    await uploading(world)
    for content in (b"", b"x" * (64 * 1024 + 1)):
        with pytest.raises(TooLarge, match="1 to 65536"):
            await world.batching.stage(BATCH, 1, content)
    for number in (0, 1_017):
        with pytest.raises(Malformed, match="numbered from 1 to 1016"):
            await world.batching.stage(BATCH, number, b"x")
    for number in range(1, 17):
        await world.batching.stage(BATCH, number, b"x" * 64 * 1024)
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await world.batching.stage(BATCH, 17, b"x")
    await world.batching.stage(BATCH, 16, b"x" * 64 * 1024)  # the same number again takes no more room

    async def beside() -> None:
        del world.calls.meanwhile["files.stage"]
        await world.batching.stage(BATCH, 17, b"x" * (64 * 1024 - 1))

    await world.batching.stage(BATCH, 16, b"x")
    world.calls.meanwhile["files.stage"] = beside
    await world.batching.stage(BATCH, 16, b"x" * 64 * 1024)
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await change(world, "start")
    assert (await now(world)).state == "uploading"


async def test_a_file_that_came_by_half_is_told_by_its_length(world: Fakes) -> None:
    content = lines(*devices(2))
    await uploading(world, content[:500])
    with pytest.raises(Conflict, match=f"the blocks hold 500 bytes, and the file should have {len(content)}"):
        await change(world, "start", size=len(content))
    await world.batching.stage(BATCH, 2, content[500:])
    assert (await change(world, "start", size=len(content))).size == len(content)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_start_that_dies_at_any_call_is_finished_by_the_next(moment: Moment) -> None:
    content = lines(*devices(3))
    calm = fakes()
    await uploading(calm, content[:700], content[700:])
    before = len(calm.calls.made)
    await change(calm, "start", key="k")
    for number in range(before, len(calm.calls.made)):
        world = fakes()
        await uploading(world, content[:700], content[700:])
        world.calls.fail_at(number, Crash, moment=moment)
        with pytest.raises(Crash):
            await change(world, "start", key="k")
        world.restart()
        await change(world, "start", key="k")
        await work(world)
        assert [one["outcome"] for one in await results(world)] == ["issued"] * 3, number

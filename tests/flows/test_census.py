"""The certificates of the fleet are counted by what is left of them, however many there are, and not too often."""

from datetime import timedelta

import pytest

from shared.core.errors import Unavailable
from shared.flows.census import EVERY, TOO_OLD, WATERMARK, Census
from tests.fakes.index import FakeWatermarks
from tests.fakes.ops import OpsWorld

DAY = timedelta(days=1)


class Counting:
    """Five devices, whose certificates end 80 days from now; a page holds two."""

    def __init__(self) -> None:
        self.world = OpsWorld()
        self.world.fleet.page = 2
        self.watermarks = FakeWatermarks(self.world.calls)

    async def born(self) -> None:
        for number in range(4):
            await self.world.born(f"dev-{number}", f"1{number}")
        await self.world.born("dev-4", "14", label="other")

    def census(self, most_pages: int = 10) -> Census:
        """As a process that has just begun."""
        return Census(self.world.fleet, self.watermarks, self.world.clock, most_pages)

    def pages_read(self) -> int:
        return self.world.calls.made.count("fleet.endings")


@pytest.fixture
async def counting() -> Counting:
    made = Counting()
    await made.born()
    return made


async def test_each_certificate_is_counted_once(counting: Counting) -> None:
    assert await counting.census().run() == {"devices": {"90": 4}, "other": {"90": 1}}


async def test_an_empty_ledger_has_been_counted_too() -> None:
    assert await Counting().census().run() == {}


async def test_what_one_run_cannot_read_is_for_the_next_one(counting: Counting) -> None:
    assert await counting.census(1).run() is None
    assert await counting.census(1).run() is None
    assert await counting.census(1).run() == {"devices": {"90": 4}, "other": {"90": 1}}
    assert counting.pages_read() == 3


async def test_all_of_a_census_is_of_the_time_at_which_it_began(counting: Counting) -> None:
    assert await counting.census(1).run() is None
    counting.world.clock.moved = DAY * 0.9
    counted = await counting.census(10).run()
    assert counted == {"devices": {"90": 4}, "other": {"90": 1}}


async def test_a_census_is_not_taken_again_at_once(counting: Counting) -> None:
    assert await counting.census().run() is not None
    counting.world.clock.moved = EVERY - timedelta(seconds=1)
    assert await counting.census().run() is None
    counting.world.clock.moved = EVERY
    assert await counting.census().run() is not None


async def test_one_that_does_not_come_to_its_end_is_begun_anew(counting: Counting) -> None:
    assert await counting.census(1).run() is None
    counting.world.clock.moved = TOO_OLD
    assert await counting.census(2).run() is None
    assert await counting.census(1).run() == {"devices": {"90": 4}, "other": {"90": 1}}


async def test_a_page_that_is_not_read_leaves_all_as_it_was(counting: Counting) -> None:
    assert await counting.census(1).run() is None
    before = counting.watermarks.values[WATERMARK]
    counting.world.calls.fail("fleet.endings", lambda: Unavailable("no", retry_after=2))
    with pytest.raises(Unavailable):
        await counting.census().run()
    assert counting.watermarks.values[WATERMARK] == before

"""How often devices are asked, and how fast one after the other, whatever the scans overlap with."""

import asyncio
import heapq
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due
from shared.flows.renew import WATERMARK, Scanned
from tests.fakes.world import Fakes
from tests.flows.test_nudges import LIFETIME, Renewing

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


@pytest.fixture
def renewing(world: Fakes) -> Renewing:
    return Renewing(world)


async def pass_days(renewing: Renewing, days: float) -> list[tuple[datetime, str]]:
    """The timer each hour, and each message in its time; what became of the messages, and when."""
    world, scan_at = renewing.world, renewing.world.clock()
    outcomes: list[tuple[datetime, str]] = []
    queue: list[tuple[datetime, int, Due, date]] = []
    end = scan_at + timedelta(days=days)
    while scan_at < end:
        if queue and queue[0][0] <= scan_at:
            at, _, due, day = heapq.heappop(queue)
            world.clock.set(at)
            outcomes.append((at, (await renewing.renew.nudge(due, day)).outcome))
        else:
            world.clock.set(scan_at)
            await renewing.renew.scan()
            scan_at += HOUR
        for number, one in enumerate(world.work.take("nudge"), len(outcomes) * 1000):
            assert one.day is not None
            at = world.clock() + timedelta(seconds=one.delay)
            heapq.heappush(queue, (at, number, Due(one.device, one.serial), one.day))
    return outcomes


async def test_a_device_is_asked_once_a_day_and_few_messages_are_in_vain(renewing: Renewing) -> None:
    """Each scan of the day would find it again, and each find another message."""
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    outcomes = Counter(what for _, what in await pass_days(renewing, 5))
    assert outcomes["nudged"] == 5
    assert outcomes["later"] <= 5


async def test_near_the_end_it_is_asked_several_times_a_day_but_by_one_message_at_a_time(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME - 1)
    outcomes = await pass_days(renewing, 1.5)
    asked = [at for at, what in outcomes if what == "nudged"]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert len(asked) > 6
    assert min(pauses) >= timedelta(minutes=27)
    assert max(pauses) <= timedelta(hours=8)
    assert Counter(what for _, what in outcomes)["later"] <= 2
    assert outcomes[-1][1] == "expired"
    assert renewing.desired()["urgency"] == "urgent"


async def test_the_world_is_told_once_that_it_becomes_urgent(renewing: Renewing) -> None:
    """Though what was told has left the outbox long before the next time."""
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    announce, topic = renewing.world.application().announce, renewing.world.topic
    for _ in range(18):
        await pass_days(renewing, 1)
        await announce.flush(DeviceId("dev-1"))
    told = Counter(event.kind for event in topic.published)
    assert told["nudged"] > 18
    assert told["expiring"] == 1


async def test_a_repeated_scan_asks_nobody_twice(renewing: Renewing) -> None:
    """One died before it could write down how far it came."""
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    renewing.world.calls.fail("watermarks.put", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        await renewing.renew.scan()
    await renewing.renew.scan()
    assert await renewing.play() == ["nudged", "later"]


async def test_asking_is_spread_over_time(world: Fakes) -> None:
    renewing = Renewing(world, per_minute=2)
    for number in range(5):
        await renewing.born(f"dev-{number}")
    world.clock.forward(days=LIFETIME * 0.8)
    scanned = await renewing.renew.scan()
    assert [message.delay for message in world.work.of("nudge")] == [0, 30, 60, 90, 120]
    assert scanned.spread == 150


async def test_a_scan_adds_nothing_to_a_queue_that_is_still_full(world: Fakes) -> None:
    renewing = Renewing(world, per_minute=2)
    for number in range(300):
        await world.birth(world.device(f"dev-{number}"))
    world.clock.forward(days=LIFETIME * 0.8)
    await renewing.renew.scan()
    world.clock.forward(seconds=3600)
    assert await renewing.renew.scan() == Scanned(days=0, nudges=0, spread=5400)
    assert len(world.work.of("nudge")) == 300
    world.clock.forward(seconds=5400)
    assert (await renewing.renew.scan()).nudges == 300  # whose messages nobody has taken
    assert len(world.work.of("nudge")) == 600


async def test_a_clock_that_was_set_back_stops_no_scan(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8 + 30)
    await renewing.renew.scan()
    renewing.world.clock.forward(days=-20)
    assert (await renewing.renew.scan()).days > 0


async def test_a_queue_that_takes_over_a_week_is_filled_for_a_week(world: Fakes) -> None:
    """No message can be delayed for longer: the rest would come out all at once."""
    renewing = Renewing(world, per_minute=1)
    renewing.schedule.page = 12_001
    day = world.clock().date()
    world.ledger.due |= {(day, f"{number:x}"): DeviceId(f"dev-{number}") for number in range(12_000)}
    scanned = await renewing.renew.scan()
    assert scanned.nudges == 7 * 24 * 60
    assert max(message.delay for message in world.work.of("nudge")) == 60 * (scanned.nudges - 1)
    world.work.messages.clear()
    world.clock.forward(days=7, seconds=60)
    await renewing.renew.scan()
    assert len(world.work.of("nudge")) == scanned.nudges


async def test_a_scan_that_takes_long_stops_in_time_and_the_next_ones_go_on_after_it(world: Fakes) -> None:
    """The host ends a function after five minutes, and the queue takes sixteen messages in ten seconds here."""
    renewing = Renewing(world)
    today = world.clock().date()
    due = {(today - timedelta(days=number % 2), f"{number:x}"): DeviceId(f"dev-{number}") for number in range(1000)}
    world.ledger.due |= due
    world.calls.meanwhile["work.nudge"] = lambda: asyncio.sleep(10)
    sent: list[str] = []
    scans: list[int] = []
    while world.ledger.due:
        async with asyncio.timeout(300):
            scanned = await renewing.renew.scan()
        assert await renewing.renew.scan() == Scanned(0, 0, scanned.spread), "they are still under way, all of them"
        assert scanned.spread == scanned.nudges  # one a second
        scans.append(scanned.nudges)
        sent += [message.serial for message in world.work.of("nudge")]
        world.clock.forward(seconds=scanned.spread)
        assert set(await renewing.play()) == {"unknown"}
    assert scans == [336, 336, 328]
    assert sorted(sent) == sorted(serial for _, serial in due)


async def test_a_scan_that_was_cut_off_begins_again_at_the_day_it_stopped_at(world: Fakes) -> None:
    renewing = Renewing(world)
    today = world.clock().date()
    early = today - timedelta(days=3)
    world.ledger.due |= {(early, f"{number:x}"): DeviceId(f"dev-{number}") for number in range(400)}
    world.ledger.due[today, "fff"] = DeviceId("dev-fff")
    world.calls.meanwhile["work.nudge"] = lambda: asyncio.sleep(10)
    await renewing.renew.scan()
    assert renewing.watermarks.values[WATERMARK] == early.isoformat()


async def test_when_one_of_several_messages_fails_none_is_still_on_its_way(renewing: Renewing) -> None:
    for number in range(3):
        await renewing.born(f"dev-{number}")
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    renewing.world.calls.fail("work.nudge", lambda: Unavailable("down", retry_after=5))
    renewing.world.calls.meanwhile["work.nudge"] = lambda: asyncio.sleep(10)
    with pytest.raises(Unavailable):
        await renewing.renew.scan()
    assert len(renewing.world.work.of("nudge")) == 2
    assert renewing.watermarks.values == {}


async def test_a_scan_after_a_long_stop_catches_up(renewing: Renewing) -> None:
    await renewing.renew.scan()
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8 + 200)
    scanned = await renewing.renew.scan()
    assert scanned.days > 270
    assert scanned.nudges == 1


async def test_a_first_scan_looks_back_a_quarter(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8 + 89)
    assert (await renewing.renew.scan()).nudges == 1

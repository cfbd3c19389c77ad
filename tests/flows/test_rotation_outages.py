"""A rotation while hub, queue or ledger are down, or changing: the device has its certificate, the queue the rest."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import Misconfigured, Unavailable
from shared.core.rotation import LONGEST_TROUBLE, delay
from tests.fakes.world import Fakes
from tests.flows.rotating import DAY, HUB, down, live, serial, thumbprint

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("call", ["hubs.identity", "hubs.put_thumbprints"])
async def test_while_the_hub_is_down_the_device_has_its_certificate_and_the_queue_the_rest(
    world: Fakes, call: str
) -> None:
    there = await live(world)
    old = there.newest
    world.calls.fail(call, down)
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]
    await there.settle()
    assert there.held == (thumbprint(old), thumbprint(new))
    await there.settle(2 * DAY)
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_a_hub_that_hangs_does_not_keep_the_certificate_from_the_device(world: Fakes) -> None:
    there = await live(world)
    world.calls.meanwhile["hubs.identity"] = lambda: asyncio.sleep(3600)
    began = world.clock()
    await there.renew()
    assert world.clock() - began < timedelta(seconds=8)
    assert [message.delay for message in world.work.of("settle")] == [0]


async def test_when_the_queue_is_down_too_the_device_comes_again(world: Fakes) -> None:
    there = await live(world)
    world.calls.fail("hubs.identity", down)
    world.calls.fail("work.settle", down)
    with pytest.raises(Unavailable):
        await there.renew()
    assert len((await world.ledger.load(there.device.id)).certificates) == 2


async def test_a_hub_that_refuses_us_keeps_the_device_with_its_old_certificate(world: Fakes) -> None:
    there = await live(world)
    world.calls.fail("hubs.identity", lambda: Misconfigured("no", cause="403"))
    with pytest.raises(Misconfigured):
        await there.renew()


async def test_the_queue_of_events_may_be_down(world: Fakes) -> None:
    there = await live(world)
    await there.renew()
    world.clock.forward(days=2)
    world.calls.fail("work.publish", down)
    await world.rotate.settle(there.device.id, "devices")
    assert there.events()


async def test_a_certificate_that_the_hub_never_let_in_does_not_settle_by_time(world: Fakes) -> None:
    """The hub was down for longer than the grace: the device cannot have changed over."""
    there = await live(world)
    old = there.newest
    world.calls.fail("hubs.identity", down, times=2)
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]
    await there.settle()
    assert [(one.delay, one.tries) for one in world.work.of("settle")] == [(delay(there.device.id, 0, 5), 1)]
    world.clock.forward(days=3)
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(old), thumbprint(new))
    assert there.known.current == serial(old)
    world.clock.forward(days=2)
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_what_a_device_has_proven_is_carried_out_also_when_the_queue_failed_at_first(world: Fakes) -> None:
    """The event comes again, and by then the ledger may have it already."""
    there = await live(world)
    new = await there.renew()
    world.hubs.twin(HUB, there.device.id).reported = serial(new)
    world.work.messages.clear()
    world.calls.fail("work.settle", down)
    for _ in range(2):
        with contextlib.suppress(Unavailable):
            await world.provision.device_connected(HUB, there.device.id, "1", world.clock(), connected=True)
    await there.settle(DAY)
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_a_ledger_that_is_slow_when_a_device_proves_its_certificate_loses_no_settling(world: Fakes) -> None:
    there = await live(world)
    new = await there.renew()
    world.hubs.twin(HUB, there.device.id).reported = serial(new)

    async def slow() -> None:
        world.calls.meanwhile.clear()
        await asyncio.sleep(10)

    async def connected() -> None:
        await world.provision.device_connected(HUB, there.device.id, "1", world.clock(), connected=True)

    await connected()
    world.ledger.put(there.device.id, replace(there.known, current=there.known.asked_with))
    world.calls.meanwhile["ledger.commit"] = slow
    with pytest.raises(Unavailable):
        await world.rotate.proven(there.device.id, serial(new))
    await there.settle(10)
    await connected()
    await there.settle(10)
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_a_hub_in_trouble_for_days_does_not_make_the_rotation_forgotten(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    world.calls.fail("hubs.identity", down, times=2_000)
    new = await there.renew()
    asked = world.calls.count("hubs.identity")
    for _ in range(200):
        await there.settle(2 * LONGEST_TROUBLE)
    assert world.calls.count("hubs.identity") - asked == 200, "ever less often"
    world.calls.faults.clear()
    await there.settle(2 * LONGEST_TROUBLE)
    assert there.held == (thumbprint(old), thumbprint(new))


async def test_a_hub_that_says_when_to_come_again_is_left_alone_until_then(world: Fakes) -> None:
    there = await live(world)
    world.calls.fail("hubs.identity", lambda: Unavailable("slow down", retry_after=600), times=2)
    await there.renew()
    await there.settle()
    assert 600 <= world.work.of("settle")[0].delay <= 720


async def test_an_identity_that_others_write_too_is_read_again(world: Fakes) -> None:
    """DPS registers the device between our reading and our writing."""
    there = await live(world)
    old = there.newest

    async def registered() -> None:
        if world.calls.count("hubs.put_thumbprints") == 1:
            world.hubs.put(HUB, there.device.id, thumbprint(old), thumbprint(old))

    world.calls.meanwhile["hubs.put_thumbprints"] = registered
    new = await there.renew()
    assert there.held == (thumbprint(old), thumbprint(new))
    assert world.calls.count("hubs.put_thumbprints") == 2


async def test_an_identity_that_changes_without_end_is_left_to_the_queue(world: Fakes) -> None:
    there = await live(world)

    async def touched() -> None:
        world.hubs.put(HUB, there.device.id, *there.held)

    world.calls.meanwhile["hubs.put_thumbprints"] = touched
    await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]


@pytest.mark.parametrize("call", ["begin", "proven"])
async def test_a_record_that_changes_without_end_is_left_to_who_asks_again(world: Fakes, call: str) -> None:
    there = await live(world)
    new = await there.renew()

    async def touched() -> None:
        world.ledger.put(there.device.id, there.known)

    world.calls.meanwhile["ledger.commit"] = touched
    if call == "begin":
        world.work.messages.clear()
        world.hubs.put(HUB, there.device.id, *[thumbprint(new)] * 2)
        await world.rotate.begin(there.device.id, world.profile, None)
        assert [message.delay for message in world.work.of("settle")] == [0]
    else:
        with pytest.raises(Unavailable):
            await world.rotate.proven(there.device.id, serial(new))

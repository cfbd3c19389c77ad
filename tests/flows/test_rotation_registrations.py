"""DPS writes into the hub whatever the device registers with: that is found, and what it has thrown out is put back."""

import asyncio

import pytest

from shared.core.allocation import Registration
from shared.core.errors import Unavailable
from shared.core.identity import registration_key
from shared.flows.unknown_certificates import QUEUE_SECONDS
from tests.fakes.clock import START
from tests.fakes.world import HUB_HOSTS, Fakes
from tests.flows.rotating import DAY, HUB, LINKED, Live, down, live, serial, thumbprint

pytestmark = pytest.mark.anyio


async def test_a_registration_with_the_new_certificate_settles(world: Fakes) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.register(new)
    assert there.known.current == serial(old)  # DPS has not said yet how it ended
    await there.settle(20)
    assert there.known.current == serial(new)
    assert there.held == (thumbprint(new), thumbprint(new))
    assert there.status(old) == "superseded"
    await there.settle(2 * DAY)
    assert world.work.of("settle") == []


async def test_a_registration_is_recognised_by_what_dps_writes_where_it_shows_no_certificate(world: Fakes) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.register(new, shown=False)
    await there.settle(20)
    assert there.known.current == serial(new)
    assert there.status(old) == "superseded"


@pytest.mark.parametrize("shown", [True, False])
async def test_a_registration_with_the_old_certificate_throws_the_new_one_out_and_it_is_put_back(
    world: Fakes, *, shown: bool
) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.register(old, shown=shown)
    assert not there.let_in(new)
    await there.settle(20)
    assert there.held == (thumbprint(old), thumbprint(new))
    assert there.known.current == serial(old)


async def test_a_device_that_comes_back_with_a_certificate_from_before_is_let_in_with_both(world: Fakes) -> None:
    """It was restored from a backup, and knows nothing of its newest certificate."""
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.settle(2 * DAY)
    await there.register(old)
    await there.settle(20)
    assert there.let_in(old, new)
    assert (there.known.current, there.known.rotating_since) == (serial(old), None)
    await there.settle(10 * DAY)
    assert there.let_in(old, new)
    there.newest = old
    third = await there.renew()
    assert there.let_in(old, third)
    await there.settle(2 * DAY)
    assert there.events() == [f"settled-{serial(new)}", f"settled-{serial(third)}"]


async def test_an_identity_of_azures_own_client_never_takes_the_place_of_the_certificate_in_the_hub(
    world: Fakes,
) -> None:
    """aziot-certd renews its EST identity first, with the old one, and its device certificate with the new one."""
    est_id = world.device()
    first_id = (await world.birth(est_id)).issued
    first = (await world.birth(est_id.with_issued(first_id).with_new_key())).issued
    there = Live(world, est_id, first)
    await there.register(first)
    await world.provision.device_created(HUB, est_id.id)
    assert there.known.current == serial(first)
    second_id = (await world.birth(est_id.with_issued(first_id).with_new_key())).issued
    assert there.let_in(first)
    world.clock.forward(days=5)
    await world.rotate.settle(est_id.id, "devices")
    assert there.let_in(first)
    assert there.known.current == serial(first)
    second = (await world.birth(est_id.with_issued(second_id).with_new_key())).issued
    assert there.held == (thumbprint(first), thumbprint(second))
    await there.register(second)
    await there.settle(20)
    assert there.held == (thumbprint(second), thumbprint(second))
    assert there.known.current == serial(second)


async def test_a_queue_that_fails_or_is_slow_refuses_no_device_that_registers_in_a_rotation(world: Fakes) -> None:
    """DPS waits for the answer, and says nowhere for how long."""
    there = await live(world)
    await there.renew()
    asked = Registration(there.device.id, "birthcert", LINKED, "", HUB_HOSTS[HUB])
    world.calls.fail("work.settle", down)
    answer = await world.provision.allocate(asked)
    assert (answer.hub_host, answer.cause) == (HUB_HOSTS[HUB], "the queue settle: the hub is down")

    async def slow() -> None:
        await asyncio.sleep(8)

    world.calls.meanwhile["work.settle"] = slow
    before = world.clock()
    answer = await world.provision.allocate(asked)
    assert (answer.hub_host, answer.cause) == (HUB_HOSTS[HUB], "the queue settle is slow")
    assert (world.clock() - before).total_seconds() <= QUEUE_SECONDS


async def test_a_device_that_goes_back_to_an_older_certificate_registers_when_the_queue_takes_it(world: Fakes) -> None:
    """As from a backup. What DPS then writes into its hub nothing else would notice."""
    there = await live(world)
    old = there.newest
    await there.renew()
    await there.settle(2 * DAY)
    asked = Registration(there.device.id, "birthcert", LINKED, thumbprint(old), HUB_HOSTS[HUB])
    world.calls.fail("work.settle", down)
    with pytest.raises(Unavailable):
        await world.provision.allocate(asked)
    assert (await world.provision.allocate(asked)).cause == ""


async def test_a_device_whose_hub_is_not_known_yet_is_looked_for_in_dps(world: Fakes) -> None:
    """Its DeviceCreated is hours late, and the device is about to change over."""
    device = world.device()
    there = Live(world, device, (await world.birth(device)).issued)
    old = there.newest
    world.hubs.put(HUB, device.id, thumbprint(old), thumbprint(old))
    world.enrollments.registrations[registration_key(device.id)] = HUB_HOSTS[HUB].upper()
    new = await there.renew()
    assert there.held == (thumbprint(old), thumbprint(new))
    assert there.known.rotating_since is not None


@pytest.mark.parametrize("where", ["", "other.azure-devices.net"])
async def test_a_device_that_is_in_no_hub_of_ours_just_renews(world: Fakes, where: str) -> None:
    device = world.device()
    there = Live(world, device, (await world.birth(device)).issued)
    if where:
        world.enrollments.registrations[registration_key(device.id)] = where
    new = await there.renew()
    assert world.calls.count("hubs.identity") == 0
    assert there.known.current != serial(new)
    await there.settle(2 * DAY)
    assert there.known.current == serial(new)
    assert world.work.of("settle") == []


async def moved(there: Live) -> None:
    """DPS has moved the device to hub-b, and nobody was told."""
    hubs, device = there.world.hubs, there.device.id
    await hubs.remove(HUB, device)
    hubs.put("hub-b", device, *[thumbprint(there.newest)] * 2)
    there.world.enrollments.registrations[registration_key(device)] = HUB_HOSTS["hub-b"]


@pytest.mark.parametrize("fails", ["", "hubs.identity", "enrollments.registration", "hubs.put_thumbprints"])
async def test_a_device_that_has_moved_is_looked_for_in_dps(world: Fakes, fails: str) -> None:
    """The event that tells of its new hub is hours late, and it is about to change over."""
    there = await live(world)
    await moved(there)
    if fails:
        world.calls.fail(fails, down)
    old, new = there.newest, await there.renew()
    await there.settle()
    there.hub = "hub-b"
    assert there.let_in(old, new)
    assert there.known.rotating_since is not None


@pytest.mark.parametrize("noticed", ["by the queue while it renews", "by the queue after the hub was down"])
async def test_a_registration_that_is_noticed_late_does_not_make_a_renewal_look_like_another_birth(
    world: Fakes, noticed: str
) -> None:
    """The hub lets in what it registered with, and it was this certificate that it asked with for the newest."""
    there = await live(world)
    second = there.newest = (await world.birth(there.device.with_new_key())).issued
    await there.register(second)
    if noticed == "by the queue while it renews":

        async def settled() -> None:
            if world.calls.count("hubs.identity") == before + 1:
                await world.rotate.settle(there.device.id, "devices")

        before = world.calls.count("hubs.identity")
        world.calls.meanwhile["hubs.identity"] = settled
    else:
        world.calls.fail("hubs.identity", down)
    third = await there.renew()
    world.calls.meanwhile.clear()
    await there.settle()
    assert there.held == (thumbprint(second), thumbprint(third))
    assert (there.known.current, there.known.rotating_since) == (serial(second), START)
    fourth = await there.renew()
    assert there.held == (thumbprint(third), thumbprint(fourth))

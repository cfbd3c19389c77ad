"""An individual enrollment of DPS follows the rotation: the certificate in use and the newest, then that alone."""

from dataclasses import replace

import pytest

from shared.core.fleet import Block
from shared.core.profile import IndividualEnrollment
from shared.core.rotation import Slots
from tests.fakes.world import HUB_HOSTS, Fakes, fakes
from tests.flows.rotating import DAY, Live, live, thumbprint

pytestmark = pytest.mark.anyio


async def test_an_individual_enrollment_keeps_both_and_then_the_new_one_alone() -> None:
    world = fakes(dps=IndividualEnrollment())
    there = await live(world)
    old, new = there.newest, await there.renew()
    assert world.enrollments.slots(there.device.id) == Slots(thumbprint(old), thumbprint(new))
    await there.settle(2 * DAY)
    assert world.enrollments.slots(there.device.id) == Slots(thumbprint(new), thumbprint(new))
    third = await there.renew()
    assert set_of(world, there) == {thumbprint(new), thumbprint(third)}


def set_of(world: Fakes, there: Live) -> set[str]:
    slots = world.enrollments.slots(there.device.id)
    return {slots.primary, slots.secondary}


async def test_an_enrollment_made_again_holds_the_certificate_in_use_too() -> None:
    world = fakes(dps=IndividualEnrollment())
    there = await live(world)
    old, new = there.newest, await there.renew()
    world.enrollments.documents.clear()
    await world.rotate.settle(there.device.id, "devices")
    assert set_of(world, there) == {thumbprint(old), thumbprint(new)}


async def test_an_enrollment_made_while_the_device_is_blocked_is_blocked() -> None:
    """DPS knows no condition for "nothing is there yet": our enrollment may replace the one that blocks."""
    world = fakes(dps=IndividualEnrollment())
    device = world.device()

    async def blocked() -> None:
        if world.calls.count("enrollments.put") == 1:
            known = world.ledger.read(device.id).device
            assert known is not None
            world.ledger.put(device.id, replace(known, block=Block.REVOKED))

    world.calls.meanwhile["enrollments.put"] = blocked
    await world.birth(device)
    assert world.enrollments.is_blocked(device.id)


async def test_an_enrollment_made_again_leads_to_the_hub_that_the_device_is_in() -> None:
    world = fakes(dps=IndividualEnrollment(), allocation="stay")
    there = await live(world)
    (first,) = world.enrollments.hub_of.values()
    (hub, host) = next((name, host) for name, host in HUB_HOSTS.items() if host != first)
    world.ledger.put(there.device.id, replace(there.known, hub=hub))
    world.enrollments.documents.clear()
    await world.rotate.settle(there.device.id, "devices")
    assert set(world.enrollments.hub_of.values()) == {host}


async def test_an_enrollment_that_two_make_at_once_holds_the_newest_in_the_end() -> None:
    """Whoever read the ledger first writes last, and DPS knows no condition that would keep him from it."""
    world = fakes(dps=IndividualEnrollment())
    there = await live(world)
    old = there.newest
    world.enrollments.documents.clear()

    async def renewed() -> None:
        world.calls.meanwhile.clear()
        await there.renew()

    world.calls.meanwhile["enrollments.put"] = renewed
    await world.rotate.settle(there.device.id, "devices")
    assert set_of(world, there) == {thumbprint(old), thumbprint(there.newest)}

"""Identities and records that are not as DPS and EST leave them: a rotation makes nothing of them worse."""

from dataclasses import replace

import pytest

from shared.core.fleet import Block
from tests.fakes.world import Fakes
from tests.flows.rotating import DAY, HUB, down, live, serial, thumbprint

pytestmark = pytest.mark.anyio


async def test_an_identity_that_is_gone_is_not_made_again(world: Fakes) -> None:
    there = await live(world)
    await world.hubs.remove(HUB, there.device.id)
    await there.renew()
    await there.settle(2 * DAY)
    assert world.hubs.identities == {}


async def test_an_identity_that_authenticates_in_another_way_is_left_alone(world: Fakes) -> None:
    there = await live(world)
    world.hubs.put(HUB, there.device.id, "")
    await there.renew()
    assert there.held == ("", "")


async def test_a_thumbprint_that_nobody_knows_stays_beside_the_new_one(world: Fakes) -> None:
    """A certificate of before Birthcert, or one to be adopted: it may be in use."""
    there = await live(world)
    world.hubs.put(HUB, there.device.id, "ff" * 32, "ff" * 32)
    new = await there.renew()
    assert there.held == ("ff" * 32, thumbprint(new))


@pytest.mark.parametrize("block", [Block.HOLD, Block.REVOKED])
async def test_a_blocked_device_keeps_its_certificates_as_they_are(world: Fakes, block: Block) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    world.ledger.put(there.device.id, replace(there.known, block=block))
    await there.settle(3 * DAY)
    assert there.held == (thumbprint(old), thumbprint(new))
    assert world.work.of("settle") == []


async def test_a_device_that_is_revoked_while_its_hub_is_read_gets_no_new_certificate_there(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    world.calls.fail("hubs.identity", down)
    await there.renew()

    async def revoked() -> None:
        world.ledger.put(there.device.id, replace(there.known, block=Block.REVOKED))

    world.calls.meanwhile["hubs.identity"] = revoked
    await there.settle()
    assert there.held == (thumbprint(old), thumbprint(old))


async def test_a_revoked_certificate_is_let_in_nowhere(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    world.calls.fail("hubs.identity", down)
    new = await there.renew()
    world.ledger.put(there.device.id, replace(new, status="revoked"))
    await there.settle()
    assert there.held == (thumbprint(old), thumbprint(old))
    await world.rotate.proven(there.device.id, serial(new))
    await there.settle(2 * DAY)
    assert there.known.current == serial(old)
    assert world.work.of("settle") == []


async def test_a_label_that_is_gone_leaves_nothing_to_do(world: Fakes) -> None:
    there = await live(world)
    world.ledger.put(there.device.id, replace(there.known, label="gone"))
    await world.rotate.settle(there.device.id, "devices")
    await world.rotate.settle(world.device("dev-9").id, "devices")
    await world.rotate.begin(world.device("dev-9").id, world.profile, None)
    assert world.work.of("settle") == []

"""Events go out once as a rule: one message at a time tells of all that is in a device's outbox, and none is lost."""

import asyncio

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.revocation import Reason, Verb
from shared.flows.announce import Announce
from tests.fakes.world import Fakes

pytestmark = pytest.mark.anyio

DEVICE = DeviceId("dev-1")


async def born(world: Fakes) -> Announce:
    """A device whose birth has been told of."""
    await world.birth(world.device())
    announce = Announce(world.ledger, world.topic)
    await announce.flush(DEVICE)
    return announce


async def wish(world: Fakes, verb: Verb) -> None:
    why = Reason.UNSPECIFIED
    await world.revoke.begin(DEVICE, verb, why, caller="operator", comment="", saga_id=f"id-{verb}")


def told(world: Fakes) -> list[str]:
    return [event.kind for event in world.topic.published]


async def test_all_that_a_block_tells_goes_out_with_one_message_and_once(world: Fakes) -> None:
    announce = await born(world)
    await wish(world, "hold")
    await wish(world, "revoke")
    messages = world.work.take("publish")
    assert len(messages) == 1
    await asyncio.gather(*(announce.flush(one.device) for one in messages))
    assert told(world) == ["issued", "blocked", "blocked", "revoked"]
    await wish(world, "decommission")
    assert len(world.work.of("publish")) == 1


async def test_what_a_birth_has_told_nobody_goes_out_with_the_next_message(world: Fakes) -> None:
    await world.birth(world.device())
    assert world.work.of("publish") == []
    await wish(world, "hold")
    assert len(world.work.of("publish")) == 1


async def test_what_happens_while_events_go_out_goes_out_too(world: Fakes) -> None:
    announce = await born(world)
    await wish(world, "hold")
    world.work.take("publish")

    async def restored() -> None:
        world.calls.meanwhile.clear()
        await wish(world, "restore")

    world.calls.meanwhile["announcements.publish"] = restored
    await announce.flush(DEVICE)
    assert world.work.of("publish") == []
    assert told(world) == ["issued", "blocked", "restored"]
    assert world.ledger.read(DEVICE).outbox == ()


async def test_after_a_message_that_was_lost_the_sweep_has_all(world: Fakes) -> None:
    await born(world)
    world.calls.fail("work.publish", lambda: Unavailable("down", retry_after=1))
    await wish(world, "hold")
    await wish(world, "restore")
    assert world.work.of("publish") == []
    await world.application().sweep.run()
    assert told(world) == ["issued", "blocked", "restored"]

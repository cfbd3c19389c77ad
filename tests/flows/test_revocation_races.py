"""Several blocks at once, and what was under way when a block came: the last word of the ledger wins everywhere."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from shared.core.errors import Unavailable
from shared.core.fleet import Block
from shared.flows.revoke import CONFIRM_SECONDS
from tests.fakes.revocation import RevocationWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


def events(world: RevocationWorld) -> list[str]:
    return [one.kind for one in world.known().outbox]


async def test_a_done_saga_is_confirmed_later_and_what_slipped_through_is_made_up_for(world: RevocationWorld) -> None:
    """A birth, a registration or a restore was under way when the block came."""
    device = world.device()
    done = await world.begin(device)
    assert [(one.queue, one.delay) for one in world.work.of("saga")] == [("saga", CONFIRM_SECONDS)]
    late = world.certify()
    world.add(device, late)
    world.hubs.put("hub-b", device, "aa")
    del world.enrollments.documents[next(iter(world.enrollments.documents))]
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    with pytest.raises(Unavailable):
        await world.revoke.advance(device)
    assert await world.revoke.advance(device) == done
    assert world.enrollments.is_blocked(device)
    assert world.enabled(hub="hub-b") is False
    assert late.certificate.serial in world.digicert.revoked
    assert {one.status for one in world.known().certificates} == {"revoked"}
    assert events(world) == ["blocked", "revoked"]


async def test_a_saga_that_another_overtakes_gives_way(world: RevocationWorld) -> None:
    """The revocation begins while the hold is at DPS."""
    device = world.device()

    async def revoked() -> None:
        world.calls.meanwhile.clear()
        assert (await world.begin(device)).next is None

    world.calls.meanwhile["enrollments.block"] = revoked
    assert (await world.begin(device, "hold")).id == "id-revoke"
    assert (world.row().block, world.enabled()) == (Block.REVOKED, False)


async def test_a_block_that_comes_while_a_hold_is_undone_wins(world: RevocationWorld) -> None:
    """DPS lets the device in again after it was blocked: the saga that gave way looks once more."""
    device = world.device()
    await world.begin(device, "hold")

    async def revoked() -> None:
        world.calls.meanwhile.clear()
        await world.begin(device)

    world.calls.meanwhile["enrollments.unblock"] = revoked
    await world.begin(device, "restore")
    assert (world.row().block, world.enabled(), world.enrollments.is_blocked(device)) == (Block.REVOKED, False, True)


async def test_two_who_go_on_with_a_saga_at_once_do_it_once(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    await asyncio.gather(world.revoke.advance(device), world.revoke.advance(device))
    assert world.saga().next is None
    assert events(world) == ["blocked", "revoked"]


async def test_a_device_that_changes_all_the_time_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()

    async def touched() -> None:
        world.ledger.put(device, world.row())

    world.calls.meanwhile["ledger.commit"] = touched
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.begin(device)
    assert world.row().block is Block.NONE
    world.calls.meanwhile.clear()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    world.calls.meanwhile["ledger.commit"] = touched
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.revoke.advance(device)


async def test_a_device_whose_sagas_overtake_each_other_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    count = itertools.count()

    async def overtaken() -> None:
        world.ledger.put(device, replace(world.saga(), id=f"id-{next(count)}"))

    world.calls.meanwhile["enrollments.block"] = overtaken
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.revoke.advance(device)


async def test_an_identity_that_changes_all_the_time_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()

    async def touched() -> None:
        world.hubs.put("hub-a", device, "aa")

    world.calls.meanwhile["hubs.set_enabled"] = touched
    saga = await world.begin(device)
    assert saga.next is not None
    assert "changing too fast" in saga.next.error

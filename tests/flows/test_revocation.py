"""A device is blocked everywhere, put on hold, let in again, taken out of service."""

from dataclasses import replace

import pytest

from shared.core.fleet import Block
from shared.core.revocation import Reason
from shared.core.rotation import Slots
from tests.fakes.revocation import RevocationWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


def events(world: RevocationWorld) -> list[str]:
    return [one.kind for one in world.known().outbox]


async def test_a_revoked_device_is_out_of_everything(world: RevocationWorld) -> None:
    device = world.device()
    saga = await world.begin(device)
    assert saga.next is None
    row = world.row()
    assert (row.block, row.block_reason, row.blocked_at) == (Block.REVOKED, "keyCompromise", world.clock())
    assert world.enrollments.is_blocked(device)
    assert world.enabled() is False
    assert world.hubs.reasons["hub-a", device] == "Birthcert: revoke, keyCompromise"
    (held,) = world.known().certificates
    assert held.status == "revoked"
    assert world.digicert.revoked == {held.certificate.serial: Reason.KEY_COMPROMISE}
    assert events(world) == ["blocked", "revoked"]
    assert world.known().outbox[0].data == {"verb": "revoke", "reason": "keyCompromise", "caller": "operator"}


async def test_the_ledger_knows_first_and_access_ends_before_digicert_one_is_told(world: RevocationWorld) -> None:
    await world.begin(world.device())
    order = [one for one in world.calls.made if one not in ("ledger.load", "ledger.past_saga", "hubs.identity")]
    assert order == [
        "ledger.commit",
        "work.publish",
        "enrollments.block",
        "ledger.commit",
        "hubs.set_enabled",
        "ledger.commit",
        "digicert.revoke",
        "ledger.commit",
        "work.saga",
        "ledger.commit",
    ]


async def test_every_live_certificate_is_revoked_and_no_dead_one(world: RevocationWorld) -> None:
    ended, old, new = world.certify(days=0.1), world.certify(), world.certify()
    gone = replace(world.certify(), status="revoked")
    device = world.device("dev-1", ended, replace(old, status="superseded"), gone, new)
    world.clock.forward(days=1)
    await world.begin(device)
    assert set(world.digicert.revoked) == {old.certificate.serial, new.certificate.serial}


async def test_a_hold_tells_digicert_one_nothing_and_is_undone(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold", Reason.CERTIFICATE_HOLD)
    assert (world.row().block, world.enabled(), world.enrollments.is_blocked(device)) == (Block.HOLD, False, True)
    assert events(world) == ["blocked"]
    await world.begin(device, "restore", Reason.UNSPECIFIED)
    assert (world.row().block, world.row().block_reason, world.row().blocked_at) == (Block.NONE, "", None)
    assert (world.enabled(), world.enrollments.is_blocked(device)) == (True, False)
    assert world.digicert.revoked == {}
    assert events(world) == ["blocked", "restored"]
    assert [one.status for one in world.known().certificates] == ["issued"]


async def test_an_identity_that_somebody_else_has_disabled_stays_so_after_a_restore(world: RevocationWorld) -> None:
    device = world.device()
    there = await world.hubs.identity("hub-a", device)
    assert there is not None
    await world.hubs.set_enabled("hub-a", device, there, enabled=False, why="not paid")
    await world.begin(device, "hold")
    await world.begin(device, "restore")
    assert (world.row().block, world.enabled()) == (Block.NONE, False)
    assert world.hubs.reasons["hub-a", device] == "not paid"


async def test_a_restored_device_is_placed_again(world: RevocationWorld) -> None:
    """Its rotation stood still; one that was blocked before it had an enrollment of its own gets that now."""
    device = world.device()
    await world.begin(device, "hold")
    assert world.work.settling == []
    await world.begin(device, "restore")
    assert world.work.settling == [(device, "devices")]


async def test_an_enrollment_that_was_there_before_the_block_is_there_after_it(world: RevocationWorld) -> None:
    """Also that of a device whose label has a group: somebody has made it."""
    device = world.device()
    (held,) = world.known().certificates
    await world.enrollments.put(device, "hub-a.azure-devices.net", "primary", held.certificate, None)
    await world.begin(device, "hold")
    assert world.enrollments.is_blocked(device)
    await world.begin(device, "restore")
    assert not world.enrollments.is_blocked(device)
    assert world.enrollments.slots(device) == Slots(held.certificate.thumbprint)


async def test_a_device_on_hold_may_be_revoked(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold")
    assert (await world.begin(device)).next is None
    assert (world.row().block, len(world.digicert.revoked)) == (Block.REVOKED, 1)
    assert events(world) == ["blocked", "blocked", "revoked"]


async def test_decommission_removes_the_identity_also_after_a_revocation(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device)
    assert (await world.begin(device, "decommission")).next is None
    assert world.enabled() is None
    assert world.enrollments.is_blocked(device)
    assert events(world) == ["blocked", "decommissioned", "revoked"]
    again = await world.revoke.begin(
        device, "decommission", Reason.UNSPECIFIED, caller="x", comment="", saga_id="another"
    )
    assert again.id == "id-decommission"


async def test_a_device_is_looked_for_in_every_hub_of_its_profile(world: RevocationWorld) -> None:
    """It has moved, and the event that tells of it has not come."""
    device = world.device()
    del world.hubs.identities["hub-a", device]
    world.hubs.put("hub-b", device, "aa")
    await world.begin(device)
    assert world.enabled(hub="hub-b") is False


async def test_a_device_whose_label_is_gone_is_blocked_where_the_ledger_knows_it(world: RevocationWorld) -> None:
    device = world.device()
    world.ledger.put(device, replace(world.row(), label="old", hub="HUB-A"))
    world.revocations["old"] = world.digicert
    await world.begin(device, "hold")
    assert world.enabled() is False
    await world.begin(device, "restore")
    assert world.enabled() is True

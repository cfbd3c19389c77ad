"""What a CRL lists blocks the device here, once, and as the CA means it."""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509

from shared.core import rotation
from shared.core.errors import Conflict, Refusal, Unavailable
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.revocation_sync import Alert, Synced
from tests.fakes.calls import Crash, Moment
from tests.fakes.revocation import CRL_URL, DEVICE, RevocationWorld, an_entry
from tests.flows.listing import LIST, serial

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


async def test_a_certificate_on_the_crl_revokes_its_device(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    world.device("dev-2")
    world.publish(an_entry("abc", world.clock()), an_entry(serial(held), world.clock()))
    assert await world.sync.run() == (Synced(CRL_URL, 1, 0), LIST)
    assert (world.row().block, world.row().block_reason) == (Block.REVOKED, "keyCompromise")
    assert (world.enabled(), world.enrollments.is_blocked(device)) == (False, True)
    saga = world.saga()
    assert (saga.caller, saga.reason, saga.comment) == (
        "crl",
        Reason.KEY_COMPROMISE,
        f"the CA has revoked the certificate {serial(held)}",
    )
    assert world.row(DeviceId("dev-2")).block is Block.NONE


async def test_a_hold_at_the_ca_is_a_hold_here_and_may_become_a_revocation(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    on_hold = an_entry(serial(held), world.clock(), x509.ReasonFlags.certificate_hold)
    world.publish(on_hold)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    assert world.row().block is Block.HOLD
    assert world.digicert.revoked == {}
    world.publish(on_hold, number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    await world.begin(device, "restore")
    world.clock.forward(seconds=1800)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    assert world.row().block is Block.NONE  # the operator has decided on this very hold
    world.publish(an_entry(serial(held), world.clock()), number=3)
    await world.sync.run()
    assert world.row().block is Block.REVOKED


async def test_an_entry_that_takes_a_hold_off_blocks_nobody(world: RevocationWorld) -> None:
    """removeFromCRL says the opposite of revoked."""
    held = world.certify()
    world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock(), x509.ReasonFlags.remove_from_crl))
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    world.publish(an_entry(serial(held), world.clock()), number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)


async def test_a_held_device_is_revoked_when_the_ca_revokes(world: RevocationWorld) -> None:
    held = world.certify()
    await world.begin(world.device("dev-1", held), "hold")
    world.publish(an_entry(serial(held), world.clock(), None))
    await world.sync.run()
    assert (world.row().block, world.row().block_reason) == (Block.REVOKED, "unspecified")


@pytest.mark.parametrize("reason", [x509.ReasonFlags.superseded, x509.ReasonFlags.cessation_of_operation])
async def test_a_ca_that_revokes_what_was_renewed_blocks_nobody(
    world: RevocationWorld, reason: x509.ReasonFlags
) -> None:
    old, new = world.certify(), world.certify()
    world.device("dev-1", replace(old, status="superseded"), new)
    world.uses(new)
    world.publish(an_entry(serial(old), world.clock(), reason))
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    assert world.row().block is Block.NONE
    assert world.status(old) == "revoked", "and nobody is let in with it any more"
    world.publish(an_entry(serial(new), world.clock(), reason), number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)


@pytest.mark.parametrize("seen", [True, False])
async def test_what_was_renewed_counts_as_revoked_once_the_device_has_changed_over(
    world: RevocationWorld, *, seen: bool
) -> None:
    """Until then it may have nothing else to ask with: its answer may be lost, or no hub has seen it yet."""
    old, new = world.certify(), world.certify()
    device = world.device("dev-1", old, new)
    if not seen:
        world.ledger.put(device, replace(world.row(), current=""))
    world.publish(an_entry(serial(old), world.clock(), x509.ReasonFlags.superseded))
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    assert (world.status(old), world.row().block) == ("issued", Block.NONE)
    known = replace(world.known(), device=replace(world.row(), current=serial(old)))
    assert known.device is not None
    changed = rotation.change(known, known.device, rotation.proven(known.device), world.clock())
    assert [(one.certificate.serial, one.status) for one in changed.certificates] == [(serial(old), "revoked")]


async def test_a_record_that_changes_while_that_is_written_down_is_read_again_and_not_for_ever(
    world: RevocationWorld,
) -> None:
    old, new = world.certify(), world.certify()
    device = world.device("dev-1", replace(old, status="superseded"), new)
    world.uses(new)
    world.publish(an_entry(serial(old), world.clock(), x509.ReasonFlags.superseded))
    changes = itertools.count()

    async def change() -> None:
        world.ledger.put(device, replace(world.row(), nudges=next(changes)))

    world.calls.meanwhile["ledger.commit"] = change
    assert [one for one in await world.sync.run() if isinstance(one, Alert)], "given up, and told"
    assert world.status(old) == "superseded"

    async def written() -> None:
        world.ledger.put(device, replace(old, status="revoked"))

    world.calls.meanwhile["ledger.commit"] = written
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)


async def test_an_old_key_that_is_compromised_does_block(world: RevocationWorld) -> None:
    old = replace(world.certify(), status="superseded")
    world.device("dev-1", old, world.certify())
    world.publish(an_entry(serial(old), world.clock()))
    await world.sync.run()
    assert world.row().block is Block.REVOKED


async def test_what_is_of_no_matter_is_left_alone(world: RevocationWorld) -> None:
    """A certificate that has ended, one of another CA with that serial, one the ledger has lost, one we revoked."""
    ended = world.certify("dev-1", days=0.01)
    other = world.certify("dev-2")
    other = replace(other, certificate=replace(other.certificate, issuer="CN=Another CA"))
    lost, done = world.certify("dev-3"), world.certify("dev-4")
    for number, held in enumerate((ended, other, lost, done), 1):
        world.device(f"dev-{number}", held)
    del world.ledger.rows["dev-3"][f"cert-{serial(lost)}"]  # type: ignore[index]
    await world.begin(DeviceId("dev-4"))
    world.clock.forward(days=1)
    world.publish(*(an_entry(serial(held), world.clock()) for held in (ended, other, lost, done)))
    world.ledger.serials["ff"] = DeviceId("dev-9")
    world.list.serials = ["ff"]
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)


async def test_somebody_who_was_faster_is_no_failure(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock(), x509.ReasonFlags.certificate_hold))

    async def revoked() -> None:
        if world.calls.count("ledger.load") == 2:
            world.calls.meanwhile.clear()
            await world.begin(device)

    world.calls.meanwhile["ledger.load"] = revoked
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    with pytest.raises(Conflict):
        await world.begin(device, "hold")


@pytest.mark.parametrize("error", [Crash, lambda: Unavailable("no", retry_after=1)], ids=["crash", "unavailable"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_run_that_died_at_any_call_is_made_up_for_by_the_next(
    moment: Moment, error: Callable[[], Exception]
) -> None:
    number, struck = 0, True
    while struck:
        world = RevocationWorld()
        listed, on_crl = world.certify("dev-1"), world.certify("dev-2")
        world.device("dev-1", listed)
        world.device("dev-2", on_crl)
        world.publish(an_entry(serial(on_crl), world.clock()), etag='"1"')
        world.list.serials = [serial(listed)]
        world.calls.fail_at(number, error, moment=moment)
        with contextlib.suppress(Crash, Refusal):
            await world.sync.run()
        struck = not world.calls.faults
        world.calls.faults.clear()
        await world.sync.run()
        for device, block in ((DEVICE, Block.HOLD), (DeviceId("dev-2"), Block.REVOKED)):
            if (known := world.known(device).saga) is not None and known.next is not None:
                await world.revoke.advance(device)
            assert world.row(device).block is block
            assert world.saga(device).next is None
            assert world.enrollments.is_blocked(device)
        number += 1
    assert number > 30

"""A certificate is in the ledger, and the try that wrote it down died: the next one does the rest, and no more."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import births
from shared.core.errors import Unavailable
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.profile import IndividualEnrollment
from shared.core.revocation import Reason
from tests.fakes.calls import Crash, Moment
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, Fakes, fakes

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
HUB = next(iter(HUB_HOSTS))


def serial(leaf: x509.Certificate) -> str:
    return f"{leaf.serial_number:x}"


async def take(world: Fakes, leaf: x509.Certificate) -> None:
    rows = births.imported(leaf.public_bytes(Encoding.PEM), is_pem=True)
    (taken,) = await world.adopt.take_all(world.profile, rows)
    assert taken.outcome in ("adopted", "known")


async def settle(world: Fakes) -> None:
    for message in world.work.take("settle"):
        await world.rotate.settle(message.device, message.label)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_individual_enrollment_is_made_whenever_the_first_try_died(moment: Moment) -> None:
    calm = fakes(dps=IndividualEnrollment())
    await take(calm, calm.ca.issue(Device(ME).request()))
    assert len(calm.calls.made) > 4
    for number in range(len(calm.calls.made)):
        world = fakes(dps=IndividualEnrollment())
        leaf = world.ca.issue(Device(ME).request())
        world.calls.fail_at(number, Crash, moment=moment)
        with pytest.raises(Crash):
            await take(world, leaf)
        world.restart()
        await take(world, leaf)
        await settle(world)
        enrollment = await world.enrollments.read(ME)
        assert enrollment is not None, number
        assert world.work.of("publish") or not world.ledger.read(ME).outbox, number


async def test_of_a_blocked_device_it_is_revoked_though_the_queue_failed_once(world: Fakes) -> None:
    await world.birth(world.device())
    await world.revoke.begin(ME, "revoke", Reason.KEY_COMPROMISE, caller="me", comment="", saga_id="s-1")
    leaf = world.ca.issue(Device(ME).request())
    world.work.messages.clear()
    world.calls.fail("work.saga", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await take(world, leaf)
    await take(world, leaf)
    assert [one.device for one in world.work.take("saga")] == [ME]
    await world.revoke.advance(ME)
    assert serial(leaf) in world.digicert.revoked
    await take(world, leaf)
    assert world.work.of("saga") == [], "there is nothing left to revoke"


async def test_what_matters_goes_out_before_what_is_told(world: Fakes) -> None:
    """The sweep finds an event that was not told; nothing finds a settle message that was not sent."""
    world.calls.fail("work.publish", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await take(world, world.ca.issue(Device(ME).request()))
    assert world.work.settling == [(ME, "devices")]


async def test_where_all_is_done_a_repeat_sends_nothing(world: Fakes) -> None:
    """The newest is in use, and the one before it has given way."""
    old = world.ca.issue(Device(ME).request())
    world.clock.forward(days=1)
    new = world.ca.issue(Device(ME).request())
    for leaf in (old, new):
        await take(world, leaf)
        made = world.ledger.read(ME).certificate(serial(leaf))
        assert made is not None
        world.hubs.put(HUB, ME, made.certificate.thumbprint, made.certificate.thumbprint)
        await world.provision.device_created(HUB, ME)
        await settle(world)
    known = world.ledger.read(ME)
    assert known.device is not None
    assert (known.device.current, known.device.latest, known.device.block) == (serial(new), serial(new), Block.NONE)
    await world.application().announce.flush(ME)
    world.work.messages.clear()
    for leaf in (old, new):
        await take(world, leaf)
    assert [one.queue for one in world.work.messages] == ["adopt", "adopt"], "DigiCert ONE is asked once more"


async def test_until_the_device_has_come_a_repeat_looks_after_it_and_tells_nothing_twice(world: Fakes) -> None:
    leaf = world.ca.issue(Device(ME).request())
    await take(world, leaf)
    await world.application().announce.flush(ME)
    world.work.messages.clear()
    await take(world, leaf)
    assert [one.queue for one in world.work.messages] == ["settle", "adopt"]

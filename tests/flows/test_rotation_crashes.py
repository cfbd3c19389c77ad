"""A failure at any call of a rotation: the device is let in with what it uses all the time, and with the newest after.

Its settle message comes again, IoT Hub's event too, and the device asks again for the same key.
"""

import pytest

from shared.core.fleet import LedgerCertificate
from shared.core.rotation import Slots
from tests.fakes.calls import Moment
from tests.fakes.clock import START
from tests.fakes.world import Fakes
from tests.flows.disturbed import FAILURES, MOMENTS, Failure, Story, work_off
from tests.flows.rotating import DAY, HUB, Live, live, thumbprint, wish

pytestmark = pytest.mark.anyio

every_failure = pytest.mark.parametrize(
    ("moment", "failure", "individual"),
    [(moment, failure, individual) for moment in MOMENTS for failure in FAILURES for individual in (False, True)],
)


async def renewed(world: Fakes) -> Live:
    """With its new certificate, which it has not used yet."""
    there = await live(world)
    await there.renew()
    return there


def of(there: Live) -> tuple[LedgerCertificate, LedgerCertificate]:
    """The first certificate of the device, and its newest."""
    known = there.world.ledger.read(there.device.id)
    first = next(one for one in known.certificates if thumbprint(one) == thumbprint(there.newest))
    newest = known.certificate(there.known.latest)
    assert newest is not None
    return first, newest


def check_placed(there: Live, old: LedgerCertificate, new: LedgerCertificate, *, individual: bool) -> None:
    assert there.held == (thumbprint(old), thumbprint(new))
    if individual:
        assert there.world.enrollments.slots(there.device.id) == Slots(thumbprint(old), thumbprint(new))


async def check_ended(there: Live, new: LedgerCertificate, *, individual: bool) -> None:
    """The new certificate alone is let in, the world has been told once, and nothing is left to do."""
    await work_off(there)
    assert there.held == (thumbprint(new), thumbprint(new))
    if individual:
        assert there.world.enrollments.slots(there.device.id) == Slots(thumbprint(new), thumbprint(new))
    assert there.known.current == there.known.latest == new.certificate.serial
    assert f"settled-{new.certificate.serial}" in there.world.topic.ids
    assert there.world.work.of("settle") == []
    assert there.world.hubs.twin(HUB, there.device.id).tags["serial"] == new.certificate.serial


@every_failure
async def test_a_renewal_places_the_new_certificate_beside_the_old_one(
    moment: Moment, failure: Failure, *, individual: bool
) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        there.device = there.device.with_issued(there.newest).with_new_key()
        return there

    story = Story(prepared, lambda there: there.world.birth(there.device), individual)
    async for there in story.disturbed(moment, failure):
        assert there.let_in(there.newest)
        await story.again(there)
        old, new = of(there)
        assert old != new
        await there.settle()
        check_placed(there, old, new, individual=individual)
        await check_ended(there, new, individual=individual)


@every_failure
async def test_a_certificate_that_a_registration_has_thrown_out_is_put_back(
    moment: Moment, failure: Failure, *, individual: bool
) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        old, _ = there.newest, await there.renew()
        world.hubs.put(HUB, there.device.id, thumbprint(old), thumbprint(old))
        world.enrollments.documents.clear()
        there.newest = old
        return there

    story = Story(prepared, lambda there: there.world.rotate.settle(there.device.id, "devices"), individual)
    async for there in story.disturbed(moment, failure):
        old, new = of(there)
        assert there.let_in(old)
        await story.again(there)
        assert set(there.held) == {thumbprint(old), thumbprint(new)}
        await check_ended(there, new, individual=individual)


@every_failure
async def test_when_the_grace_is_over_the_new_certificate_takes_the_place_of_the_old_one(
    moment: Moment, failure: Failure, *, individual: bool
) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await renewed(world)
        world.clock.forward(days=1.5)
        world.work.messages.clear()
        return there

    story = Story(prepared, lambda there: there.world.rotate.settle(there.device.id, "devices"), individual)
    async for there in story.disturbed(moment, failure):
        assert there.let_in(there.newest)
        await story.again(there)
        await check_ended(there, there.newest, individual=individual)


@every_failure
async def test_a_device_proves_its_new_certificate(moment: Moment, failure: Failure, *, individual: bool) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await renewed(world)
        world.hubs.twin(HUB, there.device.id).reported = there.newest.certificate.serial
        return there

    async def connected(there: Live) -> object:
        at = START.replace(hour=10)
        return await there.world.provision.device_connected(HUB, there.device.id, "1" * 64, at, connected=True)

    story = Story(prepared, connected, individual)
    async for there in story.disturbed(moment, failure):
        assert there.let_in(there.newest)
        await story.again(there)
        assert there.let_in(there.newest)
        await check_ended(there, there.newest, individual=individual)


@every_failure
async def test_a_restored_device_takes_its_rotation_up_again(
    moment: Moment, failure: Failure, *, individual: bool
) -> None:
    """No message for it was on the way any more when it was held."""

    async def prepared(world: Fakes) -> Live:
        there = await renewed(world)
        await wish(there, "hold")
        world.clock.forward(seconds=3 * DAY)
        world.work.messages.clear()
        return there

    story = Story(prepared, lambda there: wish(there, "restore"), individual)
    async for there in story.disturbed(moment, failure):
        await story.again(there)
        await there.settle(60)
        assert there.let_in(there.newest)
        assert len(set(there.held)) == 2
        await check_ended(there, there.newest, individual=individual)

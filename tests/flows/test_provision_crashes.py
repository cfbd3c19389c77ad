"""A failure at any call of an event or of DPS's question: it comes again, no device is stranded, no block forgotten."""

from collections.abc import Awaitable, Callable

import pytest

from shared.core.allocation import Registration
from shared.core.errors import Forbidden
from shared.core.events import DpsFailure
from shared.core.fleet import Block, Failure, LedgerCertificate
from shared.core.identity import registration_key
from shared.core.revocation import Verb
from tests.fakes.calls import Moment
from tests.fakes.clock import START
from tests.fakes.world import HUB_HOSTS, Fakes
from tests.flows.disturbed import FAILURES, MOMENTS, Story, work_off
from tests.flows.disturbed import Failure as Trouble
from tests.flows.rotating import HUB, LINKED, Live, live, thumbprint, wish

pytestmark = pytest.mark.anyio

every_failure = pytest.mark.parametrize(
    ("moment", "failure"), [(moment, failure) for moment in MOMENTS for failure in FAILURES]
)

type Deed = Callable[[Live], Awaitable[object]]


def asked(there: Live, shown: LedgerCertificate) -> Registration:
    return Registration(there.device.id, "birthcert", LINKED, thumbprint(shown), HUB_HOSTS[HUB])


def first(there: Live) -> LedgerCertificate:
    """The certificate that the device had at first, and uses."""
    known = there.world.ledger.read(there.device.id)
    return next(one for one in known.certificates if one.certificate.serial != there.known.latest)


async def created(there: Live) -> object:
    return await there.world.provision.device_created("HUB-A", there.device.id)


async def connected(there: Live) -> object:
    return await there.world.provision.device_connected(HUB, there.device.id, "1" * 64, START, connected=True)


async def deleted(there: Live) -> object:
    return await there.world.provision.device_deleted(HUB, there.device.id, START)


async def registered(there: Live) -> object:
    return await there.world.provision.dps_registered(there.device.id)


TELLING: dict[str, Deed] = {"created": created, "connected": connected, "registered": registered}


@every_failure
async def test_a_device_that_registers_again_keeps_its_newest_certificate(moment: Moment, failure: Trouble) -> None:
    """DPS throws it out of the hub, because the device has come with the old one."""

    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        await there.renew()
        world.work.messages.clear()
        return there

    story = Story(prepared, lambda there: there.world.provision.allocate(asked(there, first(there))))
    async for there in story.disturbed(moment, failure):
        await story.again(there)
        old, new = first(there), there.newest
        there.world.hubs.put(HUB, there.device.id, thumbprint(old), thumbprint(old))
        await there.settle(20)
        assert there.let_in(old, new)


@every_failure
@pytest.mark.parametrize("verb", ["hold", "revoke", "decommission"])
async def test_a_blocked_device_never_gets_a_hub(verb: Verb, moment: Moment, failure: Trouble) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        await wish(there, verb)
        return there

    async def refused(there: Live) -> None:
        with pytest.raises(Forbidden):
            await there.world.provision.allocate(asked(there, there.newest))

    story = Story(prepared, refused)
    async for there in story.disturbed(moment, failure):
        await story.again(there)


@every_failure
@pytest.mark.parametrize("told", TELLING)
async def test_a_device_that_appears_in_a_hub_is_bound_and_its_newest_certificate_let_in(
    told: str, moment: Moment, failure: Trouble
) -> None:
    """Nobody has told of it before, and it has renewed since."""

    async def unbound(world: Fakes) -> Live:
        device = world.device()
        old = (await world.birth(device)).issued
        new = (await world.birth(device.with_new_key())).issued
        world.hubs.put(HUB, device.id, thumbprint(old), thumbprint(old))
        world.enrollments.registrations[registration_key(device.id)] = HUB_HOSTS[HUB]
        return Live(world, device, new)

    story = Story(unbound, TELLING[told])
    async for there in story.disturbed(moment, failure):
        assert there.let_in(first(there))
        await story.again(there)
        assert there.known.hub == HUB
        assert there.let_in(first(there), there.newest)


@every_failure
@pytest.mark.parametrize("verb", ["hold", "revoke", "decommission"])
@pytest.mark.parametrize("told", TELLING)
async def test_a_blocked_device_that_appears_in_a_hub_is_shut_out(
    told: str, verb: Verb, moment: Moment, failure: Trouble
) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        await wish(there, verb)
        await world.hubs.remove(HUB, there.device.id)
        world.hubs.put(HUB, there.device.id, *[thumbprint(there.newest)] * 2)
        world.enrollments.documents.clear()
        return there

    story = Story(prepared, TELLING[told])
    async for there in story.disturbed(moment, failure):
        await story.again(there)
        check_out(there, verb)


def check_out(there: Live, verb: Verb) -> None:
    world, device = there.world, there.device.id
    identity = world.hubs.identities.get((HUB, device))
    assert identity is None if verb == "decommission" else identity is None or not identity.enabled
    assert world.enrollments.is_blocked(device)


@every_failure
async def test_a_device_whose_identity_was_deleted_is_revoked_everywhere(moment: Moment, failure: Trouble) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        await world.hubs.remove(HUB, there.device.id)
        return there

    story = Story(prepared, deleted, deleted_devices="revoke")
    async for there in story.disturbed(moment, failure):
        if there.known.block is Block.NONE:
            await story.again(there)  # IoT Hub's event comes again
        await work_off(there)  # and the rest needs no event
        assert there.known.block is Block.REVOKED
        check_out(there, "revoke")
        assert there.newest.certificate.serial in there.world.digicert.revoked
        saga = there.world.ledger.read(there.device.id).saga
        assert saga is not None
        assert saga.next is None
        assert [one.kind for one in there.world.topic.published].count("revoked") == 1


@every_failure
async def test_a_device_that_was_moved_is_bound_where_it_is(moment: Moment, failure: Trouble) -> None:
    async def prepared(world: Fakes) -> Live:
        there = await live(world)
        await world.hubs.remove(HUB, there.device.id)
        world.hubs.put("hub-b", there.device.id, *[thumbprint(there.newest)] * 2)
        world.enrollments.registrations[registration_key(there.device.id)] = HUB_HOSTS["hub-b"]
        return there

    story = Story(prepared, deleted, deleted_devices="revoke")
    async for there in story.disturbed(moment, failure):
        await story.again(there)
        assert (there.known.hub, there.known.block) == ("hub-b", Block.NONE)


@every_failure
async def test_a_refusal_of_dps_is_remembered(moment: Moment, failure: Trouble) -> None:
    told = Failure("expired", START, "203.0.113.7")

    async def refused(there: Live) -> object:
        return await there.world.provision.dps_failure(DpsFailure(there.device.id, told))

    story = Story(live, refused)
    async for there in story.disturbed(moment, failure):
        await story.again(there)
        assert there.known.failure == told

"""A device renews without downtime: old and new certificate are both let in until the new one is proven."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shared.core.allocation import Registration
from shared.core.errors import Misconfigured, Refusal, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Block, LedgerCertificate
from shared.core.fleet import Device as KnownDevice
from shared.core.identity import registration_key
from shared.core.profile import IndividualEnrollment
from shared.core.rotation import Slots
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, PASSCODE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio

HUB = "hub-a"
LINKED = tuple(HUB_HOSTS.values())
HOUR, DAY = 3600, 86_400


@dataclass
class Live:
    """A device in hub-a. `newest` is the certificate that it was given last."""

    world: Fakes
    device: Device
    newest: LedgerCertificate

    async def renew(self, operation: Operation = Operation.SIMPLEENROLL) -> LedgerCertificate:
        """With the certificate that it was given last, and a new key."""
        self.device = self.device.with_issued(self.newest).with_new_key()
        self.newest = (await self.world.birth(self.device, operation)).issued
        return self.newest

    async def register(self, certificate: LedgerCertificate, *, shown: bool = True) -> None:
        """DPS asks the webhook, then writes the presented certificate into both slots of the hub."""
        thumbprint = certificate.certificate.thumbprint
        asked = Registration(self.device.id, "birthcert", LINKED, thumbprint if shown else "", HUB_HOSTS[HUB])
        await self.world.provision.allocate(asked)
        self.world.hubs.put(HUB, self.device.id, thumbprint, thumbprint)

    async def settle(self, seconds: float = 0) -> None:
        """Time passes, and the settle queue hands out what is due."""
        self.world.clock.forward(seconds=seconds)
        for message in self.world.work.take("settle"):
            if message.delay <= seconds:
                await self.world.rotate.settle(message.device, message.label)
            else:
                await self.world.work.settle(message.device, message.label, message.delay - int(seconds))

    def let_in(self, *certificates: LedgerCertificate) -> bool:
        return all(self.world.hubs.lets_in(HUB, self.device.id, one.certificate) for one in certificates)

    @property
    def held(self) -> tuple[str, str]:
        there = self.world.hubs.identities[HUB, self.device.id]
        return there.primary, there.secondary

    @property
    def known(self) -> KnownDevice:
        known = self.world.ledger.read(self.device.id).device
        assert known is not None
        return known

    def status(self, certificate: LedgerCertificate) -> str:
        found = self.world.ledger.read(self.device.id).certificate(certificate.certificate.serial)
        assert found is not None
        return found.status

    def events(self) -> list[str]:
        return [one.id for one in self.world.ledger.read(self.device.id).outbox if one.kind == "settled"]


async def live(world: Fakes) -> Live:
    device = world.device()
    found = Live(world, device, (await world.birth(device)).issued)
    thumbprint = found.newest.certificate.thumbprint
    world.hubs.put(HUB, device.id, thumbprint, thumbprint)
    world.enrollments.registrations[registration_key(device.id)] = HUB_HOSTS[HUB]
    await world.provision.device_created(HUB, device.id)
    world.work.messages.clear()
    return found


def thumbprint(issued: LedgerCertificate) -> str:
    return issued.certificate.thumbprint


def serial(issued: LedgerCertificate) -> str:
    return issued.certificate.serial


def down() -> Refusal:
    return Unavailable("the hub is down", retry_after=5)


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
async def test_before_the_device_has_its_new_certificate_the_hub_lets_both_in(
    world: Fakes, operation: Operation
) -> None:
    there = await live(world)
    old = there.newest
    new = await there.renew(operation)
    assert there.held == (thumbprint(old), thumbprint(new))
    assert (there.known.current, there.known.latest) == (serial(old), serial(new))
    assert there.known.rotating_since == START
    assert [message.delay for message in world.work.of("settle")] == [24 * HOUR + 1]


async def test_when_the_grace_is_over_the_new_one_takes_the_place_of_the_old_and_the_world_is_told(
    world: Fakes,
) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.settle(24 * HOUR)
    assert there.let_in(old, new)
    await there.settle(2)
    assert there.held == (thumbprint(new), thumbprint(new))
    assert (there.known.current, there.known.rotating_since) == (serial(new), None)
    assert (there.status(old), there.status(new)) == ("superseded", "issued")
    assert there.events() == [f"settled-{serial(new)}"]
    assert world.work.of("publish")
    assert world.work.of("settle") == []
    assert world.hubs.twin(HUB, there.device.id).tags["serial"] == serial(new)


async def test_a_message_that_comes_too_early_or_twice_changes_nothing(world: Fakes) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    for _ in range(3):
        await world.rotate.settle(there.device.id, "devices")
    assert there.let_in(old, new)
    assert there.status(old) == "issued"
    world.clock.forward(days=2)
    for _ in range(3):
        await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(new), thumbprint(new))
    assert len(there.events()) == 1


async def test_the_device_proves_its_new_certificate_by_coming_with_it_again(world: Fakes) -> None:
    """EST with the newest: the one that it replaces is not in use any more, and the third takes its place."""
    there = await live(world)
    first, second, third = there.newest, await there.renew(), await there.renew()
    assert there.held == (thumbprint(second), thumbprint(third))
    assert (there.known.current, there.known.latest) == (serial(second), serial(third))
    assert there.status(first) == "superseded"
    assert there.events() == [f"settled-{serial(second)}"]


async def test_a_third_certificate_replaces_the_one_never_proven(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    second = await there.renew()
    there.newest = old
    third = await there.renew()
    assert there.held == (thumbprint(old), thumbprint(third))
    assert not there.let_in(second)
    assert there.known.current == serial(old)


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


async def test_a_certificate_that_the_hub_never_let_in_does_not_settle_by_time(world: Fakes) -> None:
    """The hub was down for longer than the grace: the device cannot have changed over."""
    there = await live(world)
    old = there.newest
    world.calls.fail("hubs.identity", down, times=2)
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]
    with pytest.raises(Unavailable):
        await there.settle()
    world.clock.forward(days=3)
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(old), thumbprint(new))
    assert there.known.current == serial(old)
    world.clock.forward(days=2)
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_an_old_certificate_that_has_expired_is_waited_for_no_longer(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    world.clock.set(old.certificate.not_after - timedelta(hours=1))
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [HOUR + 1]
    await there.settle(HOUR + 2)
    assert there.held == (thumbprint(new), thumbprint(new))


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


async def test_a_renewal_by_passcode_stays_beside_until_it_is_proven_or_the_old_one_expires() -> None:
    world = born_by_passcode("accept")
    there = Live(world, Device("dev-1").with_password(PASSCODE), await first_by_passcode(world))
    await there.register(there.newest)
    await world.provision.device_created(HUB, there.device.id)
    old = there.newest
    new = (await world.birth(there.device.with_new_key())).issued
    world.clock.forward(days=80)
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(old), thumbprint(new))
    world.clock.set(old.certificate.not_after + timedelta(seconds=1))
    await world.rotate.settle(there.device.id, "devices")
    assert there.held == (thumbprint(new), thumbprint(new))


async def first_by_passcode(world: Fakes) -> LedgerCertificate:
    return (await world.birth(Device("dev-1").with_password(PASSCODE))).issued


@pytest.mark.parametrize("call", ["hubs.identity", "hubs.put_thumbprints"])
async def test_while_the_hub_is_down_the_device_has_its_certificate_and_the_queue_the_rest(
    world: Fakes, call: str
) -> None:
    there = await live(world)
    old = there.newest
    world.calls.fail(call, down)
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]
    await there.settle()
    assert there.held == (thumbprint(old), thumbprint(new))
    await there.settle(2 * DAY)
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_a_hub_that_hangs_does_not_keep_the_certificate_from_the_device(world: Fakes) -> None:
    there = await live(world)
    world.calls.meanwhile["hubs.identity"] = lambda: asyncio.sleep(3600)
    began = world.clock()
    await there.renew()
    assert world.clock() - began < timedelta(seconds=8)
    assert [message.delay for message in world.work.of("settle")] == [0]


async def test_when_the_queue_is_down_too_the_device_comes_again(world: Fakes) -> None:
    there = await live(world)
    world.calls.fail("hubs.identity", down)
    world.calls.fail("work.settle", down)
    with pytest.raises(Unavailable):
        await there.renew()
    assert len((await world.ledger.load(there.device.id)).certificates) == 2


async def test_a_hub_that_refuses_us_keeps_the_device_with_its_old_certificate(world: Fakes) -> None:
    there = await live(world)
    world.calls.fail("hubs.identity", lambda: Misconfigured("no", cause="403"))
    with pytest.raises(Misconfigured):
        await there.renew()


async def test_the_queue_of_events_may_be_down(world: Fakes) -> None:
    there = await live(world)
    await there.renew()
    world.clock.forward(days=2)
    world.calls.fail("work.publish", down)
    await world.rotate.settle(there.device.id, "devices")
    assert there.events()


async def test_an_identity_that_others_write_too_is_read_again(world: Fakes) -> None:
    """DPS registers the device between our reading and our writing."""
    there = await live(world)
    old = there.newest

    async def registered() -> None:
        if world.calls.count("hubs.put_thumbprints") == 1:
            world.hubs.put(HUB, there.device.id, thumbprint(old), thumbprint(old))

    world.calls.meanwhile["hubs.put_thumbprints"] = registered
    new = await there.renew()
    assert there.held == (thumbprint(old), thumbprint(new))
    assert world.calls.count("hubs.put_thumbprints") == 2


async def test_an_identity_that_changes_without_end_is_left_to_the_queue(world: Fakes) -> None:
    there = await live(world)

    async def touched() -> None:
        world.hubs.put(HUB, there.device.id, *there.held)

    world.calls.meanwhile["hubs.put_thumbprints"] = touched
    await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [0]


@pytest.mark.parametrize("call", ["begin", "proven"])
async def test_a_record_that_changes_without_end_is_left_to_who_asks_again(world: Fakes, call: str) -> None:
    there = await live(world)
    new = await there.renew()

    async def touched() -> None:
        world.ledger.put(there.device.id, there.known)

    world.calls.meanwhile["ledger.commit"] = touched
    if call == "begin":
        world.work.messages.clear()
        world.hubs.put(HUB, there.device.id, *[thumbprint(new)] * 2)
        await world.rotate.begin(there.device.id, world.profile, None)
        assert [message.delay for message in world.work.of("settle")] == [0]
    else:
        with pytest.raises(Unavailable):
            await world.rotate.proven(there.device.id, serial(new))


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
    assert bool(world.work.of("settle")) is (block is Block.HOLD)


async def test_after_a_hold_the_grace_begins_anew(world: Fakes) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    world.ledger.put(there.device.id, replace(there.known, block=Block.HOLD))
    await there.settle(3 * DAY)
    world.ledger.put(there.device.id, replace(there.known, block=Block.NONE))
    await there.settle(HOUR)
    assert there.let_in(old, new)
    await there.settle(DAY)
    assert there.held == (thumbprint(new), thumbprint(new))


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


async def test_what_is_proven_must_be_known(world: Fakes) -> None:
    there = await live(world)
    old, _ = there.newest, await there.renew()
    for name in ("ff", serial(old)):
        await world.rotate.proven(there.device.id, name)
    await world.rotate.proven(world.device("dev-9").id, serial(old))
    assert there.known.current == serial(old)


async def test_a_label_that_is_gone_leaves_nothing_to_do(world: Fakes) -> None:
    there = await live(world)
    world.ledger.put(there.device.id, replace(there.known, label="gone"))
    await world.rotate.settle(there.device.id, "devices")
    await world.rotate.settle(world.device("dev-9").id, "devices")
    await world.rotate.begin(world.device("dev-9").id, world.profile, None)
    assert world.work.of("settle") == []


async def test_the_same_answer_given_again_changes_nothing(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    await there.renew()
    there.newest = old
    third = await there.renew()
    await world.rotate.begin(there.device.id, world.profile, old)
    assert there.held == (thumbprint(old), thumbprint(third))


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

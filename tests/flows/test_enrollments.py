"""Devices with a DPS enrollment of their own: it is right before the device hears of its certificate."""

import asyncio
from dataclasses import replace

import pytest

from shared.core.errors import Misconfigured, OutcomeUnknown, Refusal, Unavailable
from shared.core.fleet import Block, LedgerCertificate
from shared.core.identity import registration_key
from shared.core.profile import IndividualEnrollment
from shared.core.rotation import Slots, delay
from shared.flows.ports.dps import Enrollment
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, PASSCODE, PROFILE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio

INDIVIDUAL = IndividualEnrollment()


@pytest.fixture
def world() -> Fakes:
    return fakes(dps=INDIVIDUAL)


def down() -> Refusal:
    return Unavailable("DPS is down", retry_after=5)


def thumbprint(issued: LedgerCertificate) -> str:
    return issued.certificate.thumbprint


async def test_a_birth_makes_the_enrollment_for_one_of_the_profiles_hubs(world: Fakes) -> None:
    device = world.device("Dev-1")
    born = (await world.birth(device)).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(born))
    assert world.enrollments.hub_of.keys() == {"dev-1"}
    assert set(world.enrollments.hub_of.values()) <= set(HUB_HOSTS.values())


async def test_a_renewal_stands_beside_the_certificate_in_use_and_the_next_one_in_the_other_slot(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    second = (await world.birth(device.with_new_key().with_issued(first))).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(first), thumbprint(second))
    third = (await world.birth(device.with_new_key().with_issued(second))).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(third), thumbprint(second))


async def test_a_certificate_in_use_stays_though_the_ledger_has_forgotten_it(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    second = (await world.birth(device.with_new_key().with_issued(first))).issued
    world.ledger.rows.clear()
    third = (await world.birth(device.with_new_key().with_issued(second))).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(third), thumbprint(second))


async def test_a_renewal_by_passcode_spares_the_certificate_that_the_hub_lets_in() -> None:
    world = born_by_passcode("accept", dps=INDIVIDUAL)
    device = Device("dev-1").with_password(PASSCODE)
    await world.birth(device)
    second = (await world.birth(device.with_new_key())).issued
    world.hubs.put("hub-a", device.id, thumbprint(second))
    await world.provision.device_created("hub-a", device.id)
    third = (await world.birth(device.with_new_key())).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(third), thumbprint(second))


async def test_the_same_request_again_leaves_the_enrollment_as_it_is(world: Fakes) -> None:
    device = world.device()
    await world.birth(device)
    await world.birth(device)
    assert world.calls.count("enrollments.put") == 1


async def test_an_enrollment_that_is_gone_is_made_again_when_the_device_asks_again(world: Fakes) -> None:
    device = world.device()
    born = (await world.birth(device)).issued
    world.enrollments.documents.clear()
    await world.birth(device)
    assert world.enrollments.slots(device.id) == Slots(thumbprint(born))


async def test_an_enrollment_that_others_write_too_is_read_again(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    world.calls.meanwhile["enrollments.put"] = lambda: touched(world, device, times=3)
    second = (await world.birth(device.with_new_key().with_issued(first))).issued
    assert world.enrollments.slots(device.id) == Slots(thumbprint(first), thumbprint(second))


async def touched(world: Fakes, device: Device, *, times: int) -> None:
    """Somebody writes the enrollment before so many of our writes; the first one has made it."""
    if world.calls.count("enrollments.put") <= times + 1:
        world.enrollments.touch(device.id)


async def test_an_enrollment_that_changes_without_end_is_left_to_the_settle_queue(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    world.calls.meanwhile["enrollments.put"] = lambda: touched(world, device, times=99)
    await world.birth(device.with_new_key().with_issued(first))
    assert world.work.settling == [("dev-1", "devices")]


@pytest.mark.parametrize("call", ["enrollments.read", "enrollments.put"])
async def test_while_dps_is_down_the_device_has_its_certificate_and_the_queue_the_rest(world: Fakes, call: str) -> None:
    device = world.device()
    world.calls.fail(call, down)
    born = (await world.birth(device)).issued
    assert world.work.settling == [("dev-1", "devices")]
    await world.rotate.settle(device.id, "devices")
    assert world.enrollments.slots(device.id) == Slots(thumbprint(born))


async def test_when_the_queue_is_down_too_the_device_comes_back_for_the_same_certificate(world: Fakes) -> None:
    device = world.device()
    world.calls.fail("enrollments.read", down)
    world.calls.fail("work.settle", down)
    with pytest.raises(Unavailable) as refused:
        await world.birth(device)
    assert refused.value.device_id == "dev-1"
    born = (await world.birth(device)).issued
    assert len(world.ca.issued) == 1
    assert world.enrollments.slots(device.id) == Slots(thumbprint(born))


async def test_a_dps_that_refuses_us_is_not_hidden_in_the_queue(world: Fakes) -> None:
    world.calls.fail("enrollments.read", lambda: Misconfigured("no", cause="403"))
    with pytest.raises(Misconfigured):
        await world.birth(world.device())
    assert world.work.settling == []


async def test_settling_puts_the_latest_certificate_beside_the_one_in_use_and_may_be_repeated(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    world.hubs.put("hub-a", device.id, thumbprint(first))
    await world.provision.device_created("hub-a", device.id)
    world.calls.fail("enrollments.read", down)
    second = (await world.birth(device.with_new_key().with_issued(first))).issued
    for _ in range(3):
        await world.rotate.settle(device.id, "devices")
    assert world.enrollments.slots(device.id) == Slots(thumbprint(first), thumbprint(second))
    assert world.calls.count("enrollments.put") == 2


async def test_settling_tells_what_is_in_its_way_and_the_queue_tries_again(world: Fakes) -> None:
    device = world.device()
    world.calls.fail("enrollments.read", down, times=2)
    await world.birth(device)
    world.work.messages.clear()
    assert isinstance(await world.rotate.settle(device.id, "devices"), Unavailable)
    assert [(message.delay, message.tries) for message in world.work.of("settle")] == [(delay(device.id, 0, 5), 1)]
    assert await world.rotate.settle(device.id, "devices") is None


async def test_settling_fails_loudly_when_the_queue_fails_too(world: Fakes) -> None:
    device = world.device()
    world.calls.fail("enrollments.read", down, times=2)
    await world.birth(device)
    world.calls.fail("work.settle", down)
    with pytest.raises(Unavailable):
        await world.rotate.settle(device.id, "devices")


async def test_a_hub_that_hangs_leaves_dps_its_time(world: Fakes) -> None:
    device = world.device()
    first = (await world.birth(device)).issued
    world.hubs.put("hub-a", device.id, first.certificate.thumbprint, first.certificate.thumbprint)
    await world.provision.device_created("hub-a", device.id)

    async def hangs() -> None:
        await asyncio.sleep(20)

    world.calls.meanwhile["hubs.identity"] = hangs
    new = (await world.birth(device.with_issued(first).with_new_key())).issued
    found = await world.enrollments.read(device.id)
    assert found is not None
    assert new.certificate.thumbprint in found.slots.held


async def test_while_the_hub_is_down_the_enrollment_gets_the_new_certificate_all_the_same(world: Fakes) -> None:
    """The device may have nothing else: with that it finds its way through DPS."""
    device = world.device()
    first = (await world.birth(device)).issued
    world.hubs.put("hub-a", device.id, first.certificate.thumbprint, first.certificate.thumbprint)
    await world.provision.device_created("hub-a", device.id)
    world.calls.fail("hubs.identity", down, times=2)
    new = (await world.birth(device.with_issued(first).with_new_key())).issued
    for _ in world.work.take("settle"):
        await world.rotate.settle(device.id, "devices")
    found = await world.enrollments.read(device.id)
    assert found is not None
    assert new.certificate.thumbprint in found.slots.held


async def test_there_is_nothing_to_settle_for_who_is_unknown_or_has_no_enrollment_of_his_own(world: Fakes) -> None:
    await world.rotate.settle(world.device().id, "devices")
    await world.birth(world.device())
    await world.rotate.settle(world.device().id, "gone")
    await world.rotate.settle(world.device().id, "devices")
    grouped = fakes()
    await grouped.birth(grouped.device())
    await grouped.rotate.settle(grouped.device().id, "devices")
    assert grouped.enrollments.documents == {}


@pytest.mark.parametrize("ended", ["blocked", "revoked", "never answered"])
async def test_settling_lets_nobody_in_again(world: Fakes, ended: str) -> None:
    device = world.device()
    world.calls.fail("enrollments.read", down)
    if ended == "never answered":
        world.upstream.behaves = ["lost_before"]
        with pytest.raises(OutcomeUnknown):
            await world.birth(device)
    else:
        born = (await world.birth(device)).issued
        known = world.ledger.read(device.id).device
        assert known is not None
        held = replace(known, block=Block.HOLD)
        world.ledger.put(device.id, held if ended == "blocked" else replace(born, status="revoked"))
    world.calls.faults.clear()
    await world.rotate.settle(device.id, "devices")
    assert world.enrollments.documents == {}


async def test_what_stands_in_an_enrollment_already_is_kept_in_every_part(world: Fakes) -> None:
    device = world.device()
    document = {"registrationId": "dev-1", "provisioningStatus": "disabled", "etag": '"x"', "initialTwin": {"a": 1}}
    world.enrollments.documents[registration_key(device.id)] = Enrollment(Slots("aa"), document)
    born = (await world.birth(device)).issued
    found = await world.enrollments.read(device.id)
    assert found is not None
    assert found.slots == Slots("aa", thumbprint(born))
    assert {**found.document, "etag": '"x"'} == document


async def test_the_profile_says_which_labels_have_enrollments_of_their_own() -> None:
    grouped = replace(PROFILE, label="grouped")
    world = Fakes({"own": replace(PROFILE, label="own", dps=INDIVIDUAL), "grouped": grouped})
    await world.birth(world.device("dev-1"), label="grouped")
    await world.birth(world.device("dev-2"), label="own")
    assert world.enrollments.documents.keys() == {"dev-2"}

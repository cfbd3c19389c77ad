"""What IoT Hub and DPS tell of a device: at least once, in any order, hours late. The end is the same."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.core.errors import Refusal, Unavailable
from shared.core.events import DpsFailure
from shared.core.fleet import Block, Failure, LedgerCertificate
from shared.core.fleet import Device as KnownDevice
from shared.core.identity import DeviceId, registration_key
from shared.core.revocation import Reason
from shared.flows.provision import Outcome
from tests.fakes.clock import START
from tests.fakes.world import HUB_HOSTS, Fakes, fakes

pytestmark = pytest.mark.anyio

DEVICE = DeviceId("dev-1")
MINUTE = timedelta(minutes=1)


def number(value: int) -> str:
    return f"{value:064x}"


def known(world: Fakes) -> KnownDevice:
    device = world.ledger.read(DEVICE).device
    assert device is not None
    return device


async def live(world: Fakes, hub: str = "hub-a") -> LedgerCertificate:
    """A device that was born, and that DPS has put into the hub."""
    issued = (await world.birth(world.device())).issued
    world.hubs.put(hub, DEVICE, *[issued.certificate.thumbprint] * 2)
    world.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS[hub]
    await world.provision.device_created(hub, DEVICE)
    return issued


async def connected(world: Fakes, sequence: int, *, here: bool = True, hub: str = "hub-a") -> Outcome:
    at = START + sequence * MINUTE
    return await world.provision.device_connected(hub, DEVICE, number(sequence), at, connected=here)


async def test_the_twin_says_which_certificate_the_device_uses(world: Fakes) -> None:
    issued = await live(world)
    assert world.hubs.twin("hub-a", DEVICE).tags == {
        "serial": issued.certificate.serial,
        "thumbprint": issued.certificate.thumbprint,
        "notAfter": issued.certificate.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "profile": "devices",
    }


async def test_a_certificate_issued_before_the_device_appeared_is_let_in_beside_the_one_it_used(world: Fakes) -> None:
    first = (await world.birth(world.device())).issued
    second = (await world.birth(world.device().with_new_key())).issued
    world.hubs.put("hub-a", DEVICE, *[first.certificate.thumbprint] * 2)
    assert await world.provision.device_created("hub-a", DEVICE) == "Done"
    assert all(world.hubs.lets_in("hub-a", DEVICE, one.certificate) for one in (first, second))
    assert known(world).current == first.certificate.serial


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_connections_in_any_order_and_twice_end_with_the_last(world: Fakes, order: tuple[int, ...]) -> None:
    await live(world)
    for sequence in (*order, *order):
        await connected(world, sequence, here=sequence != 3)
    assert not known(world).connected
    assert known(world).sequence == number(3)
    assert known(world).last_seen == START + 3 * MINUTE


async def test_an_event_that_comes_too_late_is_left_alone(world: Fakes) -> None:
    await live(world)
    assert await connected(world, 2) == "Done"
    assert await connected(world, 1, here=False) == "LeftAlone"
    assert known(world).connected


async def test_a_device_that_reports_its_new_certificate_has_proven_it(world: Fakes) -> None:
    old = await live(world)
    new = (await world.birth(world.device().with_issued(old).with_new_key())).issued
    world.hubs.twin("hub-a", DEVICE).reported = old.certificate.serial
    await connected(world, 1)
    assert known(world).current == old.certificate.serial
    world.hubs.twin("hub-a", DEVICE).reported = new.certificate.serial
    await connected(world, 2, here=False)
    assert known(world).current == old.certificate.serial  # what is reported counts when it connects
    await connected(world, 3)
    assert known(world).current == new.certificate.serial
    await world.rotate.settle(DEVICE, "devices")
    assert not world.hubs.lets_in("hub-a", DEVICE, old.certificate)
    assert world.hubs.twin("hub-a", DEVICE).tags["serial"] == new.certificate.serial


async def test_a_connection_finds_what_dps_has_written_in_between(world: Fakes) -> None:
    """DPS has registered the device with its old certificate, and nobody was told."""
    old = await live(world)
    new = (await world.birth(world.device().with_issued(old).with_new_key())).issued
    world.hubs.put("hub-a", DEVICE, *[old.certificate.thumbprint] * 2)
    await connected(world, 1)
    assert world.hubs.lets_in("hub-a", DEVICE, new.certificate)


async def test_a_connection_costs_nothing_outside_while_no_rotation_is_open(world: Fakes) -> None:
    await live(world)
    world.calls.made.clear()
    await connected(world, 1)
    assert world.calls.made == ["ledger.load", "ledger.commit"]


async def test_a_connection_binds_a_device_whose_creation_is_still_to_come(world: Fakes) -> None:
    issued = (await world.birth(world.device())).issued
    world.hubs.put("hub-b", DEVICE, *[issued.certificate.thumbprint] * 2)
    assert await connected(world, 1, hub="HUB-B") == "Done"
    assert (known(world).hub, known(world).connected) == ("hub-b", True)


async def test_a_connection_to_a_hub_that_the_device_has_left_is_left_alone(world: Fakes) -> None:
    await live(world, "hub-b")
    assert await connected(world, 1, hub="hub-a") == "LeftAlone"
    assert (known(world).hub, known(world).connected) == ("hub-b", False)


async def test_a_device_that_moves_starts_anew(world: Fakes) -> None:
    issued = await live(world)
    await connected(world, 5)
    world.hubs.put("hub-b", DEVICE, *[issued.certificate.thumbprint] * 2)
    assert await world.provision.device_created("hub-b", DEVICE) == "LeftAlone"  # DPS says hub-a
    world.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS["hub-b"].upper()
    assert await world.provision.device_created("hub-b", DEVICE) == "Done"
    assert (known(world).hub, known(world).sequence, known(world).connected) == ("hub-b", "", False)
    assert await connected(world, 1, hub="hub-b") == "Done"


@pytest.mark.parametrize("name", ["dev-9", "DEV-1"])
async def test_who_is_not_ours_is_left_alone(world: Fakes, name: str) -> None:
    await live(world)
    other = DeviceId(name)
    assert await world.provision.device_connected("hub-a", other, number(1), START, connected=True) == "UnknownDevice"
    assert await world.provision.device_deleted("hub-a", other, START) == "UnknownDevice"


@pytest.fixture
def revoking() -> Fakes:
    return fakes(deleted_devices="revoke")


async def deleted(world: Fakes, at: datetime = START, hub: str = "hub-a") -> Outcome:
    return await world.provision.device_deleted(hub, DEVICE, at)


async def test_a_deleted_device_is_revoked_where_the_profile_says_so(revoking: Fakes) -> None:
    await live(revoking)
    await revoking.hubs.remove("hub-a", DEVICE)
    for _ in range(2):
        await deleted(revoking)
    assert known(revoking).block is Block.REVOKED
    saga = revoking.ledger.read(DEVICE).saga
    assert saga is not None
    assert (saga.verb, saga.reason.value, saga.caller) == ("revoke", "cessationOfOperation", "IoT Hub")
    assert revoking.enrollments.is_blocked(DEVICE)


async def test_where_the_profile_ignores_it_the_device_may_come_back(world: Fakes) -> None:
    issued = await live(world)
    await connected(world, 1)
    await world.hubs.remove("hub-a", DEVICE)
    for _ in range(2):
        assert await deleted(world) == "Done"
    assert (known(world).hub, known(world).connected, known(world).block) == ("", False, Block.NONE)
    world.hubs.put("hub-a", DEVICE, *[issued.certificate.thumbprint] * 2)
    await world.provision.device_created("hub-a", DEVICE)
    assert known(world).hub == "hub-a"


async def test_a_device_that_was_made_again_is_left_alone(revoking: Fakes) -> None:
    await live(revoking)
    assert await deleted(revoking) == "LeftAlone"
    assert known(revoking).block is Block.NONE


@pytest.mark.parametrize("told", ["by its creation there", "by DPS alone"])
async def test_a_device_that_moved_is_bound_where_it_is(revoking: Fakes, told: str) -> None:
    issued = await live(revoking)
    await revoking.hubs.remove("hub-a", DEVICE)
    revoking.hubs.put("hub-b", DEVICE, *[issued.certificate.thumbprint] * 2)
    revoking.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS["hub-b"]
    if told == "by its creation there":
        await revoking.provision.device_created("hub-b", DEVICE)
    assert await deleted(revoking) == ("LeftAlone" if told == "by its creation there" else "Done")
    assert (known(revoking).block, known(revoking).hub) == (Block.NONE, "hub-b")


async def test_a_device_that_moved_to_a_hub_of_others_is_left_alone(revoking: Fakes) -> None:
    await live(revoking)
    await revoking.hubs.remove("hub-a", DEVICE)
    revoking.enrollments.registrations[registration_key(DEVICE)] = "other.azure-devices.net"
    assert await deleted(revoking) == "LeftAlone"
    assert (known(revoking).block, known(revoking).hub) == (Block.NONE, "hub-a")


async def test_a_device_that_is_revoked_already_is_left_alone(revoking: Fakes) -> None:
    """Decommissioning deletes the identity itself."""
    await live(revoking)
    revoking.ledger.put(DEVICE, replace(known(revoking), block=Block.REVOKED))
    await revoking.hubs.remove("hub-a", DEVICE)
    assert await deleted(revoking) == "LeftAlone"
    assert revoking.ledger.read(DEVICE).saga is None


async def test_a_device_without_a_record_in_dps_is_gone(revoking: Fakes) -> None:
    await live(revoking)
    await revoking.hubs.remove("hub-a", DEVICE)
    revoking.enrollments.registrations.clear()
    assert await deleted(revoking) == "Done"
    assert known(revoking).block is Block.REVOKED


async def test_an_event_that_was_used_for_something_else_is_no_failure(revoking: Fakes) -> None:
    await live(revoking)
    await revoking.hubs.remove("hub-a", DEVICE)

    async def held() -> None:
        revoking.calls.meanwhile.clear()
        saga = f"deleted-hub-a-{START:%Y%m%dT%H%M%S%f}"
        await begin_hold(revoking, saga)

    revoking.calls.meanwhile["enrollments.registration"] = held
    assert await deleted(revoking) == "Done"


async def begin_hold(world: Fakes, saga: str) -> None:
    why = Reason.CERTIFICATE_HOLD
    await world.revoke.begin(DEVICE, "hold", why, caller="operator", comment="", saga_id=saga)


def failure(minutes: int, reason: str = "no") -> DpsFailure:
    return DpsFailure(DeviceId("DEV-1"), Failure(reason, START + minutes * MINUTE, "203.0.113.7"))


async def test_the_last_refusal_of_dps_is_remembered_in_any_order(world: Fakes) -> None:
    await live(world)
    for minutes in (1, 3, 2, 3):
        await world.provision.dps_failure(failure(minutes, f"after {minutes}"))
    assert known(world).failure == failure(3, "after 3").failure
    assert known(world).device_id == DEVICE


async def test_a_refusal_of_a_device_that_is_not_ours_is_counted_alone(world: Fakes) -> None:
    assert await world.provision.dps_failure(failure(1)) == "UnknownDevice"
    assert await world.provision.dps_registered(DEVICE) == "UnknownDevice"


async def test_a_registration_that_no_event_told_of_is_found_in_dps(world: Fakes) -> None:
    issued = (await world.birth(world.device())).issued
    world.hubs.put("hub-b", DEVICE, *[issued.certificate.thumbprint] * 2)
    world.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS["hub-b"]
    assert await world.provision.dps_registered(DeviceId("DEV-1")) == "Done"
    assert (known(world).hub, known(world).current) == ("hub-b", issued.certificate.serial)
    assert await world.provision.dps_registered(DEVICE) == "LeftAlone"


async def test_a_registration_throws_out_the_new_certificate_and_dps_logs_tell(world: Fakes) -> None:
    old = await live(world)
    new = (await world.birth(world.device().with_issued(old).with_new_key())).issued
    world.hubs.put("hub-a", DEVICE, *[old.certificate.thumbprint] * 2)
    assert await world.provision.dps_registered(DEVICE) == "Done"
    assert world.hubs.lets_in("hub-a", DEVICE, new.certificate)


async def test_a_registration_that_is_gone_again_is_left_alone(world: Fakes) -> None:
    await live(world)
    world.enrollments.registrations.clear()
    assert await world.provision.dps_registered(DEVICE) == "LeftAlone"


type Deed = Callable[[Fakes], Awaitable[Outcome]]

DEEDS: list[Deed] = [
    lambda world: connected(world, 9),
    deleted,
    lambda world: world.provision.dps_failure(failure(9)),
]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("endless", [False, True])
async def test_a_record_that_changes_meanwhile_is_read_again(world: Fakes, deed: Deed, *, endless: bool) -> None:
    await live(world)
    if deed is deleted:
        await world.hubs.remove("hub-a", DEVICE)

    async def touched() -> None:
        world.ledger.put(DEVICE, replace(known(world), issued_count=known(world).issued_count + 1))
        if not endless:
            world.calls.meanwhile.clear()

    world.calls.meanwhile["ledger.commit"] = touched
    if endless:
        with pytest.raises(Unavailable):
            await deed(world)
    else:
        assert await deed(world) == "Done"
        assert known(world).issued_count == 2


async def test_many_events_at_once_end_as_one_after_the_other(world: Fakes) -> None:
    old = await live(world)
    new = (await world.birth(world.device().with_issued(old).with_new_key())).issued
    world.hubs.twin("hub-a", DEVICE).reported = new.certificate.serial

    async def until_done(sequence: int) -> None:
        while True:
            try:
                await connected(world, sequence)
            except Refusal:
                await asyncio.sleep(1)
            else:
                return

    await asyncio.gather(*(until_done(sequence) for sequence in (3, 1, 4, 1, 5, 2)))
    assert known(world).sequence == number(5)
    assert known(world).current == new.certificate.serial

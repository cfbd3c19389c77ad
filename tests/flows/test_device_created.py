"""A device appears in a hub. Event Grid tells of it at least once, in any order, and perhaps too late."""

from dataclasses import replace

import pytest

from shared.core.errors import Unavailable
from shared.core.fleet import Device as KnownDevice
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId
from tests.fakes.world import Fakes

pytestmark = pytest.mark.anyio


async def born(world: Fakes) -> LedgerCertificate:
    return (await world.birth(world.device())).issued


def known(world: Fakes) -> KnownDevice:
    device = world.ledger.read(DeviceId("dev-1")).device
    assert device is not None
    return device


@pytest.mark.parametrize("kind", ["SHA-256", "SHA-256 in capitals", "SHA-1"])
async def test_hub_and_certificate_are_bound(world: Fakes, kind: str) -> None:
    certificate = (await born(world)).certificate
    held = {
        "SHA-256": certificate.thumbprint,
        "SHA-256 in capitals": certificate.thumbprint.upper(),
        "SHA-1": certificate.thumbprint_sha1,
    }
    world.hubs.put("hub-b", DeviceId("dev-1"), held[kind], "00")
    assert await world.provision.device_created("hub-b", DeviceId("dev-1")) == "LookedUp", "what 00 is nobody knows"
    assert (known(world).hub, known(world).current) == ("hub-b", certificate.serial)


async def test_an_event_that_comes_twice_changes_nothing(world: Fakes) -> None:
    world.hubs.put("hub-b", DeviceId("dev-1"), (await born(world)).certificate.thumbprint)
    for _ in range(2):
        assert await world.provision.device_created("hub-b", DeviceId("dev-1")) == "Done"
    assert world.calls.count("ledger.commit") == 2  # the hub, and the certificate that it lets in


async def test_the_hub_is_spelled_as_the_profiles_spell_it(world: Fakes) -> None:
    world.hubs.put("hub-b", DeviceId("dev-1"), (await born(world)).certificate.thumbprint)
    assert await world.provision.device_created("HUB-B", DeviceId("dev-1")) == "Done"
    assert known(world).hub == "hub-b"


async def test_a_device_that_is_gone_again_stays_as_it_was(world: Fakes) -> None:
    await born(world)
    assert await world.provision.device_created("hub-a", DeviceId("dev-1")) == "LeftAlone"
    assert (known(world).hub, known(world).current) == ("", "")


async def test_events_out_of_order_leave_the_device_where_it_is(world: Fakes) -> None:
    """It moved from hub-a to hub-b, and the older event comes last."""
    world.hubs.put("hub-b", DeviceId("dev-1"), (await born(world)).certificate.thumbprint)
    await world.provision.device_created("hub-b", DeviceId("dev-1"))
    await world.provision.device_created("hub-a", DeviceId("dev-1"))
    assert known(world).hub == "hub-b"


async def test_a_certificate_that_is_not_known_binds_the_hub_alone(world: Fakes) -> None:
    await born(world)
    world.hubs.put("hub-a", DeviceId("dev-1"), "ff" * 32)
    assert await world.provision.device_created("hub-a", DeviceId("dev-1")) == "LookedUp"
    assert (known(world).hub, known(world).current) == ("hub-a", "")


async def test_a_device_without_a_certificate_binds_the_hub_alone(world: Fakes) -> None:
    await born(world)
    world.hubs.put("hub-a", DeviceId("dev-1"), "")
    assert await world.provision.device_created("hub-a", DeviceId("dev-1")) == "Done"
    assert (known(world).hub, known(world).current) == ("hub-a", "")


async def test_a_device_that_differs_in_case_alone_is_not_ours(world: Fakes) -> None:
    """Hubs tell ids apart by case, so DEV-1 is another device there, which the ledger could not take in."""
    await born(world)
    world.hubs.put("hub-a", DeviceId("DEV-1"), "ff" * 32)
    assert await world.provision.device_created("hub-a", DeviceId("DEV-1")) == "UnknownDevice"
    assert world.calls.count("hubs.identity") == 0
    assert world.work.of("adopt") == []


async def test_a_device_that_changes_meanwhile_is_read_again(world: Fakes) -> None:
    issued = await born(world)
    world.hubs.put("hub-a", DeviceId("dev-1"), issued.certificate.thumbprint)

    async def renewed() -> None:
        world.ledger.put(DeviceId("dev-1"), replace(known(world), issued_count=3))
        world.calls.meanwhile.clear()

    world.calls.meanwhile["ledger.commit"] = renewed
    assert await world.provision.device_created("hub-a", DeviceId("dev-1")) == "Done"
    assert (known(world).hub, known(world).issued_count) == ("hub-a", 3)


async def test_a_device_that_changes_without_end_makes_the_event_come_again(world: Fakes) -> None:
    issued = await born(world)
    world.hubs.put("hub-a", DeviceId("dev-1"), issued.certificate.thumbprint)

    async def changing() -> None:
        world.ledger.put(DeviceId("dev-1"), known(world))

    world.calls.meanwhile["ledger.commit"] = changing
    with pytest.raises(Unavailable):
        await world.provision.device_created("hub-a", DeviceId("dev-1"))


async def test_the_events_of_a_hub_that_no_profile_names_are_acknowledged_and_counted(world: Fakes) -> None:
    await born(world)
    device, calls = DeviceId("dev-1"), len(world.calls.made)
    for known in (device, DeviceId("dev-9")):
        assert await world.provision.device_created("hub-x", known) == "UnknownHub"
        connected = await world.provision.device_connected("hub-x", known, "9", world.clock(), connected=True)
        assert connected == "UnknownHub"
        assert await world.provision.device_deleted("hub-x", known, world.clock()) == "UnknownHub"
    assert len(world.calls.made) == calls

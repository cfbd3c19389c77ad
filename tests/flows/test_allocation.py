"""DPS asks which hub a device belongs to: the same one each time, and none for who may not connect."""

from dataclasses import replace

import pytest

from shared.core.allocation import Registration
from shared.core.errors import Forbidden, Misconfigured
from shared.core.fleet import Block
from shared.core.fleet import Device as KnownDevice
from shared.core.identity import DeviceId
from shared.core.profile import GroupEnrollment
from tests.fakes.clock import START
from tests.fakes.world import HUB_HOSTS, PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

ALL = tuple(HUB_HOSTS.values())


def registration(name: str = "dev-1", group: str = "birthcert", linked: tuple[str, ...] = ALL) -> Registration:
    return Registration(DeviceId(name), group, linked)


async def hub_of(world: Fakes, asked: Registration) -> str:
    return (await world.provision.allocate(asked)).hub_host


async def test_a_device_keeps_its_hub_and_the_fleet_is_spread(world: Fakes) -> None:
    hubs = {name: await hub_of(world, registration(name)) for name in map(str, range(50))}
    assert set(hubs.values()) == set(ALL)
    for name, hub in hubs.items():
        assert await hub_of(world, registration(name, linked=ALL[::-1])) == hub


async def test_the_answer_costs_one_reading_of_the_ledger(world: Fakes) -> None:
    await world.provision.allocate(registration())
    assert world.calls.made == ["ledger.load"]


async def test_the_host_is_spelled_as_dps_spells_it(world: Fakes) -> None:
    linked = tuple(host.upper() for host in ALL)
    assert await hub_of(world, registration(linked=linked)) in linked


async def test_a_hub_that_dps_has_not_linked_is_not_chosen(world: Fakes) -> None:
    linked = ("other.azure-devices.net", HUB_HOSTS["hub-b"])
    assert await hub_of(world, registration(linked=linked)) == HUB_HOSTS["hub-b"]
    with pytest.raises(Misconfigured, match="no hub of the profile is linked"):
        await world.provision.allocate(registration(linked=("other.azure-devices.net",)))


async def test_a_blocked_device_is_refused(world: Fakes) -> None:
    device = world.device()
    await world.birth(device)
    known = world.ledger.read(device.id).device
    assert known is not None
    world.ledger.put(device.id, replace(known, block=Block.REVOKED))
    with pytest.raises(Forbidden, match="blocked"):
        await world.provision.allocate(registration())


async def test_a_revoked_certificate_is_refused_where_dps_tells_which_it_is(world: Fakes) -> None:
    device = world.device()
    born = (await world.birth(device)).issued
    told = replace(registration(), thumbprint=born.certificate.thumbprint)
    assert await hub_of(world, told) in ALL
    world.ledger.put(device.id, replace(born, status="revoked"))
    with pytest.raises(Forbidden, match="revoked"):
        await world.provision.allocate(told)
    with pytest.raises(Forbidden, match="revoked"):
        await world.provision.allocate(registration())  # whichever it is: the device has no other
    second = (await world.birth(device.with_new_key())).issued
    assert await hub_of(world, registration()) in ALL
    assert await hub_of(world, replace(told, thumbprint=second.certificate.thumbprint)) in ALL


def two_labels() -> Fakes:
    north = replace(PROFILE, label="north", dps=GroupEnrollment("north"), hubs=("hub-a",))
    south = replace(PROFILE, label="south", dps=GroupEnrollment("south"), hubs=("hub-b",), unknown_devices="manifest")
    return Fakes({"north": north, "south": south})


async def test_a_device_goes_to_the_hubs_of_its_own_label() -> None:
    world = two_labels()
    device = world.device()
    world.ledger.put(device.id, KnownDevice(device.id, "south", created=START))
    assert await hub_of(world, registration(group="north")) == HUB_HOSTS["hub-b"]


async def test_a_device_that_is_not_known_goes_by_its_enrollment_group_and_else_by_the_default() -> None:
    world = two_labels()
    assert await hub_of(world, registration(group="north")) == HUB_HOSTS["hub-a"]
    assert await hub_of(world, registration(group="other")) == HUB_HOSTS["hub-a"]


async def test_a_device_that_is_not_on_the_manifest_of_its_group_is_refused() -> None:
    with pytest.raises(Forbidden, match="manifest"):
        await two_labels().provision.allocate(registration(group="south"))


async def test_a_device_whose_label_is_gone_goes_by_its_group() -> None:
    world = two_labels()
    device = world.device()
    world.ledger.put(device.id, KnownDevice(device.id, "gone", created=START))
    assert await hub_of(world, registration(group="south")) == HUB_HOSTS["hub-b"]


async def test_one_hub_is_enough() -> None:
    world = fakes(hubs=("hub-a",))
    assert await hub_of(world, registration()) == HUB_HOSTS["hub-a"]

"""A block stands against whatever comes after it: a registration under way, an identity made again, a late event."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.core.fleet import Block
from shared.core.identity import DeviceId, registration_key
from shared.core.revocation import Reason, Verb
from tests.fakes.clock import START
from tests.fakes.world import HUB_HOSTS, Fakes, fakes

pytestmark = pytest.mark.anyio

DEVICE = DeviceId("dev-1")


async def blocked(world: Fakes, verb: Verb) -> None:
    """A device that lived in hub-a, long after it was blocked and all was confirmed and swept."""
    issued = (await world.birth(world.device())).issued
    world.hubs.put("hub-a", DEVICE, *[issued.certificate.thumbprint] * 2)
    world.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS["hub-a"]
    await world.provision.device_created("hub-a", DEVICE)
    await begin(world, verb)
    world.clock.forward(days=1)
    world.work.messages.clear()


async def begin(world: Fakes, verb: Verb) -> None:
    await world.revoke.begin(DEVICE, verb, Reason.KEY_COMPROMISE, caller="operator", comment="", saga_id=f"id-{verb}")


async def made_again(world: Fakes, hub: str = "hub-a") -> None:
    """Somebody makes the identity in the hub, with the certificate of the device."""
    await world.hubs.remove(hub, DEVICE)
    known = world.ledger.read(DEVICE)
    world.hubs.put(hub, DEVICE, known.certificates[0].certificate.thumbprint)


def is_out(world: Fakes, verb: Verb) -> bool:
    """No hub lets the device in; one that was decommissioned has no identity at all."""
    there = [one for (_, name), one in world.hubs.identities.items() if name == DEVICE]
    return there == [] if verb == "decommission" else not any(one.enabled for one in there)


async def connected(world: Fakes, hub: str) -> None:
    await world.provision.device_connected(hub, DEVICE, f"{7:064x}", START + timedelta(days=1), connected=True)


type Tell = Callable[[Fakes], Awaitable[object]]
TOLD: dict[str, Tell] = {
    "its creation": lambda world: world.provision.device_created("hub-a", DEVICE),
    "a connection": lambda world: connected(world, "hub-a"),
    "a record of DPS": lambda world: world.provision.dps_registered(DEVICE),
}
BLOCKS: tuple[Verb, ...] = ("hold", "revoke", "decommission")


@pytest.mark.parametrize("verb", BLOCKS)
@pytest.mark.parametrize("told", TOLD)
async def test_an_identity_that_is_made_again_is_shut_out_again(world: Fakes, told: str, verb: Verb) -> None:
    await blocked(world, verb)
    await made_again(world)
    await TOLD[told](world)
    assert is_out(world, verb)


@pytest.mark.parametrize("verb", BLOCKS)
@pytest.mark.parametrize("told", ["its creation", "a connection"])
async def test_an_identity_in_a_hub_that_dps_knows_nothing_of_is_shut_out_too(
    world: Fakes, told: str, verb: Verb
) -> None:
    await blocked(world, verb)
    await made_again(world, "hub-b")
    if told == "its creation":
        await world.provision.device_created("hub-b", DEVICE)
    else:
        await connected(world, "hub-b")
    assert is_out(world, verb)


async def test_an_identity_in_a_hub_of_no_profile_is_shut_out_where_dps_has_put_it() -> None:
    world = fakes(hubs=("hub-a",))
    await blocked(world, "revoke")
    world.enrollments.registrations[registration_key(DEVICE)] = HUB_HOSTS["hub-b"]
    await made_again(world, "hub-b")
    await world.provision.device_created("HUB-B", DEVICE)
    assert is_out(world, "revoke")


async def test_an_enrollment_that_somebody_removed_is_made_again_when_dps_tells_of_the_device(world: Fakes) -> None:
    await blocked(world, "revoke")
    world.enrollments.documents.clear()
    await world.provision.dps_registered(DEVICE)
    assert world.enrollments.is_blocked(DEVICE)


async def test_a_block_that_one_system_keeps_from_its_end_is_looked_at_as_a_whole(world: Fakes) -> None:
    """A label that cannot revoke at DigiCert ONE: its saga never ends, and must not forget the doors that were shut."""
    world.revoke = type(world.revoke)(**{**vars(world.revoke), "revocations": {}})
    world.provision = type(world.provision)(**{**vars(world.provision), "revoke": world.revoke})
    await blocked(world, "revoke")
    await made_again(world)
    world.enrollments.documents.clear()
    with pytest.raises(Exception, match="not yet everywhere"):
        await world.provision.device_created("hub-a", DEVICE)
    assert is_out(world, "revoke")
    assert world.enrollments.is_blocked(DEVICE)


@pytest.mark.parametrize(
    ("first", "call"),
    [
        ("hold", "enrollments.block"),
        ("hold", "hubs.identity"),
        ("restore", "enrollments.unblock"),
        ("restore", "hubs.identity"),
    ],
)
async def test_a_confirmation_that_a_later_wish_overtakes_looks_again(world: Fakes, first: Verb, call: str) -> None:
    """Its last look at DPS or the hub would otherwise undo what has just been done."""
    await blocked(world, "hold")
    if first == "restore":
        await begin(world, "restore")
    later: Verb = "restore" if first == "hold" else "revoke"

    async def overtaken() -> None:
        world.calls.meanwhile.clear()
        await begin(world, later)

    world.calls.meanwhile[call] = overtaken
    await world.revoke.advance(DEVICE)
    assert world.calls.meanwhile == {}
    shut = later != "restore"
    known = world.ledger.read(DEVICE).device
    assert known is not None
    assert (known.block is not Block.NONE) is shut
    assert world.enrollments.is_blocked(DEVICE) is shut
    assert is_out(world, later) is shut

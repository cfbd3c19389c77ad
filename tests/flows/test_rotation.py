"""A device renews without downtime: old and new certificate are both let in until the new one is proven."""

from datetime import timedelta

import pytest

from shared.core.est import Operation
from shared.core.fleet import LedgerCertificate
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, Fakes, born_by_passcode
from tests.flows.rotating import DAY, HOUR, HUB, Live, live, serial, thumbprint, wish

pytestmark = pytest.mark.anyio


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


async def test_an_old_certificate_that_has_expired_is_waited_for_no_longer(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    world.clock.set(old.certificate.not_after - timedelta(hours=1))
    new = await there.renew()
    assert [message.delay for message in world.work.of("settle")] == [HOUR + 1]
    await there.settle(HOUR + 2)
    assert there.held == (thumbprint(new), thumbprint(new))


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


@pytest.mark.parametrize("begins", [1, 23])
async def test_after_a_hold_the_grace_begins_anew(world: Fakes, begins: int) -> None:
    """The device could not connect, so it could not change over."""
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.settle(begins * HOUR)
    await wish(there, "hold")
    await there.settle(3 * DAY)
    assert there.held == (thumbprint(old), thumbprint(new))
    await wish(there, "restore")
    await there.settle(23 * HOUR)
    assert there.let_in(old, new)
    await there.settle(2 * HOUR)
    assert there.held == (thumbprint(new), thumbprint(new))


async def test_a_hold_and_a_restore_in_between_take_nothing_of_the_grace(world: Fakes) -> None:
    there = await live(world)
    old, new = there.newest, await there.renew()
    await there.settle(20 * HOUR)
    await wish(there, "hold")
    await wish(there, "restore")
    await there.settle(5 * HOUR)
    assert there.let_in(old, new)


async def test_the_same_answer_given_again_changes_nothing(world: Fakes) -> None:
    there = await live(world)
    old = there.newest
    await there.renew()
    there.newest = old
    third = await there.renew()
    await world.rotate.begin(there.device.id, world.profile, old)
    assert there.held == (thumbprint(old), thumbprint(third))


async def test_what_is_proven_must_be_known(world: Fakes) -> None:
    there = await live(world)
    old, _ = there.newest, await there.renew()
    for name in ("ff", serial(old)):
        await world.rotate.proven(there.device.id, name)
    await world.rotate.proven(world.device("dev-9").id, serial(old))
    assert there.known.current == serial(old)

"""A device comes to EST with a certificate of ours that nobody here knows: DigiCert ONE is asked, and it is adopted."""

from dataclasses import replace

import pytest

from shared.core.certificate import serial_hex
from shared.core.errors import Forbidden, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from tests.fakes.calls import Crash, Moment
from tests.fakes.devices import Device
from tests.fakes.world import PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
BOTH = pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])


def from_elsewhere(world: Fakes) -> Device:
    """A device that got its certificate over SCEP, ACME, CMPv2 or from the portal, and wants to renew it."""
    device = Device(ME)
    return device.with_certificate(world.ca.issue(device.request()))


def revoke_at_digicert(world: Fakes) -> None:
    """What was issued first."""
    world.inventories["devices"].taken_back.add(world.ca.issued[0].serial_number)


@BOTH
async def test_it_is_adopted_and_renewed(world: Fakes, operation: Operation) -> None:
    device = from_elsewhere(world)
    new = (await world.birth(device.with_new_key(), operation)).issued
    known = world.ledger.read(ME)
    assert {one.source for one in known.certificates} == {"adopted", "est"}
    assert known.device is not None
    shown = serial_hex(world.ca.issued[0])
    assert (known.device.latest, known.device.asked_with) == (new.certificate.serial, shown)
    asked = world.calls.count("inventory.named")
    assert (await world.birth(device.with_new_key(), operation)).issued != new
    assert world.calls.count("inventory.named") == asked, "what is known is not looked up again"


@BOTH
@pytest.mark.parametrize("crl_urls", [("http://crl.one.digicert.com/ica.crl",), ()])
async def test_one_that_digicert_one_has_revoked_renews_nothing_and_blocks_its_device(
    operation: Operation, crl_urls: tuple[str, ...]
) -> None:
    world = fakes(crl_urls=crl_urls)
    device = from_elsewhere(world)
    revoke_at_digicert(world)
    with pytest.raises(Forbidden, match="blocked"):
        await world.birth(device.with_new_key(), operation)
    assert (len(world.ca.issued), world.upstream.orders) == (1, 0)
    row = world.ledger.read(ME).device
    assert row is not None
    assert row.block is not Block.NONE


@BOTH
async def test_a_revoked_one_beside_a_newer_one_is_refused_and_the_device_is_left_alone(operation: Operation) -> None:
    world = fakes(crl_urls=("http://crl.one.digicert.com/ica.crl",))
    device = from_elsewhere(world)
    world.clock.forward(days=1)
    await world.birth(world.device())
    revoke_at_digicert(world)
    with pytest.raises(Forbidden, match="has been revoked"):
        await world.birth(device.with_new_key(), operation)
    row = world.ledger.read(ME).device
    assert row is not None
    assert row.block is Block.NONE


@BOTH
@pytest.mark.parametrize("crl_urls", [("http://crl.one.digicert.com/ica.crl",), ()])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_revoked_one_renews_nothing_wherever_a_try_was_broken_off(
    operation: Operation, crl_urls: tuple[str, ...], moment: Moment
) -> None:
    for number in range(99):
        world = fakes(crl_urls=crl_urls)
        device = from_elsewhere(world).with_new_key()
        revoke_at_digicert(world)
        world.calls.fail_at(number, Crash, moment=moment)
        with pytest.raises((Forbidden, Crash)) as ended:
            await world.birth(device, operation)
        if ended.type is Forbidden and world.calls.faults:
            return
        world.calls.faults.clear()
        world.restart()
        world.clock.forward(seconds=60)
        with pytest.raises(Forbidden):
            await world.birth(device, operation)
        assert world.upstream.orders == 0
        for message in world.work.take("adopt"):
            assert message.seen is not None
            await world.adopt.look_up(message.seen)
        row = world.ledger.read(ME).device
        assert row is not None
        assert row.block is not Block.NONE
    raise AssertionError("it never came to its end")


async def test_while_digicert_one_does_not_say_the_device_waits(world: Fakes) -> None:
    device = from_elsewhere(world)
    world.calls.fail("inventory.named", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        await world.birth(device)
    assert world.upstream.orders == 0
    await world.birth(device)


async def test_one_that_ended_and_is_not_known_renews_nothing() -> None:
    """DigiCert ONE lists what is valid: nobody can tell whether it was revoked before its end."""
    world = fakes(renewal=replace(PROFILE.renewal, accept_expired_days=30))
    device = from_elsewhere(world)
    ended = world.ca.issued[0].not_valid_after_utc - world.clock()
    world.clock.forward(seconds=ended.total_seconds() + 60)
    with pytest.raises(Forbidden, match="expired, and is not one that is known here"):
        await world.birth(device.with_new_key(), Operation.SIMPLEREENROLL)
    assert world.upstream.orders == 0


async def test_a_device_that_moves_to_another_label_brings_what_its_own_label_can_adopt(world: Fakes) -> None:
    world.profiles = {**world.profiles, "other": replace(world.profile, label="other")}
    world.upstreams["other"], world.sources["other"] = world.upstream, world.source
    world.inventories["other"] = world.inventories["devices"]
    world.restart()
    await world.birth(world.device())
    world.clock.forward(days=1)
    await world.birth(from_elsewhere(world).with_new_key(), label="other")
    assert {(one.source, one.label) for one in world.ledger.read(ME).certificates} == {
        ("est", "devices"),
        ("adopted", "devices"),
        ("est", "other"),
    }

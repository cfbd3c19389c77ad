"""Several requests at once, and changes of the device while its request is under way."""

import asyncio
from dataclasses import replace

import pytest

from shared.core.errors import Forbidden, Refusal, Unavailable, UpstreamRefused
from shared.core.fleet import Block, Claim
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio


async def changed(world: Fakes, device: Device, after: float, **changes: object) -> None:
    """Somebody else writes the device's row, some seconds from now."""
    await asyncio.sleep(after)
    known = world.ledger.read(device.id).device
    assert known is not None
    world.ledger.put(device.id, replace(known, **changes))  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("seconds", [0, 1, 8])
async def test_the_same_request_twice_at_once_is_one_certificate(world: Fakes, seconds: float) -> None:
    device = world.device()
    world.upstream.seconds = seconds
    outcomes = await asyncio.gather(*(world.birth(device) for _ in range(5)))
    assert len({one.issued.certificate.serial for one in outcomes}) == len(world.ca.issued) == 1


async def test_the_same_request_twice_at_once_when_the_first_is_refused(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["refuse"]
    first, second = await asyncio.gather(world.post(device), world.post(device), return_exceptions=True)
    assert {type(first), type(second)} > {UpstreamRefused}
    assert len(world.ca.issued) == 1


async def test_who_has_waited_long_enough_is_told_to_come_back(world: Fakes) -> None:
    device = world.device()
    world.upstream.seconds = 20
    first, second = await asyncio.gather(world.post(device), world.post(device), return_exceptions=True)
    assert isinstance(second, Unavailable)
    assert not isinstance(first, BaseException)
    assert world.upstream.orders == 1


async def test_two_keys_at_once_are_two_certificates_and_count_as_two(world: Fakes) -> None:
    device = world.device()
    await asyncio.gather(*(world.birth(device.with_new_key()) for _ in range(4)))
    known = world.ledger.read(device.id)
    assert known.device is not None
    assert (known.device.issued_count, len(known.certificates), len(world.ca.issued)) == (4, 4, 4)


async def test_the_daily_limit_holds_for_requests_at_once() -> None:
    world = fakes(daily_limit=2)
    device = world.device()
    await asyncio.gather(*(world.birth(device.with_new_key()) for _ in range(5)), return_exceptions=True)
    assert len(world.ca.issued) == 2


async def test_refusals_at_once_are_all_taken_off_the_count(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["refuse"] * 4
    await asyncio.gather(*(world.post(device.with_new_key()) for _ in range(4)), return_exceptions=True)
    known = world.ledger.read(device.id).device
    assert known is not None
    assert (known.issued_count, world.ledger.claims(device.id)) == (0, [])


async def test_a_refusal_after_midnight_does_not_lower_the_new_days_count(world: Fakes) -> None:
    device = world.device()
    world.upstream.seconds = 2
    world.upstream.behaves = ["refuse"]
    tomorrow = (world.clock().date()).replace(day=3)
    midnight = changed(world, device, 1, issued_on=tomorrow, issued_count=2)
    refused, _ = await asyncio.gather(world.post(device), midnight, return_exceptions=True)
    assert isinstance(refused, UpstreamRefused)
    known = world.ledger.read(device.id).device
    assert known is not None
    assert (known.issued_on, known.issued_count) == (tomorrow, 2)


async def test_ids_that_differ_in_case_alone_are_not_both_born_at_once() -> None:
    world = born_by_passcode("accept")
    devices = [Device(name).with_password(PASSCODE) for name in ("dev-1", "DEV-1")]
    outcomes = await asyncio.gather(*(world.post(one) for one in devices), return_exceptions=True)
    assert [isinstance(one, Forbidden) for one in outcomes] == [False, True]
    assert len(world.ca.issued) == 1


async def test_a_device_that_is_blocked_while_it_waits_gets_nothing(world: Fakes) -> None:
    """The first is past the point where it could be held back; its certificate is recorded and can be revoked."""
    device = world.device()
    world.upstream.seconds = 4
    block = changed(world, device, 2, block=Block.HOLD)
    first, second, _ = await asyncio.gather(world.post(device), world.post(device), block, return_exceptions=True)
    assert isinstance(first, Forbidden)
    assert isinstance(second, Forbidden)
    assert len(world.ledger.read(device.id).certificates) == len(world.ca.issued) == 1


async def test_a_device_that_changes_while_its_certificate_is_made_keeps_the_change(world: Fakes) -> None:
    device = world.device()
    world.upstream.seconds = 4
    born, _ = await asyncio.gather(world.birth(device), changed(world, device, 2, hub="hub-b"))
    known = world.ledger.read(device.id).device
    assert known is not None
    assert (known.hub, known.latest) == ("hub-b", born.issued.certificate.serial)


@pytest.mark.parametrize(("call", "kind"), [("ledger.record", Unavailable), ("ledger.release", UpstreamRefused)])
async def test_a_device_that_changes_without_end_loses_nothing(world: Fakes, call: str, kind: type[Refusal]) -> None:
    """It comes back when the lease of the claim is over."""
    device = world.device()
    world.calls.meanwhile[call] = lambda: changed(world, device, 0)
    world.upstream.behaves = ["refuse"] if call == "ledger.release" else []
    with pytest.raises(kind):
        await world.post(device)
    world.calls.meanwhile.clear()
    await asyncio.sleep(20)
    await world.birth(device)
    assert len(world.ca.issued) == 1


async def test_a_claim_that_somebody_took_over_is_left_to_them(world: Fakes) -> None:
    """A process that slept through its lease must not release what another one holds now."""
    device = world.device()
    world.upstream.seconds = 4
    world.upstream.behaves = ["refuse"]
    task = asyncio.create_task(world.post(device))
    await asyncio.sleep(2)
    (ours,) = world.ledger.claims(device.id)
    theirs = Claim(ours.key, "open", ours.lease_until.replace(hour=10))
    world.ledger.put(device.id, theirs)
    with pytest.raises(UpstreamRefused):
        await task
    assert world.ledger.claims(device.id) == [theirs]

"""A device that comes back after its certificate has ended: the profile says whether it may still renew it."""

from dataclasses import replace

import pytest

from shared.core.errors import Forbidden, Unauthenticated
from shared.core.est import Operation
from shared.core.fleet import Change
from shared.core.principal import IssuedDevice
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import FACTORY, PROFILE, Fakes, fakes

LIFETIME = 90
AGAIN = Operation.SIMPLEREENROLL


def lenient(days: int) -> Fakes:
    return fakes(renewal=replace(PROFILE.renewal, accept_expired_days=days))


async def expired(world: Fakes, days_ago: float) -> Device:
    """A device whose certificate ended so long ago."""
    born = await world.birth(world.device())
    world.clock.set(START)
    world.clock.forward(days=LIFETIME + days_ago)
    return world.device().with_issued(born.issued).with_new_key()


async def test_by_default_an_expired_certificate_renews_nothing(world: Fakes) -> None:
    with pytest.raises(Unauthenticated):
        await world.post(await expired(world, 0.5), AGAIN)


async def test_within_the_days_of_the_profile_it_renews_itself_and_the_audit_says_so() -> None:
    world = lenient(7)
    renewed = await world.birth(await expired(world, 6), AGAIN)
    assert isinstance(renewed.principal, IssuedDevice)
    assert renewed.principal.expired


async def test_afterwards_it_does_not() -> None:
    world = lenient(7)
    with pytest.raises(Unauthenticated):
        await world.post(await expired(world, 8), AGAIN)


async def test_not_by_simpleenroll() -> None:
    world = lenient(7)
    with pytest.raises(Unauthenticated):
        await world.post(await expired(world, 6), Operation.SIMPLEENROLL)


async def test_not_when_it_was_revoked() -> None:
    world = lenient(7)
    device = await expired(world, 6)
    known = world.ledger.read(device.id)
    assert known.device is not None
    revoked = tuple(replace(one, status="revoked") for one in known.certificates)
    await world.ledger.commit(known, Change(known.device, revoked))
    with pytest.raises(Forbidden, match="revoked"):
        await world.post(device, AGAIN)


async def test_not_when_it_only_names_our_ca() -> None:
    world, stranger = lenient(7), lenient(7)
    stranger.ca.with_keys_of_its_own()
    await expired(world, 6)
    with pytest.raises(Forbidden, match="not trusted"):
        await world.post(await expired(stranger, 6), AGAIN)


async def test_not_when_it_is_a_factory_certificate() -> None:
    world = lenient(7)
    device = world.device()
    world.clock.set(FACTORY.certificate.not_valid_before_utc)
    world.clock.forward(days=20 * 365 + 3)  # as long as the factory's certificates live
    with pytest.raises((Unauthenticated, Forbidden)):
        await world.post(device, AGAIN)

"""A device renews: by simplereenroll, or as Azure's client does it, by simpleenroll with the issued certificate."""

from dataclasses import replace

import pytest

from shared.core.errors import Forbidden
from shared.core.est import Operation
from shared.core.principal import IssuedDevice
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, Fakes, born_by_passcode

pytestmark = pytest.mark.anyio


async def alive(world: Fakes, name: str = "dev-1") -> Device:
    """A device that holds its birth certificate."""
    device = world.device(name)
    return device.with_issued((await world.birth(device)).issued)


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
async def test_a_new_key_gets_a_new_certificate(world: Fakes, operation: Operation) -> None:
    old = await alive(world)
    world.clock.forward(days=75)
    new = old.with_new_key()
    renewed = await world.birth(new, operation)
    assert isinstance(renewed.principal, IssuedDevice)
    assert (await world.birth(new, operation)).issued == renewed.issued
    assert len(world.ca.issued) == 2
    assert len(world.ledger.read(old.id).certificates) == 2


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
async def test_the_same_key_gets_a_new_certificate_and_repeating_it_gets_that_one(
    world: Fakes, operation: Operation
) -> None:
    device = await alive(world)
    renewed = await world.birth(device, operation)
    assert (await world.birth(device, operation)).issued == renewed.issued
    third = await world.birth(device.with_issued(renewed.issued), operation)
    assert len({one.serial_number for one in world.ca.issued}) == 3
    assert third.issued.certificate.spki_sha256 == renewed.issued.certificate.spki_sha256


async def test_a_same_key_renewal_whose_answer_was_lost_is_not_given_the_old_certificate(world: Fakes) -> None:
    """The look-up finds by key, and the old certificate has that key too."""
    device = await alive(world)
    world.upstream.behaves = ["lost_before"]
    with pytest.raises(Exception, match="did not answer"):
        await world.post(device, Operation.SIMPLEREENROLL)
    renewed = await world.birth(device, Operation.SIMPLEREENROLL)
    assert len(world.ca.issued) == 2
    assert renewed.issued.certificate.serial == f"{world.ca.issued[-1].serial_number:x}"


async def test_a_same_key_renewal_whose_answer_was_lost_finds_the_new_certificate(world: Fakes) -> None:
    device = await alive(world)
    world.upstream.behaves = ["lost_after"]
    with pytest.raises(Exception, match="did not answer"):
        await world.post(device, Operation.SIMPLEREENROLL)
    renewed = await world.birth(device, Operation.SIMPLEREENROLL)
    assert len(world.ca.issued) == 2
    assert renewed.issued.certificate.serial == f"{world.ca.issued[-1].serial_number:x}"


async def test_digicert_one_is_told_which_certificate_is_renewed(world: Fakes) -> None:
    device = await alive(world)
    old = world.ledger.read(device.id).certificates[0]
    await world.birth(device.with_new_key())
    assert world.upstream.renewed == ["", old.digicert_id]


async def test_a_certificate_that_the_ledger_has_forgotten_still_renews(world: Fakes) -> None:
    device = await alive(world)
    world.ledger.rows.clear()
    await world.birth(device.with_new_key(), Operation.SIMPLEREENROLL)
    assert {one.source for one in world.ledger.read(device.id).certificates} == {"adopted", "est"}
    assert world.upstream.renewed[1] != "", "by the id that DigiCert ONE has for it"


async def test_names_cannot_change_at_simplereenroll(world: Fakes) -> None:
    device = await alive(world)
    with pytest.raises(Forbidden, match="subjectAltName differs"):
        await world.post(replace(device, san="dev-1"), Operation.SIMPLEREENROLL)
    await world.birth(replace(device, san="dev-1"))


async def test_a_renewal_by_passcode_finds_what_it_renews_in_the_ledger() -> None:
    world = born_by_passcode("accept")
    device = Device("dev-1").with_password(PASSCODE)
    with pytest.raises(Forbidden, match="no certificate of this subject"):
        await world.post(device, Operation.SIMPLEREENROLL)
    born = await world.birth(device)
    assert (await world.birth(device, Operation.SIMPLEREENROLL)).issued == born.issued
    await world.birth(device.with_new_key(), Operation.SIMPLEREENROLL)
    assert world.upstream.renewed == ["", born.issued.digicert_id]


async def test_an_old_certificate_renews_as_long_as_it_is_valid(world: Fakes) -> None:
    device = await alive(world)
    await world.birth(device.with_new_key())
    world.clock.forward(days=89)
    await world.birth(device.with_new_key())
    world.clock.forward(days=2)
    with pytest.raises(Exception, match="has expired"):
        await world.post(device.with_new_key())

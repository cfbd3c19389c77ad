"""Who may have a certificate: two trust stores, a password, and everybody who has neither."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox import pki
from shared.core.certificate import certificate
from shared.core.errors import Forbidden, Malformed, Unauthenticated, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Block
from shared.core.fleet import Device as KnownDevice
from shared.core.principal import FactoryDevice, IssuedDevice, PasscodeHolder
from tests.fakes.clock import START
from tests.fakes.devices import Device, factory_leaf, new_key
from tests.fakes.world import FACTORY, PASSCODE, PROFILE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio

BOTH = PROFILE.authentication
CERTIFICATES_ONLY = replace(BOTH, passcode=None)
EXPIRED = pki.issue_leaf(FACTORY, "dev-1", new_key().public_key(), START - timedelta(days=100), timedelta(days=90))


async def test_without_credentials_the_device_is_told_that_a_password_would_do(world: Fakes) -> None:
    with pytest.raises(Unauthenticated, match="a client certificate or a passcode") as refused:
        await world.post(Device("dev-1"))
    assert refused.value.challenge


async def test_where_certificates_alone_are_accepted_none_is_forbidden() -> None:
    world = fakes(CERTIFICATES_ONLY)
    with pytest.raises(Forbidden, match="a client certificate is required"):
        await world.post(Device("dev-1"))
    with pytest.raises(Forbidden, match="a client certificate is required"):
        await world.post(Device("dev-1").with_password(PASSCODE))


@pytest.mark.parametrize("password", ["device:wrong", "other:correct horse", ":", "device:correct horse "])
async def test_a_wrong_password_is_no_password(world: Fakes, password: str) -> None:
    with pytest.raises(Unauthenticated, match="wrong") as refused:
        await world.post(Device("dev-1").with_password(password))
    assert refused.value.challenge


async def test_a_password_that_came_with_a_trusted_certificate_must_be_right_too(world: Fakes) -> None:
    device = world.device()
    principal = (await world.birth(device.with_password(PASSCODE))).principal
    assert isinstance(principal, FactoryDevice)
    assert principal.device_id == device.id
    with pytest.raises(Unauthenticated):
        await world.post(device.with_password("device:wrong"))


async def test_a_strangers_certificate_does_not_spoil_a_right_password(world: Fakes) -> None:
    stranger = factory_leaf(pki.factory_authority(START - timedelta(days=9)), Device("dev-1"))
    device = Device("dev-1").with_certificate(stranger)
    assert (await world.birth(device.with_password(PASSCODE))).principal == PasscodeHolder("device")
    with pytest.raises(Forbidden, match="not trusted"):
        await world.post(device)


async def test_an_expired_certificate_may_still_be_followed_by_the_passcode(world: Fakes) -> None:
    device = Device("dev-1").with_certificate(EXPIRED)
    with pytest.raises(Unauthenticated, match="has expired") as refused:
        await world.post(device)
    assert refused.value.challenge
    assert (await world.birth(device.with_password(PASSCODE))).principal == PasscodeHolder("device")


async def test_an_expired_certificate_is_forbidden_where_no_passcode_is_accepted() -> None:
    with pytest.raises(Forbidden, match="has expired"):
        await fakes(CERTIFICATES_ONLY).post(Device("dev-1").with_certificate(EXPIRED))


async def test_an_issued_certificate_that_expired_says_so_too() -> None:
    world = born_by_passcode("accept")
    born = await world.birth(Device("dev-1").with_password(PASSCODE))
    world.clock.forward(days=100)
    with pytest.raises(Unauthenticated, match="has expired"):
        await world.post(Device("dev-1").with_issued(born.issued))


async def test_issued_certificates_open_nothing_where_the_profile_does_not_take_them() -> None:
    world = fakes(replace(BOTH, issued_certificate=False, factory=None))
    born = await world.birth(Device("dev-1").with_password(PASSCODE))
    with pytest.raises(Forbidden, match="not accepted here"):
        await world.post(Device("dev-1").with_issued(born.issued))


async def test_garbage_in_the_certificate_header_is_malformed(world: Fakes) -> None:
    device = world.device()
    twice = replace(device.presents, certificate=f"{device.presents.certificate},{device.presents.certificate}")
    with pytest.raises(Malformed):
        await world.post(replace(device, presents=twice))


async def test_nobody_gets_in_while_the_password_cannot_be_read(world: Fakes) -> None:
    world.calls.fail("secrets.get", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await world.post(Device("dev-1").with_password(PASSCODE))


@pytest.mark.parametrize("name", ["dev-2", "DEV-1"])
async def test_a_factory_certificate_asks_for_its_own_device_alone(world: Fakes, name: str) -> None:
    with pytest.raises(Forbidden, match="speak for"):
        await world.post(replace(world.device("dev-1"), name=name))


async def test_an_issued_certificate_asks_for_its_own_device_alone(world: Fakes) -> None:
    born = await world.birth(world.device("dev-1"))
    with pytest.raises(Forbidden, match="speak for"):
        await world.post(Device("dev-2").with_issued(born.issued))


async def test_a_factory_certificate_cannot_renew(world: Fakes) -> None:
    with pytest.raises(Forbidden, match="cannot renew"):
        await world.post(world.device(), Operation.SIMPLEREENROLL)


async def test_a_certificate_is_a_factory_one_before_it_is_an_issued_one(world: Fakes) -> None:
    device = world.device()
    born = await world.birth(device)
    renewed = await world.birth(device.with_new_key().with_issued(born.issued))
    assert isinstance(renewed.principal, IssuedDevice)


@pytest.mark.parametrize("block", [Block.HOLD, Block.REVOKED])
async def test_a_blocked_device_gets_nothing_not_even_what_it_had(world: Fakes, block: Block) -> None:
    device = world.device()
    await world.birth(device)
    known = world.ledger.read(device.id).device
    assert known is not None
    world.ledger.put(device.id, replace(known, block=block))
    with pytest.raises(Forbidden, match="blocked"):
        await world.post(device)
    assert len(world.ca.issued) == 1


async def test_a_revoked_certificate_renews_nothing(world: Fakes) -> None:
    device = world.device()
    born = (await world.birth(device)).issued
    world.ledger.put(device.id, replace(born, status="revoked"))
    with pytest.raises(Forbidden, match="revoked"):
        await world.post(device.with_new_key().with_issued(born))


async def test_a_revoked_certificate_is_not_handed_out_again(world: Fakes) -> None:
    device = world.device()
    born = (await world.birth(device)).issued
    world.ledger.put(device.id, replace(born, status="revoked"))
    assert (await world.birth(device)).issued.certificate.serial != born.certificate.serial


async def test_an_id_that_differs_in_case_alone_is_refused(world: Fakes) -> None:
    await world.birth(world.device("dev-1"))
    with pytest.raises(Forbidden, match="upper and lower case"):
        await world.post(world.device("DEV-1"))


async def test_where_there_is_a_manifest_only_its_devices_are_born() -> None:
    world = fakes(unknown_devices="manifest")
    device = world.device()
    with pytest.raises(Forbidden, match="manifest"):
        await world.post(device)
    world.ledger.put(device.id, KnownDevice(device.id, "devices", created=START))
    await world.birth(device)
    assert world.upstream.orders == 1


async def test_a_certificate_of_the_factory_ca_under_our_cas_name_is_not_ours(world: Fakes) -> None:
    rogue = pki.rogue_authority(world.ca.hierarchy.ica)
    leaf = pki.issue_leaf(rogue, "dev-1", new_key().public_key(), START)
    assert certificate(leaf).issuer == certificate(world.ca.hierarchy.ica.certificate).subject
    with pytest.raises(Forbidden, match="not trusted"):
        await world.post(Device("dev-1").with_certificate(leaf))

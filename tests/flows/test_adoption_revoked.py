"""A certificate that its CA took back before anybody here knew it is not adopted as a live one."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from shared.core import births
from shared.core.adoption import Seen
from shared.core.allocation import Registration
from shared.core.errors import Unavailable
from shared.core.fleet import Block, Device
from shared.core.identity import DeviceId
from shared.core.profile import IndividualEnrollment
from shared.core.revocation import Reason
from shared.flows.adopt import Adopted
from shared.flows.ports.revocation import Download
from shared.flows.revocation_sync import RevocationSync
from tests.fakes import devices
from tests.fakes.digicert import rewritten
from tests.fakes.revocation import CRL_URL, FakeCrls, a_crl, an_entry, at_once
from tests.fakes.world import HUB_HOSTS, Fakes, fakes

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
HOLD = x509.ReasonFlags.certificate_hold


@pytest.fixture
def world() -> Fakes:
    """A label without a REST interface, which learns of revocations by its CRL alone."""
    made = fakes(crl_urls=(CRL_URL,), lookup=None)
    made.inventories.clear()
    return made


def foreign(world: Fakes) -> x509.Certificate:
    return world.ca.issue(devices.Device(ME).request())


def serial(leaf: x509.Certificate) -> str:
    return f"{leaf.serial_number:x}"


def shown(leaf: x509.Certificate) -> Seen:
    """As EST shows it, or DPS."""
    return Seen("devices", ME, leaf.fingerprint(hashes.SHA256()).hex(), leaf.public_bytes(Encoding.DER))


def row(world: Fakes) -> Device:
    found = world.ledger.read(ME).device
    assert found is not None
    return found


def status(world: Fakes, leaf: x509.Certificate) -> str:
    found = world.ledger.read(ME).certificate(serial(leaf))
    assert found is not None
    return found.status


class Published:
    """The CA's CRL, and the timer that reads it."""

    def __init__(self, world: Fakes) -> None:
        self.world, self.crls = world, FakeCrls(world.calls)
        self.number = 0

    async def read(self, *entries: x509.RevokedCertificate, authority: pki.Authority | None = None) -> None:
        world, self.number = self.world, self.number + 1
        der = a_crl(authority or world.ca.hierarchy.ica, world.clock(), *entries, number=self.number)
        self.crls.served[CRL_URL] = Download(der, f'"{self.number}"')
        sync = RevocationSync(
            urls={"devices": (CRL_URL,)},
            lists={},
            crls=self.crls,
            chains=world.chains,
            issuers=world.adopt.issuers,
            index=world.index,
            ledger=world.ledger,
            watermarks=world.watermarks,
            revoke=world.revoke,
            clock=world.clock,
            aside=at_once,
        )
        await sync.run()


@pytest.fixture
def published(world: Fakes) -> Published:
    return Published(world)


async def test_what_the_crl_told_before_it_was_known_shuts_its_device_out(world: Fakes, published: Published) -> None:
    leaf, others = foreign(world), [an_entry(f"{number:x}", world.clock()) for number in range(1, 5_000)]
    await published.read(an_entry(serial(leaf), world.clock()), *others)
    assert isinstance(await world.adopt.look_up(shown(leaf)), Adopted)
    assert (row(world).block, world.enrollments.is_blocked(ME)) == (Block.HOLD, True)
    await world.revoke.begin(ME, "restore", Reason.UNSPECIFIED, caller="me", comment="", saga_id="s-1")
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.NONE, "an operator has decided on it"


async def test_what_is_imported_is_held_against_the_crl_too(world: Fakes, published: Published) -> None:
    leaf = foreign(world)
    await published.read(an_entry(serial(leaf), world.clock()))
    await world.adopt.take(world.profile, leaf)
    assert row(world).block is Block.HOLD


async def test_an_import_while_the_crl_is_read_is_looked_at_once_more(world: Fakes, published: Published) -> None:
    leaf = foreign(world)

    async def meanwhile() -> None:
        world.calls.meanwhile.clear()
        await published.read(an_entry(serial(leaf), world.clock()))

    world.calls.meanwhile["ledger.adopt"] = meanwhile
    await world.adopt.take_all(world.profile, births.imported(leaf.public_bytes(Encoding.PEM), is_pem=True))
    assert row(world).block is Block.NONE
    (message,) = world.work.take("adopt")
    assert message.seen is not None
    await world.adopt.look_up(message.seen)
    assert row(world).block is Block.HOLD


async def test_what_is_not_on_the_crl_is_let_in(world: Fakes, published: Published) -> None:
    leaf = foreign(world)
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.NONE, "no CRL has been read"
    await published.read(an_entry("abc", world.clock()))
    world.clock.forward(days=1)
    await world.adopt.look_up(shown(foreign(world)))
    assert row(world).block is Block.NONE


async def test_another_cas_serial_numbers_are_not_ours(world: Fakes, published: Published) -> None:
    leaf = foreign(world)
    await published.read(an_entry(serial(leaf), world.clock()), authority=world.ca.hierarchy.root)
    await world.adopt.look_up(shown(leaf))
    assert (row(world).block, status(world, leaf)) == (Block.NONE, "issued")


async def test_a_hold_on_the_crl_is_one_here_until_an_operator_undoes_it(world: Fakes, published: Published) -> None:
    leaf = foreign(world)
    await published.read(an_entry(serial(leaf), world.clock(), HOLD))
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.HOLD
    await world.revoke.begin(ME, "restore", Reason.UNSPECIFIED, caller="me", comment="", saga_id="s-1")
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.NONE


async def test_a_hold_of_a_known_certificate_is_left_to_the_crl(world: Fakes, published: Published) -> None:
    """DigiCert ONE lists it like a revocation."""
    leaf = foreign(world)
    await world.adopt.look_up(shown(leaf))
    await published.read(an_entry(serial(leaf), world.clock(), HOLD))
    await world.revoke.begin(ME, "restore", Reason.UNSPECIFIED, caller="me", comment="", saga_id="s-1")
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.NONE


async def test_an_older_one_on_the_crl_is_written_down_so_and_blocks_nobody(world: Fakes, published: Published) -> None:
    old = foreign(world)
    world.clock.forward(days=1)
    await world.birth(world.device())
    await published.read(an_entry(serial(old), world.clock()))
    await world.adopt.look_up(shown(old))
    assert (status(world, old), row(world).block) == ("revoked", Block.NONE)


async def test_marks_that_cannot_be_read_now_are_read_later(world: Fakes, published: Published) -> None:
    leaf = foreign(world)
    await published.read(an_entry(serial(leaf), world.clock()))
    world.calls.fail("watermarks.get", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await world.adopt.look_up(shown(leaf))
    assert world.ledger.read(ME).device is None
    await world.adopt.look_up(shown(leaf))
    assert row(world).block is Block.HOLD


async def test_a_revoked_certificate_with_its_signature_rewritten_shuts_its_device_out() -> None:
    """DPS takes it for a good one with a thumbprint that nobody has heard of."""
    world = fakes()
    leaf = foreign(world)
    twin = rewritten(leaf)
    world.inventories["devices"].taken_back.add(leaf.serial_number)
    der, thumbprint = twin.public_bytes(Encoding.DER), twin.fingerprint(hashes.SHA256()).hex()
    await world.provision.allocate(Registration(ME, "birthcert", tuple(HUB_HOSTS.values()), thumbprint, "", der))
    (message,) = world.work.take("adopt")
    assert message.seen is not None
    await world.adopt.look_up(message.seen)
    assert (row(world).block, world.enrollments.is_blocked(ME)) == (Block.REVOKED, True)
    kept = world.ledger.read(ME).certificate(serial(leaf))
    assert kept is not None
    assert kept.certificate.thumbprint == leaf.fingerprint(hashes.SHA256()).hex(), "DigiCert ONE's own form"


async def test_an_import_with_its_signature_rewritten_is_set_right_by_the_list() -> None:
    """Hub and enrollment would hold a thumbprint that no device has."""
    world = fakes(dps=IndividualEnrollment())
    leaf = foreign(world)
    twin = rewritten(leaf)
    await world.adopt.take(world.profile, twin)
    await world.adopt.look_up(shown(twin))
    for message in world.work.take("settle"):
        await world.rotate.settle(message.device, message.label)
    genuine = leaf.fingerprint(hashes.SHA256()).hex()
    assert row(world).latest == serial(leaf)
    assert world.ledger.thumbprints[genuine] == ME
    enrollment = await world.enrollments.read(ME)
    assert enrollment is not None
    assert genuine in (enrollment.slots.primary, enrollment.slots.secondary)
    assert world.ledger.read(ME).certificates[0].digicert_id == f"id-{serial(leaf)}"

"""DPS or a hub shows a certificate that nobody here knows: neither waits, and the queue finds out what it is."""

import asyncio
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import births
from shared.core.adoption import Seen
from shared.core.allocation import Registration
from shared.core.errors import Forbidden, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Block
from shared.core.fleet import Device as KnownDevice
from shared.core.identity import DeviceId, registration_key
from shared.core.profile import GroupEnrollment
from shared.core.revocation import Reason
from shared.flows.adopt import Adopted, NotTaken
from tests.fakes.calls import Crash, Moment
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
HUB = "hub-a"
LINKED = tuple(HUB_HOSTS.values())


def foreign(world: Fakes) -> tuple[Device, x509.Certificate]:
    """A device that got its certificate from the label's CA by another protocol."""
    device = Device(ME)
    return device, world.ca.issue(device.request())


def thumbprint(leaf: x509.Certificate) -> str:
    return leaf.fingerprint(hashes.SHA256()).hex()


def serial(leaf: x509.Certificate) -> str:
    return f"{leaf.serial_number:x}"


def asked(leaf: x509.Certificate, *, whole: bool = False, group: str = "birthcert") -> Registration:
    der = leaf.public_bytes(Encoding.DER) if whole else b""
    return Registration(ME, group, LINKED, thumbprint(leaf), certificate=der)


def queued(world: Fakes) -> list[Seen | None]:
    return [one.seen for one in world.work.of("adopt")]


async def hand_out(world: Fakes) -> None:
    """What stands in the queue is looked up, as its trigger does."""
    for message in world.work.take("adopt"):
        assert message.seen is not None
        await world.adopt.look_up(message.seen)


def known(world: Fakes, name: DeviceId = ME) -> KnownDevice:
    device = world.ledger.read(name).device
    assert device is not None
    return device


async def test_what_a_device_presents_to_dps_is_looked_up_afterwards(world: Fakes) -> None:
    _, leaf = foreign(world)
    answer = await world.provision.allocate(asked(leaf, whole=True))
    assert answer.hub_host in LINKED
    assert answer.adoption == "Queued"
    assert queued(world) == [Seen(PROFILE.label, ME, thumbprint(leaf), leaf.public_bytes(Encoding.DER))]
    assert world.calls.made == ["ledger.load", "work.adopt"], "DPS waits for nothing else"
    await hand_out(world)
    assert known(world).latest == serial(leaf)


async def test_the_label_is_that_of_the_device_or_of_its_group() -> None:
    world = Fakes({one: replace(PROFILE, label=one, dps=GroupEnrollment(one)) for one in ("north", "south")})
    _, leaf = foreign(world)
    await world.provision.allocate(asked(leaf, group="south"))
    world.ledger.put(ME, KnownDevice(ME, "north", created=START))
    await world.provision.allocate(asked(leaf, group="south"))
    assert [seen.label for seen in queued(world) if seen] == ["south", "north"]


async def test_what_is_known_or_not_shown_is_not_looked_up(world: Fakes) -> None:
    born = (await world.birth(world.device())).issued
    _, leaf = foreign(world)
    for shown in (born.certificate.thumbprint, ""):
        answer = await world.provision.allocate(replace(asked(leaf), thumbprint=shown))
        assert answer.adoption == ""
    assert queued(world) == []


async def test_a_queue_that_fails_or_dawdles_refuses_no_device(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.calls.fail("work.adopt", lambda: Unavailable("no", retry_after=5, cause="queue adopt: 503"))
    answer = await world.provision.allocate(asked(leaf))
    assert (answer.hub_host in LINKED, answer.adoption, answer.cause) == (True, "NotQueued", "queue adopt: 503")
    world.calls.meanwhile["work.adopt"] = lambda: asyncio.sleep(60)
    async with asyncio.timeout(5):
        answer = await world.provision.allocate(asked(leaf))
    assert (answer.hub_host in LINKED, answer.adoption) == (True, "NotQueued")
    world.calls.meanwhile.clear()
    world.hubs.put(HUB, ME, thumbprint(leaf))
    assert await world.provision.device_created(HUB, ME) == "LookedUp", "DeviceCreated makes up for it"
    await hand_out(world)
    assert known(world).current == serial(leaf)


async def test_who_is_refused_is_not_looked_up() -> None:
    world = fakes(unknown_devices="manifest")
    _, leaf = foreign(world)
    with pytest.raises(Forbidden, match="manifest"):
        await world.provision.allocate(asked(leaf))
    world.ledger.put(ME, KnownDevice(ME, PROFILE.label, created=START, block=Block.HOLD))
    with pytest.raises(Forbidden, match="blocked"):
        await world.provision.allocate(asked(leaf))
    assert queued(world) == []


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])  # noqa: S303 - IoT Hub takes SHA-1 thumbprints
async def test_a_device_that_appears_in_a_hub_alone_is_looked_up_and_bound(
    world: Fakes, algorithm: hashes.HashAlgorithm
) -> None:
    _, leaf = foreign(world)
    shown = leaf.fingerprint(algorithm).hex()
    world.hubs.put(HUB, ME, shown.upper(), shown)
    assert await world.provision.device_created("HUB-A", ME) == "LookedUp"
    assert queued(world) == [Seen("", ME, shown, hub=HUB)]
    await hand_out(world)
    assert (known(world).hub, known(world).current, known(world).latest) == (HUB, serial(leaf), serial(leaf))
    assert world.hubs.twin(HUB, ME).tags["serial"] == serial(leaf)
    assert await world.provision.device_created(HUB, ME) == "Done"
    assert queued(world) == []


async def test_a_stranger_stays_one(world: Fakes) -> None:
    assert await world.provision.device_created(HUB, ME) == "UnknownDevice", "it is gone again"
    world.hubs.put(HUB, ME, "")
    assert await world.provision.device_created(HUB, ME) == "UnknownDevice", "it has a key, or a CA"
    world.hubs.put(HUB, ME, "ab" * 32)
    assert await world.provision.device_created(HUB, ME) == "LookedUp"
    (message,) = world.work.take("adopt")
    assert message.seen is not None
    assert isinstance(await world.adopt.look_up(message.seen), NotTaken)
    assert world.ledger.read(ME).device is None


async def test_whom_the_manifest_does_not_know_is_not_taken_in_from_a_hub() -> None:
    world = fakes(unknown_devices="manifest")
    _, leaf = foreign(world)
    world.hubs.put(HUB, ME, thumbprint(leaf))
    assert await world.provision.device_created(HUB, ME) == "LookedUp"
    await hand_out(world)
    assert world.ledger.read(ME).device is None


async def test_a_queue_that_fails_makes_the_hubs_event_come_again(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.hubs.put(HUB, ME, thumbprint(leaf))
    world.calls.fail("work.adopt", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await world.provision.device_created(HUB, ME)
    assert await world.provision.device_created(HUB, ME) == "LookedUp"


async def test_beside_a_known_certificate_the_unknown_one_alone_is_looked_up(world: Fakes) -> None:
    device = world.device()
    born = (await world.birth(device)).issued
    world.clock.forward(days=1)
    _, leaf = foreign(world)
    world.hubs.put(HUB, ME, born.certificate.thumbprint, thumbprint(leaf))
    assert await world.provision.device_created(HUB, ME) == "LookedUp"
    assert queued(world) == [Seen("", ME, thumbprint(leaf), hub=HUB)]
    assert known(world).hub == HUB
    await hand_out(world)
    assert known(world).latest == serial(leaf)
    identity = world.hubs.identities[HUB, ME]
    assert set(identity.thumbprints) == {born.certificate.thumbprint, thumbprint(leaf)}, "nobody knows which is in use"


async def test_a_connection_is_taken_in_while_the_certificate_is_looked_up(world: Fakes) -> None:
    await world.birth(world.device())
    _, leaf = foreign(world)
    world.hubs.put("hub-b", ME, thumbprint(leaf))
    assert await world.provision.device_connected("hub-b", ME, "1" * 64, START, connected=True) == "Done"
    assert (known(world).hub, known(world).connected) == ("hub-b", True)
    assert len(queued(world)) == 1


async def test_what_a_blocked_device_is_let_in_with_is_revoked_with_the_others(world: Fakes) -> None:
    await world.birth(world.device())
    await world.revoke.begin(ME, "revoke", Reason.KEY_COMPROMISE, caller="me", comment="", saga_id="s-1")
    _, leaf = foreign(world)
    world.hubs.put(HUB, ME, thumbprint(leaf))
    assert await world.provision.device_created(HUB, ME) == "ShutOut"
    assert not world.hubs.identities[HUB, ME].enabled
    await hand_out(world)
    await world.revoke.advance(ME)
    assert world.digicert.revoked.keys() >= {serial(leaf)}


async def test_a_device_renewed_past_us_changes_over_when_it_registers_again(world: Fakes) -> None:
    """It has gone to DigiCert ONE by SCEP, say, both times."""
    device, old = foreign(world)
    world.hubs.put(HUB, ME, thumbprint(old), thumbprint(old))
    await world.provision.device_created(HUB, ME)
    await hand_out(world)
    world.clock.forward(days=30)
    new = world.ca.issue(device.with_new_key().request())
    await world.provision.allocate(asked(new))
    await hand_out(world)
    world.hubs.put(HUB, ME, thumbprint(new), thumbprint(new))
    for message in world.work.take("settle"):
        await world.rotate.settle(message.device, message.label)
    assert (known(world).current, known(world).latest) == (serial(new), serial(new))
    first = world.ledger.read(ME).certificate(serial(old))
    assert first is not None
    assert first.status == "superseded"


async def test_from_dps_to_a_renewal_over_est_it_is_never_refused(world: Fakes) -> None:
    device, leaf = foreign(world)
    await world.provision.allocate(asked(leaf))
    world.hubs.put(HUB, ME, thumbprint(leaf), thumbprint(leaf))
    world.enrollments.registrations[registration_key(ME)] = HUB_HOSTS[HUB]
    await hand_out(world)
    assert await world.provision.device_created(HUB, ME) == "Done"
    renewed = await world.birth(device.with_certificate(leaf).with_new_key(), Operation.SIMPLEREENROLL)
    held = world.hubs.identities[HUB, ME].thumbprints
    assert set(held) == {thumbprint(leaf), renewed.issued.certificate.thumbprint}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_at_any_call_of_either_is_made_up_for(moment: Moment) -> None:
    """The message may be lost with DPS's question; the hub's event comes again."""

    async def appear(world: Fakes, leaf: x509.Certificate) -> None:
        await world.provision.allocate(asked(leaf))
        world.hubs.put(HUB, ME, thumbprint(leaf), thumbprint(leaf))
        await world.provision.device_created(HUB, ME)

    calm = fakes()
    await appear(calm, foreign(calm)[1])
    assert len(calm.calls.made) > 3
    for number in range(len(calm.calls.made)):
        world = fakes()
        _, leaf = foreign(world)
        world.calls.fail_at(number, Crash, moment=moment)
        with pytest.raises(Crash):
            await appear(world, leaf)
        world.restart()
        await appear(world, leaf)
        await hand_out(world)
        assert (known(world).hub, known(world).current) == (HUB, serial(leaf)), number


CRL = ("http://crl.example/ica.crl",)


@pytest.mark.parametrize(("crl_urls", "block"), [(CRL, Block.HOLD), ((), Block.REVOKED)])
async def test_what_digicert_has_revoked_before_it_was_seen_shuts_its_device_out(
    crl_urls: tuple[str, ...], block: Block
) -> None:
    """Where a CRL tells, DigiCert's list is good for a hold alone, as ever."""
    world = fakes(crl_urls=crl_urls)
    _, leaf = foreign(world)
    world.inventories["devices"].taken_back.add(leaf.serial_number)
    await world.provision.allocate(asked(leaf, whole=True))
    world.hubs.put(HUB, ME, thumbprint(leaf), thumbprint(leaf))
    world.enrollments.registrations[registration_key(ME)] = HUB_HOSTS[HUB]
    await hand_out(world)
    await world.provision.device_created(HUB, ME)
    assert known(world).block is block
    assert not world.hubs.identities[HUB, ME].enabled
    assert world.enrollments.is_blocked(ME)
    with pytest.raises(Forbidden, match="blocked"):
        await world.provision.allocate(asked(leaf))
    begun = world.ledger.read(ME).saga
    await world.adopt.look_up(Seen("devices", ME, thumbprint(leaf)))
    assert world.ledger.read(ME).saga == begun, "a message that comes twice blocks once"


@pytest.mark.parametrize("crl_urls", [CRL, ()])
async def test_an_older_certificate_that_is_revoked_is_written_down_so_and_blocks_nobody(
    crl_urls: tuple[str, ...],
) -> None:
    world = fakes(crl_urls=crl_urls)
    _, leaf = foreign(world)
    world.clock.forward(days=1)
    await world.birth(world.device())
    world.inventories["devices"].taken_back.add(leaf.serial_number)
    await world.adopt.look_up(Seen("devices", ME, thumbprint(leaf)))
    taken = world.ledger.read(ME).certificate(serial(leaf))
    assert taken is not None
    assert (taken.status, known(world).block) == ("revoked", Block.NONE)


async def test_a_block_that_cannot_be_begun_is_tried_again(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.inventories["devices"].taken_back.add(leaf.serial_number)
    seen = Seen("devices", ME, thumbprint(leaf))
    world.calls.fail("index.by_serial", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await world.adopt.look_up(seen)
    assert known(world).block is Block.NONE
    await world.adopt.look_up(seen)
    assert known(world).block is Block.REVOKED


async def test_an_import_is_held_against_digicerts_list_at_leisure(world: Fakes) -> None:
    """What is revoked there is found by the queue, a few certificates a second."""
    leaves = [world.ca.issue(Device(f"dev-{number}").request()) for number in range(12)]
    world.inventories["devices"].taken_back.add(leaves[3].serial_number)
    rows = births.imported(b"".join(one.public_bytes(Encoding.PEM) for one in leaves), is_pem=True)
    assert {one.outcome for one in await world.adopt.take_all(world.profile, rows)} == {"adopted"}
    assert world.calls.count("inventory.named") == 0
    assert {one.delay for one in world.work.of("adopt")} == {0, 1, 2}
    await hand_out(world)
    names = [DeviceId(f"dev-{number}") for number in range(12)]
    assert [name for name in names if known(world, name).block is not Block.NONE] == ["dev-3"]
    assert {one.outcome for one in await world.adopt.take_all(world.profile, rows)} == {"known"}
    assert len(queued(world)) == 12, "the first try may have died before the queue was told"


async def test_without_digicerts_list_a_whole_certificate_is_taken_as_it_is(world: Fakes) -> None:
    """A profile that names no REST interface. A thumbprint alone tells nothing then."""
    world.inventories.clear()
    _, leaf = foreign(world)
    seen = Seen("devices", ME, thumbprint(leaf))
    assert isinstance(await world.adopt.look_up(seen), NotTaken)
    der = leaf.public_bytes(Encoding.DER)
    assert await world.adopt.look_up(replace(seen, certificate=der)) == Adopted(ME, serial(leaf), "adopted")
    rows = births.imported(leaf.public_bytes(Encoding.PEM), is_pem=True)
    assert {one.outcome for one in await world.adopt.take_all(world.profile, rows)} == {"known"}
    assert queued(world) == []

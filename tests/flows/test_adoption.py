"""A certificate that came by another way is taken in, and has the same life from then on."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from shared.core import births
from shared.core.adoption import Seen
from shared.core.errors import Conflict, Forbidden, Unavailable, UpstreamRefused
from shared.core.est import Operation
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.adopt import Adopted, NotTaken
from tests.fakes.calls import Crash, Moment
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
HUB = next(iter(HUB_HOSTS))


def foreign(world: Fakes, name: str = "dev-1") -> tuple[Device, x509.Certificate]:
    """A device that got its certificate from the label's CA by another protocol."""
    device = Device(name)
    return device, world.ca.issue(device.request())


def of_another_ca() -> Fakes:
    """A world whose CA nobody here trusts."""
    other = fakes()
    other.ca.hierarchy = pki.issuing_hierarchy(START)
    other.ca.announced[:] = [other.ca.hierarchy.root.certificate, other.ca.hierarchy.ica.certificate]
    return other


def seen(leaf: x509.Certificate, *, hub: str = "", whole: bool = False, label: str = PROFILE.label) -> Seen:
    content = leaf.public_bytes(Encoding.DER) if whole else b""
    return Seen(label, "dev-1", leaf.fingerprint(hashes.SHA256()).hex(), content, hub)


async def test_an_imported_certificate_is_in_the_ledger_and_due_for_renewal(world: Fakes) -> None:
    _, leaf = foreign(world)
    taken = await world.adopt.take(world.profile, leaf)
    assert taken == Adopted(ME, f"{leaf.serial_number:x}", "adopted")
    known = world.ledger.read(ME)
    assert known.device is not None
    assert (known.device.latest, known.device.label) == (taken.serial, PROFILE.label)
    assert known.certificates[0].source == "adopted"
    assert [serial for _, serial in world.ledger.due] == [taken.serial]
    assert [event.kind for event in known.outbox] == ["adopted"]
    assert world.work.settling == [(ME, PROFILE.label)]


async def test_what_is_overdue_already_is_due_today(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.clock.forward(days=85)
    await world.adopt.take(world.profile, leaf)
    assert [day for day, _ in world.ledger.due] == [world.clock().date()]


async def test_again_it_is_known_and_nothing_changes(world: Fakes) -> None:
    _, leaf = foreign(world)
    first = await world.adopt.take(world.profile, leaf)
    before = world.ledger.read(ME)
    assert await world.adopt.take(world.profile, leaf) == replace(first, outcome="known")
    assert world.ledger.read(ME) == before


async def test_the_device_renews_over_est_with_it(world: Fakes) -> None:
    device, leaf = foreign(world)
    taken = await world.adopt.take(world.profile, leaf)
    renewed = await world.birth(device.with_certificate(leaf).with_new_key(), Operation.SIMPLEREENROLL)
    known = world.ledger.read(ME)
    assert known.device is not None
    assert (known.device.current, known.device.latest) == (taken.serial, renewed.issued.certificate.serial)


async def test_the_hub_that_knows_it_keeps_it_beside_the_renewed_one(world: Fakes) -> None:
    device, leaf = foreign(world)
    world.hubs.put(HUB, ME, leaf.fingerprint(hashes.SHA256()).hex())
    found = await world.adopt.look_up(seen(leaf, hub=HUB))
    assert isinstance(found, Adopted)
    known = world.ledger.read(ME)
    assert known.device is not None
    assert (known.device.hub, known.device.current) == (HUB, found.serial)
    renewed = await world.birth(device.with_certificate(leaf).with_new_key(), Operation.SIMPLEREENROLL)
    identity = await world.hubs.identity(HUB, ME)
    assert identity is not None
    assert set(identity.thumbprints) == {
        leaf.fingerprint(hashes.SHA256()).hex(),
        renewed.issued.certificate.thumbprint,
    }


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])  # noqa: S303 - IoT Hub takes SHA-1 thumbprints
async def test_what_a_hub_shows_is_found_by_its_thumbprint(world: Fakes, algorithm: hashes.HashAlgorithm) -> None:
    foreign(world)
    _, leaf = foreign(world)
    shown = replace(seen(leaf), thumbprint=leaf.fingerprint(algorithm).hex().upper())
    assert await world.adopt.look_up(shown) == Adopted(ME, f"{leaf.serial_number:x}", "adopted")
    assert world.ledger.read(ME).certificates[0].digicert_id == f"id-{leaf.serial_number:x}"


async def test_what_dps_shows_whole_needs_no_list(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.ca.issued.clear()
    assert isinstance(await world.adopt.look_up(seen(leaf, whole=True)), Adopted)


async def test_what_nobody_knows_is_not_taken(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.ca.issued.clear()
    assert await world.adopt.look_up(seen(leaf)) == NotTaken("DigiCert ONE lists no such certificate")


async def test_what_another_ca_has_signed_is_not_taken(world: Fakes) -> None:
    _, leaf = foreign(of_another_ca())
    with pytest.raises(Forbidden, match="no CA of this label"):
        await world.adopt.take(world.profile, leaf)
    assert await world.adopt.look_up(seen(leaf, whole=True)) == NotTaken(
        "no CA of this label has signed the certificate"
    )
    assert world.ledger.read(ME).device is None


async def test_a_ca_of_the_same_name_does_not_pass_for_ours(world: Fakes) -> None:
    device = Device("dev-1")
    leaf = world.ca.issue(device.request(), "other_issuer")
    with pytest.raises(Forbidden, match="no CA of this label"):
        await world.adopt.take(world.profile, leaf)


async def test_what_has_expired_and_what_is_a_ca_is_not_taken(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.clock.forward(days=91)
    with pytest.raises(Forbidden, match="has expired"):
        await world.adopt.take(world.profile, leaf)
    with pytest.raises(Forbidden, match="of a CA"):
        await world.adopt.take(world.profile, world.ca.hierarchy.ica.certificate)


async def test_the_label_is_found_where_nothing_tells_it() -> None:
    first, second = PROFILE, replace(PROFILE, label="second")
    world = Fakes({"devices": first, "second": second})
    own = of_another_ca()
    world.sources["devices"].ca = own.ca
    world.inventories["devices"].ca = own.ca
    _, leaf = foreign(world)
    assert isinstance(await world.adopt.look_up(seen(leaf, label="", whole=True)), Adopted)
    found = world.ledger.read(ME).device
    assert found is not None
    assert found.label == "second"


async def test_a_hub_that_no_profile_has_is_nobodys(world: Fakes) -> None:
    _, leaf = foreign(world)
    assert isinstance(await world.adopt.look_up(seen(leaf, hub="elsewhere", label="")), NotTaken)


async def test_an_older_certificate_does_not_become_the_newest(world: Fakes) -> None:
    _, old = foreign(world)
    world.clock.forward(days=1)
    born = await world.birth(world.device())
    await world.adopt.take(world.profile, old)
    known = world.ledger.read(ME)
    assert known.device is not None
    assert known.device.latest == born.issued.certificate.serial
    assert len(known.certificates) == 2


async def test_of_a_blocked_device_it_is_recorded_and_revoked_with_the_others(world: Fakes) -> None:
    await world.birth(world.device())
    await world.revoke.begin(ME, "revoke", Reason.KEY_COMPROMISE, caller="me", comment="", saga_id="s-1")
    _, leaf = foreign(world)
    taken = await world.adopt.take(world.profile, leaf)
    assert [one.device for one in world.work.of("saga")][-1:] == [ME]
    await world.revoke.advance(ME)
    taken_in = world.ledger.read(ME).certificate(taken.serial)
    assert taken_in is not None
    assert taken_in.status == "revoked"


async def test_what_is_not_valid_yet_is_not_taken(world: Fakes) -> None:
    """It would be the newest, and the device would not be asked to renew the one that it has."""
    born = await world.birth(world.device())
    world.clock.forward(days=200)
    _, leaf = foreign(world)
    world.clock.forward(days=-200)
    with pytest.raises(Forbidden, match="not valid yet"):
        await world.adopt.take(world.profile, leaf)
    known = world.ledger.read(ME).device
    assert known is not None
    assert known.latest == born.issued.certificate.serial


async def test_a_passcode_of_another_label_is_no_manifest() -> None:
    passcodes = replace(PROFILE.authentication, factory=None, passcode=None, one_time_passcodes=True)
    first, second = replace(PROFILE, authentication=passcodes), replace(PROFILE, label="b", unknown_devices="manifest")
    world = Fakes({"devices": first, "b": second})
    await world.passcodes.make(ME, "devices", timedelta(hours=1))
    _, leaf = foreign(world)
    with pytest.raises(Forbidden, match="manifest"):
        await world.adopt.take(world.profiles["b"], leaf)
    await world.adopt.take(world.profiles["devices"], leaf)


async def changing_over(world: Fakes) -> tuple[str, str]:
    """A device has renewed itself and may use either: the thumbprints of the one before and of the new one."""
    old = (await world.birth(world.device())).issued
    world.hubs.put(HUB, ME, old.certificate.thumbprint, old.certificate.thumbprint)
    await world.provision.device_created(HUB, ME)
    world.clock.forward(days=1)
    new = (await world.birth(Device("dev-1").with_issued(old))).issued
    world.clock.forward(seconds=3600)
    return old.certificate.thumbprint, new.certificate.thumbprint


async def test_an_import_throws_out_none_that_a_device_is_changing_over_to(world: Fakes) -> None:
    thumbprints = await changing_over(world)
    _, leaf = foreign(world)
    rows = births.imported(leaf.public_bytes(Encoding.PEM), is_pem=True)
    (taken,) = await world.adopt.take_all(world.profile, rows)
    assert (taken.outcome, "import this one again" in taken.reason) == ("refused", True)
    await world.rotate.settle(ME, "devices")
    assert set(world.hubs.identities[HUB, ME].thumbprints) == set(thumbprints)
    world.clock.forward(days=2)
    await world.rotate.settle(ME, "devices")
    (taken,) = await world.adopt.take_all(world.profile, rows)
    assert taken.outcome == "adopted"


async def test_an_import_throws_out_none_that_stands_beside_the_one_in_use(world: Fakes) -> None:
    """It was issued to who came otherwise, by the factory certificate here, and no time of a rotation runs."""
    first = (await world.birth(world.device())).issued.certificate
    world.hubs.put(HUB, ME, first.thumbprint)
    await world.provision.device_created(HUB, ME)
    beside = (await world.birth(world.device().with_new_key())).issued.certificate
    row = world.ledger.read(ME).device
    assert row is not None
    assert (row.current, row.latest, row.rotating_since) == (first.serial, beside.serial, None)
    world.clock.forward(seconds=7200)
    _, leaf = foreign(world)
    with pytest.raises(Conflict, match="is changing over"):
        await world.adopt.take(world.profile, leaf)
    assert world.hubs.lets_in(HUB, ME, beside)
    world.hubs.put(HUB, ME, beside.thumbprint, beside.thumbprint)
    await world.rotate.check(ME, PROFILE.label)
    assert (await world.adopt.take(world.profile, leaf)).outcome == "adopted"


async def test_what_its_hub_has_shown_is_taken_in_while_a_device_changes_over(world: Fakes) -> None:
    await changing_over(world)
    _, leaf = foreign(world)
    assert isinstance(await world.adopt.look_up(seen(leaf)), Adopted)
    known = world.ledger.read(ME).device
    assert known is not None
    assert known.latest == f"{leaf.serial_number:x}"


async def test_an_older_one_is_imported_at_any_time(world: Fakes) -> None:
    _, old = foreign(world)
    world.clock.forward(days=1)
    await changing_over(world)
    assert (await world.adopt.take(world.profile, old)).outcome == "adopted"


async def test_the_list_tells_the_id_of_what_was_imported(world: Fakes) -> None:
    """DigiCert ONE revokes and renews by it."""
    _, leaf = foreign(world)
    rows = births.imported(leaf.public_bytes(Encoding.PEM), is_pem=True)
    await world.adopt.take_all(world.profile, rows)
    (message,) = world.work.take("adopt")
    assert message.seen is not None
    assert await world.adopt.look_up(message.seen) == Adopted(ME, f"{leaf.serial_number:x}", "known")
    (kept,) = world.ledger.read(ME).certificates
    assert (kept.digicert_id, kept.source) == (f"id-{leaf.serial_number:x}", "adopted")
    before = world.ledger.read(ME)
    await world.adopt.look_up(message.seen)
    assert world.ledger.read(ME) == before


async def test_many_of_one_device_in_one_import_do_not_disturb_each_other(world: Fakes) -> None:
    leaves = []
    for _ in range(24):
        world.clock.forward(seconds=60)
        leaves.append(foreign(world)[1])
    rows = births.imported(b"".join(one.public_bytes(Encoding.PEM) for one in leaves), is_pem=True)
    assert {one.outcome for one in await world.adopt.take_all(world.profile, rows)} == {"adopted"}


async def test_a_list_that_refuses_us_does_not_keep_another_label_from_taking_it() -> None:
    world = Fakes({"devices": PROFILE, "second": replace(PROFILE, label="second")})
    _, leaf = foreign(world)
    for whole in (False, True):
        world.calls.fail("inventory.named", lambda: UpstreamRefused("the CA refused", cause="403"))
        await world.adopt.look_up(seen(leaf, label="", whole=whole))
        found = world.ledger.read(ME).device
        assert found is not None
        assert found.label == "second"
    world.calls.fail("inventory.named", lambda: UpstreamRefused("the CA refused", cause="403"), times=2)
    with pytest.raises(UpstreamRefused):
        await world.adopt.look_up(seen(leaf, label=""))


async def test_bytes_that_are_no_certificate_are_not_taken(world: Fakes) -> None:
    shown = Seen(PROFILE.label, "dev-1", "ab" * 32, b"0")
    assert await world.adopt.look_up(shown) == NotTaken("the certificate cannot be read")


async def test_whom_the_manifest_does_not_know_is_not_taken_in() -> None:
    world = fakes(unknown_devices="manifest")
    _, leaf = foreign(world)
    with pytest.raises(Forbidden, match="manifest"):
        await world.adopt.take(world.profile, leaf)


async def test_names_and_labels_that_clash_are_told(world: Fakes) -> None:
    _, leaf = foreign(world, "DEV-1")
    await world.birth(world.device())
    with pytest.raises(Conflict, match="upper and lower case"):
        await world.adopt.take(world.profile, leaf)
    two = Fakes({"devices": PROFILE, "second": replace(PROFILE, label="second")})
    await two.birth(two.device())
    _, leaf = foreign(two)
    with pytest.raises(Conflict, match="another label"):
        await two.adopt.take(two.profiles["second"], leaf)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_at_any_call_is_made_up_for_by_the_next_try(moment: Moment) -> None:
    calm = fakes()
    _, leaf = foreign(calm)
    calm.hubs.put(HUB, ME, leaf.fingerprint(hashes.SHA256()).hex())
    await calm.adopt.look_up(seen(leaf, hub=HUB))
    for number in range(len(calm.calls.made)):
        world = fakes()
        _, leaf = foreign(world)
        world.hubs.put(HUB, ME, leaf.fingerprint(hashes.SHA256()).hex())
        world.calls.fail_at(number, Crash, moment=moment)
        with pytest.raises(Crash):
            await world.adopt.look_up(seen(leaf, hub=HUB))
        world.restart()
        assert isinstance(await world.adopt.look_up(seen(leaf, hub=HUB)), Adopted)
        known = world.ledger.read(ME)
        assert known.device is not None, number
        assert (known.device.hub, known.device.current) == (HUB, f"{leaf.serial_number:x}"), number


async def test_a_digicert_that_does_not_answer_is_asked_again(world: Fakes) -> None:
    _, leaf = foreign(world)
    world.calls.fail("inventory.named", lambda: Unavailable("no", retry_after=2))
    with pytest.raises(Unavailable):
        await world.adopt.look_up(seen(leaf))
    world.calls.fail("ledger.adopt", lambda: Unavailable("no", retry_after=2))
    with pytest.raises(Unavailable):
        await world.adopt.look_up(seen(leaf))
    assert isinstance(await world.adopt.look_up(seen(leaf)), Adopted)


async def test_a_record_that_changes_meanwhile_is_read_again_and_not_for_ever(world: Fakes) -> None:
    await world.birth(world.device())
    _, leaf = foreign(world)

    async def change() -> None:
        known = world.ledger.read(ME).device
        assert known is not None
        world.ledger.put(ME, replace(known, last_seen=world.clock()))

    world.calls.meanwhile["ledger.adopt"] = change
    with pytest.raises(Unavailable, match="too fast"):
        await world.adopt.take(world.profile, leaf)


async def test_an_import_takes_each_row_for_itself(world: Fakes) -> None:
    _, first = foreign(world)
    _, second = foreign(world, "dev-2")
    _, stranger = foreign(of_another_ca())
    lines = [
        json.dumps({"certificate": one.public_bytes(Encoding.PEM).decode()}) for one in (first, stranger, second, first)
    ]
    rows = births.imported("\n".join([*lines, '{"certificate": "x"}', "[]"]).encode(), is_pem=False)
    taken = await world.adopt.take_all(world.profile, rows)
    outcomes = [one.outcome for one in taken]
    assert [outcomes[at] for at in (1, 2, 4, 5)] == ["refused", "adopted", "refused", "refused"]
    assert sorted(outcomes[at] for at in (0, 3)) == ["adopted", "known"]
    assert "one certificate in PEM" in taken[4].reason
    assert base64.b64encode(first.public_bytes(Encoding.DER)).decode()[:40] in lines[0].replace("\\n", "")


async def test_an_import_that_cannot_go_on_says_so(world: Fakes) -> None:
    _, leaf = foreign(world)
    rows = births.imported(leaf.public_bytes(Encoding.PEM) * 2, is_pem=True)
    world.calls.fail("ledger.adopt", lambda: Unavailable("no", retry_after=2))
    with pytest.raises(Unavailable):
        await world.adopt.take_all(world.profile, rows)


async def test_on_hold_it_is_recorded_and_stays_blocked(world: Fakes) -> None:
    await world.birth(world.device())
    await world.revoke.begin(ME, "hold", Reason.CERTIFICATE_HOLD, caller="me", comment="", saga_id="s-1")
    _, leaf = foreign(world)
    await world.adopt.take(world.profile, leaf)
    known = world.ledger.read(ME).device
    assert known is not None
    assert known.block is Block.HOLD

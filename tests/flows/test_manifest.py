"""A factory announces its devices: who is on the manifest may come, with what it says, and nobody else."""

import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from sandbox import pki
from shared.core import manifest as rules
from shared.core.client_certificate import parse_header
from shared.core.errors import Forbidden, Malformed, Unavailable
from shared.core.fleet import Block, Expected
from shared.core.identity import DeviceId
from shared.core.profile import Passcode
from shared.flows.manifest import Entered, Manifest
from tests.fakes.calls import Moment
from tests.fakes.devices import Device, new_key
from tests.fakes.world import FACTORY, PASSCODE, PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> Fakes:
    """Factory certificates and the label's passcode, and only who is on the manifest."""
    both = replace(PROFILE.authentication, passcode=Passcode("est-passcode", "refuse"))
    return fakes(both, unknown_devices="manifest")


async def enter(world: Fakes, *rows: dict[str, str], label: str = PROFILE.label) -> list[Entered]:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return await manifest(world).enter(rules.read(content, is_csv=False), label)


def manifest(world: Fakes) -> Manifest:
    return world.application().manifest


def with_serial(serial: str) -> x509.Certificate:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "dev-1"), x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)]
    begin = FACTORY.certificate.not_valid_before_utc
    end, key = begin + 20 * pki.YEAR, new_key().public_key()
    return FACTORY.issue(x509.Name(names), key, pki.leaf_extensions(), not_before=begin, not_after=end)


def leaf_of(device: Device) -> x509.Certificate:
    return parse_header(device.presents.certificate)


async def test_who_is_not_on_the_manifest_is_not_enrolled_and_who_is_is(world: Fakes) -> None:
    device = world.device()
    with pytest.raises(Forbidden, match="not on the manifest"):
        await world.birth(device)
    (entered,) = await enter(world, {"device_id": "dev-1"})
    assert entered.outcome == "expected"
    await world.birth(device)
    with pytest.raises(Forbidden, match="not on the manifest"):
        await world.birth(world.device("dev-2"))


async def test_the_same_manifest_again_changes_nothing(world: Fakes) -> None:
    await enter(world, {"device_id": "dev-1"})
    before = world.ledger.read(DeviceId("dev-1"))
    assert [one.outcome for one in await enter(world, {"device_id": "dev-1"})] == ["already expected"]
    assert world.ledger.read(DeviceId("dev-1")) == before


async def test_a_manifest_that_names_the_factory_certificate_lets_in_that_one_alone(world: Fakes) -> None:
    device, other = world.device(), world.device()
    thumbprint = leaf_of(device).fingerprint(hashes.SHA256()).hex()
    spelled = ":".join(thumbprint[at : at + 2] for at in range(0, 64, 2)).upper()
    await enter(world, {"device_id": "dev-1", "factory_thumbprint": spelled})
    with pytest.raises(Forbidden, match="another factory certificate"):
        await world.birth(other)
    with pytest.raises(Forbidden, match="another factory certificate"):
        await world.birth(Device("dev-1").with_password(PASSCODE))
    await world.birth(device)


async def test_a_manifest_that_names_the_hardware_lets_in_that_one_alone(world: Fakes) -> None:
    right = Device("dev-1").with_certificate(with_serial("SN-77"))
    wrong = Device("dev-1").with_certificate(with_serial("SN-78"))
    await enter(world, {"device_id": "dev-1", "hardware_serial": "SN-77"})
    for device in (wrong, world.device()):
        with pytest.raises(Forbidden, match="another hardware serial"):
            await world.birth(device)
    await world.birth(right)


async def test_the_manifest_says_the_label_too(world: Fakes) -> None:
    other = replace(PROFILE, label="other")
    world = Fakes({PROFILE.label: PROFILE, "other": other})
    (row,) = await enter(world, {"device_id": "dev-1", "label": "other"})
    assert row.outcome == "expected"
    with pytest.raises(Forbidden, match="the manifest has the device under another label"):
        await world.birth(world.device())
    await world.birth(world.device(), label="other")


async def test_a_broken_row_spoils_no_other(world: Fakes) -> None:
    rows = await enter(
        world,
        {"device_id": "dev-1"},
        {"device_id": "dev 2"},
        {"device_id": ""},
        {"device_id": "DEV-1"},
        {"device_id": "dev-3", "label": "nowhere"},
        {"device_id": "dev-4", "factory_thumbprint": "abc"},
        {"device_id": "dev-5", "hardware_serial": "x" * 65},
        {"device_id": "dev-6"},
    )
    assert [one.outcome for one in rows] == ["expected", *["refused"] * 6, "expected"]
    parts = ["device id must be", "no device_id", "row 1 already", "no such label", "64 hex digits", "64 characters"]
    for row, part in zip(rows[1:7], parts, strict=True):
        assert part in row.reason


@pytest.mark.parametrize(
    "name", ["factory_fingerprint", "Factory_Thumbprint ", "hardware-serial", "Hardware Serial No", "factory_"]
)
async def test_a_misspelled_condition_lets_in_nobody(world: Fakes, name: str) -> None:
    """Left alone, as another column is, it would let in whoever comes."""
    rows = await enter(world, {"device_id": "dev-1", name: "x"}, {"device_id": "dev-2", "made": "x"})
    assert [one.outcome for one in rows] == ["refused", "expected"]
    assert rows[0].reason.startswith("there is no ")
    with pytest.raises(Malformed, match="the first line: there is no"):
        rules.read(f"device_id,{name}x\ndev-1,x\n".encode(), is_csv=True)


async def test_a_condition_that_stands_twice_is_none(world: Fakes) -> None:
    with pytest.raises(Malformed, match="once only"):
        rules.read(b"device_id,hardware_serial,hardware_serial\ndev-1,SN-77,\n", is_csv=True)
    (row,) = rules.read(b'{"device_id": "dev-1", "hardware_serial": "SN-77", "hardware_serial": ""}', is_csv=False)
    (entered,) = await manifest(world).enter([row], PROFILE.label)
    assert (entered.outcome, entered.reason) == ("refused", "hardware_serial may stand there once only")


async def test_a_row_without_a_label_needs_one_in_the_query(world: Fakes) -> None:
    (row,) = await enter(world, {"device_id": "dev-1"}, label="")
    assert "no label" in row.reason


async def test_what_a_manifest_cannot_change_any_more(world: Fakes) -> None:
    await enter(world, {"device_id": "dev-1"}, {"device_id": "dev-2"}, {"device_id": "dev-3"})
    await world.birth(world.device("dev-1"))
    known = world.ledger.read(DeviceId("dev-2")).device
    assert known is not None
    world.ledger.put(DeviceId("dev-2"), replace(known, block=Block.HOLD))
    rows = await enter(
        world,
        {"device_id": "dev-1", "hardware_serial": "SN-1"},
        {"device_id": "dev-2", "hardware_serial": "SN-1"},
        {"device_id": "DEV-3"},
    )
    assert [(one.outcome, one.reason) for one in rows[:3]] == [
        ("refused", "the device has a certificate already"),
        ("refused", "the device is blocked"),
        ("refused", "a device whose id differs only in upper and lower case is known already"),
    ]
    (row,) = await enter(world, {"device_id": "dev-3", "hardware_serial": "SN-1"})
    changed = world.ledger.read(DeviceId("dev-3")).device
    assert row.outcome == "expected"
    assert changed is not None
    assert changed.expected == Expected("", "SN-1")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_store_that_fails_in_the_middle_leaves_the_rest_to_the_same_request(
    world: Fakes, moment: Moment
) -> None:
    rows = [{"device_id": f"dev-{number}"} for number in range(5)]
    world.calls.fail("ledger.commit", lambda: Unavailable("no", retry_after=2), moment=moment)
    with pytest.raises(Unavailable):
        await enter(world, *rows)
    assert {one.outcome for one in await enter(world, *rows)} <= {"expected", "already expected"}
    assert all(world.ledger.read(DeviceId(row["device_id"])).device for row in rows)


async def test_a_record_that_keeps_changing_ends_in_come_again(world: Fakes) -> None:
    await enter(world, {"device_id": "dev-1"})

    async def change() -> None:
        known = world.ledger.read(DeviceId("dev-1")).device
        assert known is not None
        world.ledger.put(DeviceId("dev-1"), known)

    world.calls.meanwhile["ledger.commit"] = change
    with pytest.raises(Unavailable):
        await enter(world, {"device_id": "dev-1", "hardware_serial": "SN-1"})

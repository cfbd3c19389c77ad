"""Events of IoT Hub: in either schema, twice, late and in any order. None is believed, and none is lost."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from sandbox import device as devices
from sandbox import ports
from sandbox.device import Identity
from tests.e2e.est import Site, eventually, leaf, ordinary
from tests.e2e.living import Living, living, made_by_hand
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal, as_cloud_event, in_event_grids_own_schema

POISON = "hub-events-poison"
HUB = ports.HUBS["hub-a"]

type Schema = Callable[..., dict[str, Any]]

SCHEMAS = pytest.mark.parametrize("schema", [in_event_grids_own_schema, as_cloud_event])

pytestmark = pytest.mark.usefixtures("no_poison")


def connection(device: Living, number: int) -> dict[str, object]:
    return device.in_events | {"deviceConnectionStateEventInfo": {"sequenceNumber": f"{number:064X}"}, "moduleId": ""}


@SCHEMAS
def test_connections_are_followed_twice_late_and_out_of_order(
    operator: Operator, portal: Portal, schema: Schema
) -> None:
    device = living(operator, f"events-{schema.__name__}".replace("_", "-"))
    then = datetime.now(UTC) - timedelta(hours=2)
    seen = {"connected": True, "last_seen": then.isoformat()}
    gone = {"connected": False, "last_seen": (then + timedelta(minutes=9)).isoformat()}
    for kind, number, minutes, expected in (
        ("DeviceConnected", 5, 0, seen),
        ("DeviceConnected", 5, 0, seen),
        ("DeviceDisconnected", 4, -30, seen),
        ("DeviceDisconnected", 6, 9, gone),
        ("DeviceConnected", 5, 0, gone),
    ):
        at = then + timedelta(minutes=minutes)
        assert portal.deliver(schema(kind, connection(device, number), at)) == 202
        assert operator.device(device.name)["connection"] == expected, (kind, number)


@SCHEMAS
def test_what_is_not_acted_on_is_acknowledged_and_counted(operator: Operator, portal: Portal, schema: Schema) -> None:
    device = living(operator, f"events-other-{schema.__name__}".replace("_", "-"))
    before = operator.device(device.name)
    ident = f"other-{device.name}"
    for kind, data in (
        ("DeviceTelemetry", {"body": "aGk=", "properties": {}, "systemProperties": {}}),
        ("DeviceRetired", device.in_events),
        ("DeviceDisconnected", connection(device, 9) | {"moduleId": "camera"}),
        ("DeviceCreated", device.in_events | {"deviceId": "events$not@of#dps"}),
    ):
        assert portal.deliver(schema(kind, data, ident=ident)) == 202
    ignored = [one["kind"] for one in portal.log("hub_event_ignored", event_id=ident)]
    names = ["DeviceTelemetry", "DeviceRetired", "DeviceDisconnected", "DeviceCreated"]
    assert ignored == [f"Microsoft.Devices.{name}" for name in names]
    assert portal.deliver(schema("DeviceDeleted", device.in_events | {"deviceId": "events-nobody"}, ident=ident)) == 202
    assert portal.log("hub_event", event_id=ident, outcome="UnknownDevice")
    assert operator.device(device.name) == before
    assert portal.waiting(POISON) == []


@SCHEMAS
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("DeviceCreated", {}),
        ("DeviceDeleted", None),
        ("DeviceDeleted", [{"hubName": "hub-a", "deviceId": "events-nobody"}]),
        ("DeviceConnected", {"hubName": "hub-a", "deviceId": "events-nobody"}),
        ("DeviceConnected", {"hubName": "hub-a", "deviceId": 7}),
    ],
)
def test_a_malformed_event_is_kept_with_an_alarm(
    operator: Operator, portal: Portal, schema: Schema, kind: str, data: object
) -> None:
    """400 would make Event Grid drop it, and any other refusal would make it come for a day."""
    event = schema(kind, data, ident=f"malformed-{kind}-{json.dumps(data)}")
    assert portal.deliver(event) == 202
    (kept,) = portal.waiting(POISON)
    assert (kept["id"], kept["type"], kept["data"]) == (event["id"], f"Microsoft.Devices.{kind}", data)
    assert portal.log("hub_event_poison", event_id=event["id"], queue=POISON)
    assert operator.poison("hub-events") == 1


def test_an_event_of_a_hub_that_is_not_ours_is_acknowledged_and_counted(operator: Operator, portal: Portal) -> None:
    """Where the hub is merely missing in the settings, its devices are bound when they next connect or register."""
    device = living(operator, "events-stranger")
    data = device.in_events | {"hubName": "hub-of-somebody"}
    assert portal.deliver(in_event_grids_own_schema("DeviceCreated", data)) == 202
    assert portal.waiting(POISON) == []
    assert portal.log("hub_event", device_id=device.name, outcome="UnknownHub", hub="hub-of-somebody")
    assert operator.device(device.name)["hub"] == device.hub_name


def test_a_hub_that_does_not_answer_makes_event_grid_come_again(operator: Operator, portal: Portal, site: Site) -> None:
    device = living(operator, "events-outage")
    event = in_event_grids_own_schema("DeviceCreated", device.in_events, ident="outage")
    site.sandbox.fault("IoT Hub", "status", method="GET", path=f"/devices/{device.name}", times=1000, status=503)
    assert portal.deliver(event) == 500
    site.sandbox.control("DELETE", "/faults")
    assert portal.deliver(event) == 202
    assert portal.log("hub_event", event_id="outage", outcome="Done")
    assert portal.waiting(POISON) == []


def test_an_event_of_the_hub_that_a_device_has_left_is_history(operator: Operator, portal: Portal) -> None:
    device = living(operator, "events-moved")
    other = next(name for name in ports.HUBS if name != device.hub_name)
    for kind in ("DeviceCreated", "DeviceDeleted", "DeviceConnected"):
        data = connection(device, 3) | {"hubName": other}
        assert portal.deliver(in_event_grids_own_schema(kind, data, ident="moved")) == 202
    assert [one["outcome"] for one in portal.log("hub_event", event_id="moved")] == ["LeftAlone"] * 3
    shown = operator.device(device.name)
    assert (shown["hub"], shown["block"]["state"], shown["connection"]["connected"]) == (device.hub_name, "none", False)


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_a_thumbprint_of_40_digits_is_known_too(
    operator: Operator, portal: Portal, site: Site, spelled: Callable[[str], str]
) -> None:
    """In either case: bound, renewed beside it, and never offline."""
    name = f"events-sha1-{spelled.__name__}"
    identity = made_by_hand(portal, HUB, name, spelled)
    let_in = partial(devices.connect, HUB, site.sandbox.tls_root, device_id=name)
    serial = f"{identity.leaf.serial_number:x}"
    assert eventually(lambda: operator.device(name)["rotation"]["current"] == serial)
    assert operator.device(name)["hub"] == "hub-a"
    assert eventually(lambda: portal.twin(HUB, name)["tags"].get("certificate", {}).get("serial") == serial)
    assert let_in(identity)[0]

    key = devices.new_key("ec-p256")
    renewed = Identity(key, (leaf(site.enroll(identity, ordinary(name, key))),))
    assert let_in(renewed)[0], "the new one stands beside the old one"
    assert let_in(identity)[0]
    assert operator.device(name)["rotation"]["state"] == "rotating"


def test_a_device_of_the_same_name_in_another_case_is_another_device(operator: Operator, portal: Portal) -> None:
    """The hub tells them apart; DPS does not, so that only the first spelling can be ours."""
    device = living(operator, "Events-Case")
    before = operator.device(device.name)
    for name in ("events-case", "EVENTS-CASE"):
        portal.make_identity(device.hub, name, "ab" * 32)
        portal.delete_identity(device.hub, name)
        told = partial(portal.log, "hub_event", device_id=name)
        assert eventually(lambda told=told: len(told()) == 2)  # type: ignore[misc]
        assert {one["outcome"] for one in told()} == {"UnknownDevice"}
    assert operator.device(device.name) == before
    assert device.let_in()

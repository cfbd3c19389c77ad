"""While a device changes over to its new certificate, its hub lets in the old one and the new one, whatever happens."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from sandbox import device as devices
from sandbox.connected import Connected
from sandbox.device import Identity
from tests.e2e.entries import Entries, Slots, thumbprint
from tests.e2e.est import eventually, leaf, ordinary
from tests.e2e.living import Living, living
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal

LABELS = pytest.mark.parametrize("label", ["est", "individual"])
GRACE_HOURS = 1
BUDGET = 25  # seconds: aziot-identityd gives up after 30


def renewed(device: Living, operation: str = "simpleenroll") -> Identity:
    key = devices.new_key("ec-p256")
    answer = device.site.enroll(device.identity, ordinary(device.name, key), device.label, operation=operation)
    return Identity(key, (leaf(answer), *device.identity.chain[1:]))


def both(device: Living, new: Identity) -> bool:
    return device.let_in() and device.let_in(new)


def alone(device: Living, new: Identity) -> bool:
    return device.let_in(new) and not device.let_in()


def rotation(operator: Operator, device: Living) -> str:
    state: str = operator.device(device.name)["rotation"]["state"]
    return state


@contextmanager
def in_use(device: Living, new: Identity) -> Iterator[None]:
    """The device has changed over, and says so to its hub."""
    trust = partial(devices.tls_context, device.site.sandbox.tls_root)
    with Connected(device.hub, new, trust, lambda old: old, lambda _: device.hub):
        yield


@LABELS
@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_with_the_answer_both_are_let_in_and_nothing_else_has_changed(
    operator: Operator, portal: Portal, label: str, operation: str
) -> None:
    device = living(operator, f"both-{label}-{operation}", label)
    entries = Entries(portal, device)
    entries.made_special()
    before, settled = entries.but_certificates(), portal.log("settle", device_id=device.name)
    assert device.let_in()
    new = renewed(device, operation)
    assert both(device, new)
    pair = Slots(thumbprint(device.identity), thumbprint(new))
    assert entries.in_hub() == pair
    if label == "individual":
        assert entries.in_enrollment() == pair
        assert device.registers().status == "assigned"
    assert entries.but_certificates() == before
    assert portal.log("settle", device_id=device.name) == settled, "a message has helped"
    assert rotation(operator, device) == "rotating"


@LABELS
def test_the_new_one_in_use_takes_the_place_of_the_old(operator: Operator, portal: Portal, label: str) -> None:
    device = living(operator, f"proven-{label}", label)
    entries = Entries(portal, device)
    entries.made_special()
    before = entries.but_certificates()
    new = renewed(device)
    assert both(device, new)
    with in_use(device, new):
        assert eventually(lambda: alone(device, new))
        assert eventually(lambda: rotation(operator, device) == "settled")
    assert entries.in_hub().held == {thumbprint(new)}
    assert entries.but_certificates() == before
    if label == "individual":
        assert eventually(lambda: entries.in_enrollment().held == {thumbprint(new)})
        assert device.registers().status == "refused"
        assert device.registers(new).status == "assigned"


@LABELS
def test_when_the_grace_is_over_the_old_one_goes(operator: Operator, portal: Portal, label: str) -> None:
    device = living(operator, f"grace-{label}", label)
    new = renewed(device)
    for minutes, expected in ((59, both), (61, alone)):
        device.site.sandbox.control("PUT", "/clock", {"offset_seconds": minutes * 60 * GRACE_HOURS})
        settle(portal, device)
        assert expected(device, new), f"{minutes} minutes after"
    assert rotation(operator, device) == "settled"
    if label == "individual":
        assert device.registers().status == "refused"
        assert device.registers(new).status == "assigned"


def settle(portal: Portal, device: Living) -> None:
    """What the renewal has put into the queue, for when the grace is over: the queue keeps its own time."""
    before = len(portal.log("settle", device_id=device.name))
    with portal.queue("settle") as queue:
        queue.send_message(json.dumps({"deviceId": device.name, "label": device.label}))
    assert eventually(lambda: len(portal.log("settle", device_id=device.name)) > before)


@LABELS
def test_registering_with_the_new_one_ends_it(operator: Operator, label: str) -> None:
    """DPS writes the thumbprint over both."""
    device = living(operator, f"again-{label}", label)
    new = renewed(device)
    assert both(device, new)
    assert device.registers(new).hub == device.hub
    assert alone(device, new)
    assert eventually(lambda: rotation(operator, device) == "settled")
    assert alone(device, new)


@LABELS
def test_registering_with_the_old_one_meanwhile_leaves_both(operator: Operator, portal: Portal, label: str) -> None:
    """As Azure's client does when its new certificate has not reached its disk."""
    device = living(operator, f"back-{label}", label)
    entries = Entries(portal, device)
    new = renewed(device)
    assert device.registers().hub == device.hub
    assert device.let_in(), "the one in use is never refused"
    assert eventually(lambda: both(device, new))
    assert entries.in_hub() == Slots(thumbprint(device.identity), thumbprint(new))
    assert device.registers(new).status == "assigned"
    assert device.let_in(new)


@pytest.mark.parametrize(
    ("label", "fault"),
    [("est", "throttled"), ("est", "down"), ("individual", "throttled"), ("individual", "hanging")],
)
def test_a_hub_in_trouble_delays_the_new_one_and_keeps_the_old(
    operator: Operator, portal: Portal, label: str, fault: str
) -> None:
    """What cannot be done within the time that a device waits is done by the settle queue."""
    device = living(operator, f"trouble-{fault}-{label}", label)
    entries = Entries(portal, device)
    before = entries.but_certificates()
    plan(device, fault)
    began = time.monotonic()
    new = renewed(device)
    assert time.monotonic() - began < BUDGET
    assert device.let_in()
    assert eventually(lambda: portal.log("settle", device_id=device.name), 20)
    assert both(device, new)
    assert not device.site.sandbox.control("GET", "/faults"), "the hub was in no trouble"
    if label == "individual":
        assert entries.in_enrollment() == entries.in_hub()
        assert device.registers(new).status == "assigned"
        assert device.let_in(new)
    assert entries.but_certificates() == before


def plan(device: Living, fault: str) -> None:
    """Of what Birthcert asks of the registry. A broken connection is tried again at once, so it breaks twice."""
    path, sandbox = f"/devices/{device.name}", device.site.sandbox
    match fault:
        case "throttled":
            sandbox.fault("IoT Hub", "throttle", method="PUT", path=path)
        case "hanging":
            sandbox.fault("IoT Hub", "delay", method="GET", path=path, seconds=20)
        case _:
            sandbox.fault("IoT Hub", "drop", method="GET", path=path, times=2)


@LABELS
def test_an_identity_that_changes_meanwhile_is_read_again(operator: Operator, portal: Portal, label: str) -> None:
    """412: somebody else has written it, and what they wrote stays."""
    device = living(operator, f"changed-{label}", label)
    device.site.sandbox.fault("IoT Hub", "status", method="PUT", path=f"/devices/{device.name}", status=412, times=2)
    new = renewed(device)
    assert both(device, new)
    assert not device.site.sandbox.control("GET", "/faults"), "the hub has not refused"
    assert portal.log("settle", device_id=device.name) == [], "a message has helped"

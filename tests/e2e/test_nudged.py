"""A device whose certificate is due is asked to renew, and changes over without a moment offline; or comes too late."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from sandbox import device as devices
from sandbox.connected import Connected
from sandbox.connected import Json as Desired
from sandbox.device import DeviceError, Identity
from tests.e2e.entries import Entries, thumbprint
from tests.e2e.est import Site, eventually, leaf, ordinary, refused
from tests.e2e.living import Living, living
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal
from tests.e2e.wire import Answer

RENEWAL_POINT = 0.8
LATE_DAYS = 7  # `accept_expired_days` of the label `rest`; of the others 0
PATIENCE = 30.0  # the first scan of a session looks back for 90 days, and finds all that the other tests have left
RESTART = 0.8  # a hub tells of nothing that is over within one of its snapshots


def travel(site: Site, to: datetime) -> None:
    site.sandbox.control("PUT", "/clock", {"offset_seconds": (to - datetime.now(UTC)).total_seconds()})


def at(identity: Identity, share: float) -> datetime:
    """When this share of its lifetime is over."""
    begin, end = identity.leaf.not_valid_before_utc, identity.leaf.not_valid_after_utc
    return begin + (end - begin) * share


@dataclass
class Online:
    """What a connected device tells, and whether both of its certificates worked when it changed over."""

    living: Living
    told: list[str] = field(default_factory=list)

    def renew(self, old: Identity) -> Identity:
        new = self.living.renewed(old)
        if not (self.living.let_in(old) and self.living.let_in(new)):
            raise DeviceError("offline while it changes over")
        return new

    def connected(self, firmware: type[Connected]) -> Connected:
        trust = partial(devices.tls_context, self.living.site.sandbox.tls_root)
        hub, identity = self.living.hub, self.living.identity
        return firmware(hub, identity, trust, self.renew, self.register, self.told.append, restart=RESTART)

    def register(self, new: Identity) -> str:
        raise DeviceError(f"{new.name} had to go to DPS")


class WithoutTwin(Connected):
    """Firmware that knows the direct method alone."""

    def wished(self, desired: Desired) -> None:
        pass


@pytest.fixture(autouse=True)
def _nobody_else_is_asked(portal: Portal) -> Iterator[None]:
    """In the time that these tests travel to, all devices of the session are due."""
    yield
    portal.clear("nudge")


def changes_over(operator: Operator, portal: Portal, device: Living, online: Connected) -> None:
    """The scan finds the device once it is due, and the device is never offline."""
    old = device.identity
    with online:
        assert portal.log("nudge", device_id=device.name) == []
        # The very day: a scan goes on from the last one, which other tests may have had in a farther future.
        travel(device.site, at(old, RENEWAL_POINT) + timedelta(seconds=1))
        portal.run_timer("expiry_scan")
        assert eventually(lambda: online.renewals or online.refusals, PATIENCE)
        new = online.identity
        assert thumbprint(new) != thumbprint(old)
        assert eventually(lambda: device.let_in(new) and not device.let_in(old))
        assert eventually(lambda: operator.device(device.name)["rotation"]["state"] == "settled")
        assert (online.renewals, online.refusals) == (1, [])
    assert eventually(lambda: portal.log("nudge", device_id=device.name))
    tagged, serial = Entries(portal, device), f"{new.leaf.serial_number:x}"
    assert eventually(lambda: tagged.twin()["tags"]["certificate"]["serial"] == serial)


def test_a_due_certificate_is_renewed_by_a_desired_property(operator: Operator, portal: Portal, site: Site) -> None:
    """The name comes first in the index, which is read in order, and slowly."""
    device = living(operator, "0-asked-by-property", "est")
    path = f"/twins/{device.name}/methods"
    site.sandbox.fault("IoT Hub", "status", method="POST", path=path, times=1000, status=404)
    online = Online(device)
    changes_over(operator, portal, device, online.connected(Connected))
    assert "is asked to renew by a desired property" in online.told
    desired = Entries(portal, device).twin()["properties"]["desired"]["certificate"]
    assert (desired["renew"], desired["urgency"]) == (device.serial, "due")


def test_a_due_certificate_is_renewed_by_a_direct_method(operator: Operator, portal: Portal) -> None:
    device = living(operator, "0-asked-by-method", "individual")
    online = Online(device)
    changes_over(operator, portal, device, online.connected(WithoutTwin))
    assert "is asked to renew by the direct method `renew`" in online.told


def reenrolls(device: Living, operation: str = "simplereenroll") -> tuple[Answer, Identity]:
    key = devices.new_key("ec-p256")
    answer = device.site.enroll(device.identity, ordinary(device.name, key), device.label, operation=operation)
    return answer, Identity(key, (leaf(answer) if answer.status == 200 else device.identity.leaf,))


def test_a_device_that_comes_back_late_renews_as_long_as_its_profile_waits(operator: Operator, site: Site) -> None:
    device, patient = living(operator, "late-by-days", "rest"), timedelta(days=LATE_DAYS)
    end = device.identity.leaf.not_valid_after_utc
    travel(site, end + timedelta(days=3))
    assert not device.let_in()
    assert device.registers().status != "assigned"
    with site.nothing_issued():
        refused(reenrolls(device, "simpleenroll")[0], 401, "expired")
    answer, new = reenrolls(device)
    assert answer.status == 200, answer.text
    assert device.registers(new).hub == device.hub
    assert device.let_in(new)
    travel(site, end + patient + timedelta(minutes=1))
    with site.nothing_issued():
        refused(reenrolls(device)[0], 401, "expired")


@pytest.mark.parametrize("label", ["est", "individual"])
def test_a_device_that_comes_back_late_is_refused_where_the_profile_does_not_wait(
    operator: Operator, site: Site, label: str
) -> None:
    device = living(operator, f"late-{label}", label)
    travel(site, device.identity.leaf.not_valid_after_utc + timedelta(minutes=1))
    with site.nothing_issued():
        for operation in ("simpleenroll", "simplereenroll"):
            refused(reenrolls(device, operation)[0], 401, "expired")
    assert device.registers().status != "assigned"
    assert not device.let_in()

"""A hub has lost an identity: by the profile the device is revoked or may come back. What is told late is history."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox import ports
from tests.e2e.est import Site, eventually
from tests.e2e.living import living, made_by_hand
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal, as_cloud_event, in_event_grids_own_schema


def test_a_device_whose_identity_was_deleted_is_revoked_once_however_often_it_is_told(
    operator: Operator, portal: Portal, site: Site
) -> None:
    """By a profile that says so."""
    name = "events-deleted"
    device = living(operator, name, "est")
    site.sandbox.control("PUT", "/event-grid", {"duplicates": 3, "reorder": True})
    mark = site.sandbox.mark()
    portal.delete_identity(device.hub, device.name)

    def deliveries() -> list[dict[str, Any]]:
        entries = site.sandbox.journal(mark)
        return [one for one in entries if one["event"] == "event delivery" and one["subject"].endswith(device.name)]

    assert eventually(lambda: len(deliveries()) >= 4)
    assert eventually(lambda: (operator.device(device.name)["saga"] or {}).get("done"))
    assert {one["outcome"] for one in deliveries()} == {202}
    shown = operator.device(device.name)
    assert (shown["block"]["state"], shown["block"]["reason"]) == ("revoked", "cessationOfOperation")
    assert (shown["saga"]["caller"], shown["saga"]["verb"]) == ("IoT Hub", "revoke")
    assert shown["saga"]["comment"] == f"the identity was deleted from {device.hub_name}"
    assert device.on_the_books() == {"REVOKED"}
    device.is_shut_out()
    assert portal.identity(device.hub, device.name) is None

    def published() -> set[str]:
        return {one["id"] for one in site.sandbox.control("GET", "/event-grid/published") if one["subject"] == name}

    assert eventually(lambda: len(published()) >= 3), "issued, blocked, revoked"
    assert len(published()) == 3


def test_a_device_whose_identity_was_deleted_may_come_back(operator: Operator, portal: Portal) -> None:
    """By a profile that says so: nothing is revoked, and its next registration makes a new identity."""
    device = living(operator, "events-ignored", "unwrapped")
    portal.delete_identity(device.hub, device.name)
    assert eventually(lambda: operator.device(device.name)["hub"] is None)
    shown = operator.device(device.name)
    assert (shown["block"]["state"], shown["saga"]) == ("none", None)
    assert device.on_the_books() == {"ISSUED"}
    assert device.registers().hub == device.hub
    assert eventually(lambda: operator.device(device.name)["hub"] == device.hub_name)
    assert device.let_in()


def test_a_deletion_that_is_told_after_the_device_has_come_back_is_history(
    operator: Operator, portal: Portal, site: Site
) -> None:
    """The registry does not answer at the first delivery; at a later one the identity is there again."""
    device = living(operator, "events-late", "est")
    site.sandbox.fault("IoT Hub", "status", method="GET", path=f"/devices/{device.name}", times=1000, status=503)
    mark = site.sandbox.mark()
    portal.delete_identity(device.hub, device.name)

    def told() -> list[object]:
        entries = (one for one in site.sandbox.journal(mark) if one["event"] == "event delivery")
        return [one["outcome"] for one in entries if one["type"].endswith("Deleted") and device.name in one["subject"]]

    assert eventually(told) == [500]
    assert device.registers().status == "assigned"
    site.sandbox.control("DELETE", "/faults")
    assert eventually(lambda: 202 in told())
    assert portal.log("hub_event", device_id=device.name, kind="Microsoft.Devices.DeviceDeleted", outcome="LeftAlone")
    # And once more, hours later, as a copy that Event Grid had kept back.
    hours_ago = datetime.now(UTC) - timedelta(hours=20)
    assert portal.deliver(as_cloud_event("DeviceDeleted", device.in_events, hours_ago)) == 202
    shown = operator.device(device.name)
    assert (shown["block"]["state"], shown["saga"], shown["hub"]) == ("none", None, device.hub_name)
    assert device.let_in()
    assert device.on_the_books() == {"ISSUED"}


def test_a_deletion_in_another_hub_is_not_the_devices_own(operator: Operator, portal: Portal) -> None:
    """Of such a device DPS knows nothing: that it lives elsewhere stands in the ledger alone."""
    name = "events-elsewhere"
    made_by_hand(portal, ports.HUBS["hub-a"], name)
    assert eventually(lambda: operator.device(name)["hub"] == "hub-a")
    data = {"hubName": "hub-b", "deviceId": name}
    assert portal.deliver(in_event_grids_own_schema("DeviceDeleted", data, ident="elsewhere")) == 202
    assert [one["outcome"] for one in portal.log("hub_event", event_id="elsewhere")] == ["LeftAlone"]
    assert operator.device(name)["block"]["state"] == "none"

"""DPS's diagnostic records: an operator is told who was refused and why, and no record keeps another one waiting."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from sandbox.device import Identity
from tests.e2e.est import Site, eventually, leaf
from tests.e2e.living import Living, living, register
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal

SCHEMAS = pytest.mark.parametrize("as_text", [False, True], ids=["properties as an object", "properties as a text"])
NO_CA = "401002: CA certificate not found."


def record(name: str, reason: str = "", *, at: datetime | None = None, as_text: bool = False) -> dict[str, Any]:
    """As the sandbox's DPS writes them, and as Azure's pages show them: a refusal where there is a reason."""
    code, _, description = reason.partition(": ")
    properties = {"id": name, "type": "Registration", "protocol": "Http"}
    return {
        "time": (at or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
        "resourceId": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/SANDBOX/PROVIDERS/MICROSOFT.DEVICES/PROVISIONINGSERVICES/ANY",
        "operationName": "AttestationAttempt",
        "category": "DeviceOperations",
        "level": "Error" if reason else "Information",
        "resultType": "Failure" if reason else "Success",
        "resultSignature": code,
        "resultDescription": description,
        "callerIpAddress": "203.0.113.XXX",
        "properties": json.dumps(properties) if as_text else properties,
    }


def failure(operator: Operator, name: str) -> dict[str, str] | None:
    found: dict[str, str] | None = operator.device(name)["failure"]
    return found


@SCHEMAS
def test_why_dps_refuses_a_device_is_told(operator: Operator, portal: Portal, site: Site, *, as_text: bool) -> None:
    """It comes with the certificate of its factory, which DPS does not know: a mistake of every day."""
    site.sandbox.control("PUT", "/dps", {"properties_as_text": as_text})
    device = living(operator, f"logs-refused-{as_text}".lower())
    before = datetime.now(UTC)
    assert device.registers(device.factory).status == "refused"
    found = eventually(lambda: failure(operator, device.name))
    assert found is not None
    assert (found["reason"], found["address"]) == (NO_CA, "127.0.0.XXX")
    assert abs(datetime.fromisoformat(found["at"]) - before) < timedelta(seconds=10)
    (told,) = portal.log("dps_refused", device_id=device.name)
    assert (told["reason"], told["address"], told["outcome"]) == (NO_CA, "127.0.0.XXX", "Done")
    assert device.registers().status == "assigned", "a refusal that is over keeps nobody out"


def test_a_blocked_device_that_tries_is_seen(operator: Operator, site: Site) -> None:
    """Whether DPS keeps it out by its enrollment, or asks us because it could not be told."""
    stopped, asking = living(operator, "logs-stopped"), living(operator, "logs-asking")
    path = f"/enrollments/{asking.name}"
    site.sandbox.fault("DPS", "status", path=path, times=1000, status=503, headers={"Retry-After": "30"})
    for device, reason in (
        (stopped, "disabled"),
        (asking, "400209: Custom allocation failed with status code: 403"),
    ):
        operator.post(f"/api/devices/{device.name}/hold")
        assert device.registers().status in {"disabled", "failed"}
        assert eventually(lambda device=device: failure(operator, device.name))  # type: ignore[misc]
        assert (failure(operator, device.name) or {})["reason"] == reason


@SCHEMAS
def test_a_registration_record_stands_in_for_an_event_that_was_lost(
    operator: Operator, portal: Portal, site: Site, *, as_text: bool
) -> None:
    name = f"logs-lost-{as_text}".lower()
    newborn = site.newborn(name)
    identity = Identity(newborn.key, (leaf(newborn.ask()),))
    site.sandbox.fault("IoT Hub", "status", method="GET", path=f"/devices/{name}", times=1000, status=403)
    hub = register(site, identity).hub
    assert eventually(lambda: [one for one in portal.waiting("hub-events-poison") if one["data"]["deviceId"] == name])
    portal.clear("hub-events-poison")
    site.sandbox.control("DELETE", "/faults")
    assert portal.dps_logs({"records": [record(name, as_text=as_text)]}) == 202
    assert operator.device(name)["rotation"]["state"] == "settled"
    assert portal.identity(hub, name) is not None
    assert "Done" in {one["outcome"] for one in portal.log("dps_registered", device_id=name)}
    assert not portal.log("hub_event", device_id=name)


def test_what_cannot_be_read_keeps_nobody_waiting(operator: Operator, portal: Portal) -> None:
    """Among good records, in one batch and within one event: everything but the good ones is counted and left."""
    first, last = living(operator, "logs-first"), living(operator, "logs-last")
    ignored = len(portal.log("dps_record_ignored"))
    bad = [
        "7",
        [],
        {},
        {**record("logs-first"), "category": "ServiceOperations"},
        {**record("logs-first", NO_CA), "category": None},
        {**record("logs-first", NO_CA), "properties": "no JSON"},
        {**record("logs-first", NO_CA), "properties": {"type": "Registration"}},
        {**record("logs-first", NO_CA), "properties": {"id": 'x\n{"event": "dps_refused"}'}},
        {**record("logs-first", NO_CA), "time": "yesterday"},
    ]
    unknown = record("logs-nobody", "404001: Not found")
    mixed = [record("LOGS-FIRST", "401003: first"), *bad, unknown, record(last.name, "401003: last", as_text=True)]
    status = portal.dps_logs("no JSON at all", {"records": "none"}, {"records": mixed}, record(last.name, NO_CA))
    assert status == 202
    assert (failure(operator, first.name) or {})["reason"] == "401003: first", "registration ids have no case"
    assert (failure(operator, last.name) or {})["reason"] == NO_CA, "the latest counts"
    assert len(portal.log("dps_record_ignored")) - ignored == len(bad) + 2
    (stranger,) = portal.log("dps_refused", device_id="logs-nobody")
    assert (stranger["outcome"], stranger["reason"]) == ("UnknownDevice", "404001: Not found")
    assert stranger["address"] == "203.0.113.XXX"


def test_records_come_late_twice_and_in_any_order(operator: Operator, portal: Portal) -> None:
    device = living(operator, "logs-order")
    now = datetime.now(UTC)
    newer = record(device.name, "401003: newer", at=now)
    older = record(device.name, "401002: older", at=now - timedelta(hours=3))
    for batch in ([newer], [older], [newer, older, newer], [{**newer, "resultDescription": "again"}]):
        assert portal.dps_logs({"records": batch}) == 202
        found = failure(operator, device.name)
        assert found is not None
        assert found["reason"] == "401003: newer"
        assert datetime.fromisoformat(found["at"]) == now


def test_a_record_that_meets_an_outage_is_handled_after_it(operator: Operator, portal: Portal, site: Site) -> None:
    """The batch comes again for its sake by the retry policy, and the others are not kept waiting for it."""
    device, other = living(operator, "logs-outage"), living(operator, "logs-beside")
    handled = partial(portal.log, "dps_registered", device_id=device.name)
    assert eventually(handled), "the record of its registration"
    site.sandbox.fault("DPS", "status", path=f"/registrations/{device.name}", status=503, headers={"Retry-After": "9"})
    with ThreadPoolExecutor() as pool:
        batch = pool.submit(portal.dps_logs, {"records": [record(device.name), record(other.name, NO_CA)]})
        assert eventually(lambda: failure(operator, other.name), 3)
        assert len(handled()) == 1
        assert batch.result() == 202
    assert len(handled()) == 2
    outcomes = [one["outcome"] for one in portal.log("dps_refused", device_id=other.name)]
    assert outcomes == ["Done", "LeftAlone"], "the batch came twice"


def test_a_record_that_can_never_be_handled_is_alarmed_and_left(operator: Operator, portal: Portal, site: Site) -> None:
    """Else it would hold up all that come after it, and be given up with them."""
    device, other = living(operator, "logs-poison"), living(operator, "logs-after")
    assert eventually(lambda: portal.log("dps_registered", device_id=device.name)), "the record of its registration"
    site.sandbox.fault("DPS", "status", path=f"/registrations/{device.name}", times=1000, status=403)
    assert portal.dps_logs({"records": [record(device.name), record(other.name, NO_CA)]}) == 202
    assert (failure(operator, other.name) or {})["reason"] == NO_CA
    (alarm,) = portal.log("dps_record_poison", device_id=device.name)
    assert "403" in alarm["cause"]


def test_a_success_does_not_hide_why_the_device_was_refused_before(operator: Operator, portal: Portal) -> None:
    device: Living = living(operator, "logs-history")
    assert portal.dps_logs({"records": [record(device.name, NO_CA)]}) == 202
    assert portal.dps_logs({"records": [record(device.name)]}) == 202
    assert (failure(operator, device.name) or {})["reason"] == NO_CA

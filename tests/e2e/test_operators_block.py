"""A block closes every door, in whatever state the other systems are; a hold is undone everywhere."""

import json

import pytest

from sandbox import device as devices
from sandbox.connected import Connected
from tests.e2e import wire
from tests.e2e.est import Site, eventually
from tests.e2e.living import living
from tests.e2e.operators import Operator, problem, read
from tests.e2e.portal import Portal

LABELS = pytest.mark.parametrize("label", ["est", "rest", "individual"])
MODES = pytest.mark.parametrize("label", ["rest", "individual"])  # of DPS
STOLEN = {"reason": "keyCompromise", "comment": "stolen"}


@LABELS
def test_a_revoked_device_is_refused_everywhere_and_for_ever(operator: Operator, label: str) -> None:
    device = living(operator, f"ops-revoked-{label}", label)
    fresh = device.renewed()
    saga = operator.done(device.name, "revoke", STOLEN)["saga"]
    assert saga["done"]
    assert [step["name"] for step in saga["steps"]] == ["dps", "hub", "digicert", "announce"]
    device.is_shut_out()
    assert device.registers(fresh).status != "assigned"
    assert not device.let_in(fresh)
    assert device.on_the_books() == {"REVOKED"}

    shown = operator.device(device.name)
    assert (shown["block"]["state"], shown["block"]["reason"]) == ("revoked", "keyCompromise")
    assert {one["status"] for one in shown["certificates"]} == {"revoked"}
    assert shown["saga"] == saga
    for verb, words in (("restore", "cannot be undone"), ("hold", "would weaken"), ("renew", "is blocked")):
        status, kind, detail = problem(operator.post(f"/api/devices/{device.name}/{verb}"))
        assert (status, kind) == (409, "Conflict")
        assert words in detail


@MODES
def test_a_device_on_hold_is_refused_until_it_is_restored(operator: Operator, label: str) -> None:
    device = living(operator, f"ops-held-{label}", label)
    operator.done(device.name, "hold", {"comment": "in repair"})
    assert operator.device(device.name)["block"]["state"] == "hold"
    device.is_shut_out()
    assert device.on_the_books() == {"ISSUED"}, "DigiCert's own hold could not surely be undone"
    operator.done(device.name, "restore")
    assert operator.device(device.name)["block"] == {"state": "none", "reason": None, "since": None}
    assert device.let_in()
    assert device.registers().status == "assigned"
    assert device.renewed().leaf != device.identity.leaf
    assert problem(operator.post(f"/api/devices/{device.name}/restore"))[0] == 409


def test_a_connected_device_is_cut_off_by_a_hold_and_comes_back_by_itself(operator: Operator, site: Site) -> None:
    device = living(operator, "ops-held-online")
    with Connected(device.hub, device.identity, site.tls, device.renewed, lambda _: device.hub) as live:
        operator.done(device.name, "hold")
        assert eventually(lambda: live.refusals)
        assert not live.online.is_set()
        operator.done(device.name, "restore")
        assert eventually(live.online.is_set)


def test_a_hold_can_become_a_revocation(operator: Operator) -> None:
    device = living(operator, "ops-held-revoked")
    operator.done(device.name, "hold")
    operator.done(device.name, "revoke", STOLEN)
    device.is_shut_out()
    assert device.on_the_books() == {"REVOKED"}
    assert operator.device(device.name)["saga"]["verb"] == "revoke"


@MODES
def test_a_decommissioned_device_has_no_identity_any_more(operator: Operator, portal: Portal, label: str) -> None:
    device = living(operator, f"ops-retired-{label}", label)
    assert portal.identity(device.hub, device.name) is not None
    operator.done(device.name, "decommission", {"reason": "cessationOfOperation"})
    assert portal.identity(device.hub, device.name) is None
    device.is_shut_out()
    assert device.on_the_books() == {"REVOKED"}
    # The hub tells of the identity's end, and that is nobody's wish to revoke it once more.
    assert eventually(lambda: portal.log("hub_event", kind="Microsoft.Devices.DeviceDeleted", device_id=device.name))
    assert operator.device(device.name)["saga"]["verb"] == "decommission"


def test_no_block_waits_for_a_system_that_is_down(operator: Operator, portal: Portal, site: Site) -> None:
    """DPS is down: every other door closes at once, the saga is listed as stuck, and the sweep ends it."""
    device = living(operator, "ops-dps-down")
    down = {"status": 503, "headers": {"Retry-After": "30"}, "times": 1000}
    site.sandbox.fault("DPS", "status", path=f"/enrollments/{device.name}", **down)
    answer = operator.post(f"/api/devices/{device.name}/revoke", STOLEN)
    assert answer.status == 202
    begun = read(answer)
    assert not begun["done"]
    assert int(answer.header("Retry-After")) > 0
    assert operator.get(answer.header("Location"))["saga"]["id"] == begun["saga"]["id"]
    assert device.asks().status == 403
    assert device.registers().status == "failed", "DPS knows of no block, and asks us"
    assert not device.let_in()
    assert device.on_the_books() == {"REVOKED"}

    for stuck in ("true", "false"):
        listed = operator.get(f"/api/sagas?stuck={stuck}")
        assert listed["complete"]
        (saga,) = [one["saga"] for one in listed["sagas"] if one["device_id"] == device.name]
    step = saga["steps"][0]
    assert (step["name"], step["done_at"]) == ("dps", None)
    assert step["failures"] > 0
    assert "503" in step["error"]
    portal.run_timer("sweep")
    (alarm,) = eventually(lambda: portal.log("stuck", device_id=device.name))[:1]
    assert alarm["kind"] == "saga"
    assert "503" in alarm["cause"]

    site.sandbox.control("DELETE", "/faults")
    portal.run_timer("sweep")
    assert eventually(lambda: operator.device(device.name)["saga"]["done"])
    assert device.name not in {one["device_id"] for one in operator.get("/api/sagas")["sagas"]}
    device.is_shut_out()


def test_a_device_whose_hub_is_down_is_blocked_there_when_it_is_up_again(
    operator: Operator, portal: Portal, site: Site
) -> None:
    device = living(operator, "ops-hub-down")
    site.sandbox.fault("IoT Hub", "status", path=f"/devices/{device.name}", times=1000)
    answer = operator.post(f"/api/devices/{device.name}/hold")
    assert answer.status == 202
    assert device.registers().status == "disabled", "DPS is not kept waiting"
    site.sandbox.control("DELETE", "/faults")
    assert device.let_in(), "the hub was really not told"
    portal.run_timer("sweep")
    assert eventually(lambda: operator.device(device.name)["saga"]["done"])
    device.is_shut_out()


def test_who_asked_and_why_is_kept_everywhere(operator: Operator, portal: Portal, site: Site) -> None:
    """With the saga, in the log, and in the event that subscribers get. Who has not signed in is marked so.

    Nobody can sign in here: the platform's header would be the client's own, also where no front end removes it.
    """
    device = living(operator, "ops-audit")
    body = {"reason": "privilegeWithdrawn", "comment": "ticket 4711"}
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", "audit-1"), ("X-Caller", "zoe")]
    headers += [operator.key, ("x-ms-client-principal-name", "somebody@else.example")]
    raw = wire.request("POST", f"/api/devices/{device.name}/revoke", json.dumps(body).encode(), headers)
    saga = read(wire.send(None, raw, port=wire.HOST))["saga"]
    assert (saga["caller"], saga["reason"], saga["comment"]) == ("zoe (function key)", *body.values())
    assert operator.device(device.name)["saga"] == saga
    (record,) = eventually(lambda: portal.log("ops", device_id=device.name, operation="ops_revoke"))
    told = [record[key] for key in ("caller", "stated_reason", "comment", "key", "saga", "status")]
    assert told == ["zoe (function key)", *body.values(), "audit-1", saga["id"], 200]

    def announced() -> list[dict[str, str]]:
        published = site.sandbox.control("GET", "/event-grid/published")
        return [one["data"] for one in published if one["subject"] == device.name and one["id"].endswith(saga["id"])]

    assert eventually(lambda: len(announced()) >= 2), "blocked, and revoked everywhere"
    expected = {"verb": "revoke", "reason": body["reason"], "caller": "zoe (function key)"}
    assert all(expected.items() <= data.items() for data in announced())


def test_a_device_of_another_name_is_left_alone(operator: Operator, site: Site) -> None:
    """Names that hold each other: the block of one never closes a door of the other."""
    other, device = living(operator, "ops-name"), living(operator, "ops-name-1")
    operator.done(other.name, "revoke", STOLEN)
    assert device.let_in()
    assert devices.connect(device.hub, site.sandbox.tls_root, other.identity, device.name)[0] is False
    assert device.registers().status == "assigned"
    assert device.asks().status == 200
    assert device.on_the_books() == {"ISSUED"}

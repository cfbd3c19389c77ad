"""The operators' API as the Functions worker sees it: what is done, what is answered, and what is recorded."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters import poison
from shared.core.errors import Unavailable
from shared.core.fleet import Change, Failure
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from tests.conftest import REPOSITORY
from tests.fakes.clock import START, IdleLoop
from tests.functions.calling import REQUEST_ID
from tests.functions.ops_api import JSON, Api, last, problem, read

REVOKE = "/api/devices/dev-1/revoke"
LOST = {"reason": "keyCompromise", "comment": "lost at sea"}
SIGNED_IN = {"x-ms-client-principal-name": "zoe@example.com"}


@pytest.fixture
def api() -> Iterator[Api]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Api(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def test_the_view_of_a_device_has_everything(api: Api) -> None:
    device = api.born("Dev-1", "0a", "0b")
    failed = replace(
        device, rotating_since=START, current="0a", failure=Failure("expired", START, "::1"), nudged_at=START
    )
    said = event("issued", device.device_id, START, "0b", serial="0b")
    asyncio.run(api.world.ledger.commit(api.world.ledger.read(device.device_id), Change(failed, events=(said,))))
    api.post("/api/devices/dev-1/hold", LOST)
    response = api.get("/api/devices/dEV-1")
    view = read(response)
    assert response.status_code == 200
    assert (view["device_id"], view["block"]["state"], view["rotation"]["state"]) == ("Dev-1", "hold", "rotating")
    assert [one["serial"] for one in view["certificates"]] == ["0a", "0b"]
    assert [(one["kind"], one["serial"]) for one in view["events"]] == [("blocked", None), ("issued", "0b")]
    assert (view["events"][0]["published"], view["events_unpublished"]) == (False, 2)
    known = api.world.ledger.read(device.device_id)
    assert known.device is not None
    asyncio.run(api.world.ledger.commit(known, Change(known.device, published=tuple(one.id for one in known.outbox))))
    view = read(api.get("/api/devices/dev-1"))
    assert [(one["kind"], one["published"]) for one in view["events"]] == [("blocked", True), ("issued", True)]
    assert view["events_unpublished"] == 0


def test_certificates_come_page_by_page(api: Api) -> None:
    for number in range(5):
        api.born(f"dev-{number}", f"{number}a")
    first = read(api.get("/api/certificates?limit=2&code=key"))
    assert (len(first["certificates"]), first["source"]) == (2, "whole ledger")
    rest = read(api.get(f"/api/certificates?continuation={first['continuation']}"))
    assert [one["device_id"] for one in rest["certificates"]] == ["dev-2", "dev-3", "dev-4"]
    assert rest["continuation"] is None
    due = read(api.get("/api/certificates?expires_before=2027-01-01&label=devices&limit=100"))
    assert (len(due["certificates"]), due["source"]) == (5, "due index")
    wrong = api.get(f"/api/certificates?status=issued&continuation={first['continuation']}")
    assert problem(wrong)[:2] == (400, "Malformed")
    assert problem(api.get("/api/certificates?limits=2"))[2].startswith('unknown parameters: "limits"')


def test_a_revocation_that_is_done_is_200(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.born()
    response = api.post(REVOKE, LOST, X_Caller="Zoë")
    found = read(response)
    assert (response.status_code, found["done"], found["saga"]["verb"]) == (200, True, "revoke")
    assert (found["saga"]["caller"], found["saga"]["comment"]) == ("Zoë (function key)", "lost at sea")
    record = last(records)
    assert (record["event"], record["operation"], record["device_id"]) == ("ops", "ops_revoke", "dev-1")
    assert (record["caller"], record["stated_reason"]) == ("Zoë (function key)", "keyCompromise")
    assert (record["comment"], record["key"], record["saga"]) == ("lost at sea", "k1", found["saga"]["id"])
    assert (record["status"], record["request_id"], record["outcome"]) == (200, REQUEST_ID, "Answered")


def test_while_the_saga_runs_the_answer_says_where_to_look(api: Api) -> None:
    api.born("Dev:1")
    api.world.calls.fail("enrollments.block", lambda: Unavailable("down", retry_after=3, cause="429"))
    response = api.post("/api/devices/dev:1/decommission", LOST)
    assert (response.status_code, read(response)["done"]) == (202, False)
    location = response.headers["Location"]
    assert location == "/api/devices/Dev:1"
    assert read(api.get(location))["saga"]["steps"][0]["failures"] == 1
    assert read(api.get("/api/sagas?stuck=true"))["sagas"][0]["device_id"] == "Dev:1"
    again = api.post("/api/devices/dev:1/decommission", LOST)
    assert (again.status_code, read(again)["saga"]["id"]) == (200, read(response)["saga"]["id"])
    assert read(api.get("/api/sagas")) == {"sagas": [], "complete": True}


def test_hold_restore_and_hold_again(api: Api) -> None:
    api.born()
    for key, verb, state in (("k1", "hold", "hold"), ("k2", "restore", "none"), ("k3", "hold", "hold")):
        assert api.post(f"/api/devices/dev-1/{verb}", key=key).status_code == 200
        assert read(api.get("/api/devices/dev-1"))["block"]["state"] == state


def test_a_device_is_asked_to_renew(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.born("dev-1", "0a")
    response = api.post("/api/devices/DEV-1/renew", {"comment": "before the audit"})
    assert (response.status_code, response.headers["Location"]) == (202, "/api/devices/dev-1")
    assert read(response) == {"device_id": "dev-1", "serial": "0a", "done": False}
    record = last(records)
    assert (record["caller"], record["comment"]) == ("function key", "before the audit")
    assert (record["device_id"], record["serial"]) == ("dev-1", "0a")
    api.born("dev-1", "0a", "0b")
    assert api.post("/api/devices/dev-1/renew", {"comment": "before the audit"}).status_code == 200


def test_poison_is_counted_and_replayed_once_for_each_key(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.world.poison.messages["saga"] = ["a", "b", "c"]
    for key in ("k1", "k1", "k2"):
        response = api.post("/api/poison/saga/replay", {"limit": 1, "comment": "mended"}, key=key, X_Caller="Zoë")
        assert (response.status_code, read(response)) == (200, {"queue": "saga", "replayed": 1})
    assert (last(records)["queue"], last(records)["moved"], last(records)["caller"]) == (
        "saga",
        1,
        "Zoë (function key)",
    )
    queues = read(api.get("/api/poison"))["queues"]
    assert queues == [{"queue": "settle", "messages": 0}, {"queue": "saga", "messages": 1}]
    assert problem(api.post("/api/poison/nothing/replay"))[:2] == (404, "NotFound")


def test_a_name_that_the_platform_has_proven_goes_before_a_claimed_one(api: Api) -> None:
    api.signs_in = True
    api.born()
    response = api.send("POST", REVOKE, json.dumps(LOST).encode(), {**JSON, **SIGNED_IN, "Idempotency-Key": "k"})
    assert read(response)["saga"]["caller"] == "zoe@example.com (signed in)"


def test_where_the_platform_proves_nothing_its_header_does_not_exist(api: Api) -> None:
    api.born()
    response = api.send("POST", REVOKE, json.dumps(LOST).encode(), {**JSON, **SIGNED_IN, "Idempotency-Key": "k"})
    assert read(response)["saga"]["caller"] == "function key"


def test_poison_of_every_queue_of_the_app_can_be_replayed() -> None:
    bindings = json.loads((REPOSITORY / "tests" / "functions" / "bindings.json").read_text())
    queues = {one["queueName"] for each in bindings.values() for one in each if one["type"] == "queueTrigger"}
    assert queues <= set(poison.QUEUES)


def test_a_device_id_is_not_confused_with_a_verb(api: Api) -> None:
    api.born("revoke")
    assert read(api.get("/api/devices/revoke"))["device_id"] == DeviceId("revoke")

"""What operators see over the edge: a device, lists of certificates, and nothing without the function key."""

import itertools
import json
import time
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.e2e.est import Site, eventually
from tests.e2e.living import living
from tests.e2e.operators import JSON, Operator, problem
from tests.e2e.portal import Portal

KEY = ("Idempotency-Key", "documented")

# What a device can be told, in an order in which each has something to do, and the answer.
VERBS = {
    "renew": 202,  # the device has to do it
    "hold": 200,
    "restore": 200,
    "revoke": 200,
    "decommission": 200,
}


def target(path: str) -> str:
    """A request for something that is not there."""
    for name, sample in (("id", "nobody"), ("queue", "nothing"), ("number", "1")):
        path = path.replace(f"{{{name}}}", sample)
    assert "{" not in path
    return path


def next_second() -> None:
    """What is issued from now on begins and ends later than what was issued before: certificates know seconds alone."""
    second = int(time.time())
    assert eventually(lambda: int(time.time()) > second)


def test_without_the_function_key_nobody_gets_in(site: Site, operator: Operator) -> None:
    wrong = operator.key[1][::-1]
    for method, path in operator.routes():
        url, body = target(path), b"" if method == "GET" else b"{}"
        answers = [
            site.call(method, url, body, [JSON]),
            site.call(method, url, body, [JSON, ("x-functions-key", wrong)]),
            site.call(method, f"{url}?code={wrong}", body, [JSON]),
            site.call(method, f"{url}?code={operator.key[1]}", body, [JSON, ("x-functions-key", wrong)]),
        ]
        assert [(answer.status, answer.body) for answer in answers] == [(401, b"")] * 4


def test_the_key_may_stand_in_the_url(site: Site, operator: Operator) -> None:
    """As the portal's Test/Run sends it; no list may take it for a parameter of its own."""
    for path in ("/api/sagas", "/api/certificates?limit=1"):
        answer = site.call("GET", f"{path}{'&' if '?' in path else '?'}code={operator.key[1]}")
        assert answer.status == 200, answer.text


def test_a_device_has_no_business_here(site: Site, operator: Operator) -> None:
    """Its certificate opens EST, and so does the passcode; neither opens this."""
    device = living(operator, "ops-curious")
    for path in (f"/api/devices/{device.name}", "/api/certificates"):
        assert site.call("GET", path, identity=device.identity).status == 401
        assert site.call("GET", path, headers=[site.passcode()]).status == 401


def test_every_documented_path_answers_as_the_document_says(operator: Operator) -> None:
    """`send` holds the answer against the document. The host's own 404, for a path that is not there, has no body."""
    for method, path in operator.routes():
        answer = operator.send(method, target(path), b"" if method == "GET" else b"{}", [JSON, KEY])
        assert answer.status < 500, (method, path)
    device = living(operator, "ops-documented")
    for verb, status in VERBS.items():
        body = {"reason": "superseded"} if verb in {"revoke", "decommission"} else {}
        assert operator.post(f"/api/devices/{device.name}/{verb}", body).status == status, verb
        operator.device(device.name)


def test_what_is_not_documented_is_not_there(site: Site, operator: Operator) -> None:
    known = set(operator.routes())
    paths = {path for _, path in known} | {"/api/devices/{id}/forget", "/api/devices/{id}/certificates", "/api/queues"}
    for method, path in itertools.product(("GET", "POST", "PUT", "DELETE", "PATCH"), paths):
        if (method, path) not in known:
            answer = site.call(method, target(path), b"", [operator.key, JSON])
            assert (answer.status, answer.body) == (404, b""), (method, path)


def test_a_device_is_shown_as_it_lives(operator: Operator) -> None:
    """Born, renewed, gone over to its new certificate: the operator sees each step."""
    device = living(operator, "ops-shown", "individual")
    shown = operator.device(device.name)
    assert (shown["device_id"], shown["label"], shown["hub"]) == (device.name, "individual", device.hub_name)
    assert (shown["block"]["state"], shown["saga"], shown["failure"]) == ("none", None, None)
    assert shown["issued"] == {"day": f"{datetime.now(UTC):%Y-%m-%d}", "count": 1}
    (first,) = shown["certificates"]
    assert (first["serial"], first["status"]) == (device.serial, "issued")
    assert first["subject"] == f"CN={device.name}"
    assert datetime.fromisoformat(first["not_after"]) == device.identity.leaf.not_valid_after_utc

    next_second()
    fresh = device.renewed()
    shown = operator.device(device.name)
    serials = [f"{fresh.leaf.serial_number:x}", device.serial]
    assert [one["serial"] for one in shown["certificates"]] == serials
    rotation = shown["rotation"]
    assert [rotation[key] for key in ("state", "latest", "current")] == ["rotating", *serials]
    assert rotation["since"] is not None

    assert device.registers(fresh).status == "assigned"
    assert eventually(lambda: operator.device(device.name)["rotation"]["current"] == serials[0])
    shown = operator.device(device.name)
    assert shown["rotation"]["state"] == "settled"
    assert [one["status"] for one in shown["certificates"]] == ["issued", "superseded"]
    assert shown["certificates_total"] == 2


def test_the_last_events_are_shown_before_and_after_they_are_published(
    operator: Operator, portal: Portal, site: Site
) -> None:
    site.sandbox.fault("Event Grid", "status", path="/api/events", times=1000, status=503)
    device = living(operator, "ops-events")
    operator.done(device.name, "hold")
    shown = operator.device(device.name)
    assert [one["kind"] for one in shown["events"]] == ["blocked", "issued"], "the latest first"
    assert [one["published"] for one in shown["events"]] == [False, False]
    assert shown["events_unpublished"] == 2
    assert shown["events"][1]["serial"] == device.serial
    site.sandbox.control("DELETE", "/faults")
    portal.run_timer("sweep")
    assert eventually(lambda: operator.device(device.name)["events_unpublished"] == 0)
    after = operator.device(device.name)["events"]
    assert after == [{**one, "published": True} for one in shown["events"]]
    published = [one for one in site.sandbox.control("GET", "/event-grid/published") if one["subject"] == device.name]
    assert {one["id"] for one in published} == {one["id"] for one in shown["events"]}
    assert {one["type"] for one in published} == {"Birthcert.Device.Issued", "Birthcert.Device.Blocked"}


def listed(operator: Operator, query: str, limit: int = 100, pages: int = 1000) -> list[dict[str, str]]:
    """All that a search finds, page by page, or the first pages of it."""
    found: list[dict[str, str]] = []
    continuation = ""
    for _ in range(pages):
        page = operator.get(f"/api/certificates?{query}&limit={limit}{continuation}")
        assert len(page["certificates"]) <= limit
        found += page["certificates"]
        if page["continuation"] is None:
            break
        continuation = f"&continuation={quote(page['continuation'])}"
    return found


def test_certificates_are_listed_by_profile_and_status_page_by_page(operator: Operator) -> None:
    renewing, held = (living(operator, f"ops-list-{what}", "rest") for what in ("renewing", "revoked"))
    fresh = renewing.renewed()
    assert renewing.registers(fresh).status == "assigned"
    assert eventually(lambda: operator.device(renewing.name)["rotation"]["state"] == "settled")
    operator.done(held.name, "revoke", {"reason": "keyCompromise"})

    expected = {"issued": f"{fresh.leaf.serial_number:x}", "superseded": renewing.serial, "revoked": held.serial}
    for status, serial in expected.items():
        found = listed(operator, f"label=rest&status={status}")
        assert {(one["label"], one["status"]) for one in found} == {("rest", status)}
        assert {one["serial"] for one in found} & set(expected.values()) == {serial}
        assert len({one["serial"] for one in found}) == len(found), "each stands there once"
    whole = listed(operator, "label=rest")
    assert set(expected.values()) <= {one["serial"] for one in whole}
    assert listed(operator, "label=rest", limit=1, pages=3) == whole[:3]
    assert {one["device_id"] for one in whole if one["serial"] in expected.values()} == {renewing.name, held.name}


def test_certificates_are_listed_by_their_end(operator: Operator) -> None:
    """The index of what is due knows those that are still to be renewed, of devices that are not blocked."""
    early, blocked = (living(operator, f"ops-ends-{what}", "unwrapped") for what in ("early", "blocked"))
    operator.done(blocked.name, "revoke", {"reason": "superseded"})
    next_second()
    late, _other = living(operator, "ops-ends-late", "unwrapped"), living(operator, "ops-ends-other", "rest")
    end = late.identity.leaf.not_valid_after_utc
    assert all(one.identity.leaf.not_valid_after_utc < end for one in (early, blocked))

    def before(moment: str) -> set[str]:
        query = f"expires_before={quote(moment)}&label=unwrapped"
        assert operator.get(f"/api/certificates?{query}")["source"] == "due index"
        return {one["device_id"] for one in listed(operator, query) if one["device_id"].startswith("ops-ends-")}

    assert before(end.isoformat()) == {early.name}
    assert before(f"{end.date().replace(year=end.year + 1)}") == {early.name, late.name}
    whole = listed(operator, f"expires_before={quote(end.isoformat())}&label=unwrapped&status=revoked")
    assert blocked.name in {one["device_id"] for one in whole}
    assert late.name not in {one["device_id"] for one in whole}


@pytest.mark.parametrize("query", ["limit=0", "status=fine", "expires_before=soon", "page=2", "continuation=bm8"])
def test_a_search_that_is_not_understood_finds_nothing(operator: Operator, query: str) -> None:
    status, kind, detail = problem(operator.send("GET", f"/api/certificates?{query}"))
    assert (status, kind) == (400, "Malformed")
    assert query.partition("=")[0] in detail


def test_no_device_no_view(operator: Operator) -> None:
    for verb in ("", "/hold", "/restore", "/renew", "/revoke", "/decommission"):
        url, body = f"/api/devices/ops-nobody{verb}", {"reason": "superseded"}
        answer = operator.post(url, body) if verb else operator.send("GET", url)
        assert problem(answer) == (404, "NotFound", "there is no such device")
    assert problem(operator.send("GET", "/api/devices/no.such."))[:2] == (400, "Malformed")


def test_a_device_is_found_however_its_name_is_spelled(operator: Operator) -> None:
    """DPS compares without case; the hub with it, so that the answers hold the hub's spelling."""
    device = living(operator, "Ops-Case:1.b_C")
    for spelled in ("ops-case:1.b_c", "OPS-CASE:1.B_C", "Ops-Case%3A1.b_C"):
        assert operator.get(f"/api/devices/{spelled}")["device_id"] == device.name
    answer = operator.post(f"/api/devices/{device.name.upper()}/hold")
    assert json.loads(answer.body)["device_id"] == device.name
    assert not device.let_in(), "the hub's identity has the exact spelling"
    assert device.registers().status == "disabled"


def test_a_problem_leads_to_the_log(operator: Operator, portal: Portal) -> None:
    answer = operator.send("GET", "/api/devices/ops-no-such-device")
    ident = json.loads(answer.body)["instance"].removeprefix("urn:uuid:")
    (record,) = eventually(lambda: portal.log("ops", request_id=ident))
    assert (record["operation"], record["status"], record["outcome"]) == ("ops_device", 404, "NotFound")
    assert record["device_id"] == "ops-no-such-device"

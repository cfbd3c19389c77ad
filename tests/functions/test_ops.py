"""The operators' API as the Functions worker sees it: statuses, problems, headers, and what is recorded."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import azure.functions as func
import pytest

from functions import openapi, ops
from shared.adapters import poison
from shared.core.errors import Misconfigured, Unavailable
from shared.core.fleet import Change, Device, Failure
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.flows.application import Application
from tests.conftest import REPOSITORY
from tests.fakes.clock import START, IdleLoop
from tests.fakes.ops import OpsWorld
from tests.functions.calling import REQUEST_ID, context, handler
from tests.functions.schema import faults

JSON = {"Content-Type": "application/json"}
SIGNED_IN = {"x-ms-client-principal-name": "zoe@example.com"}
REVOKE = "/api/devices/dev-1/revoke"
LOST = {"reason": "keyCompromise", "comment": "lost at sea"}
DOCUMENT = cast("dict[str, Any]", openapi.document())


class Api:
    """One world, and one loop for all requests of a test."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.world = OpsWorld()
        self.signs_in = False
        self._runner = runner

    def application(self) -> Application:
        parts = SimpleNamespace(
            operate=self.world.operate, survey=self.world.survey, platform_authenticates=self.signs_in
        )
        return cast("Application", parts)

    def born(self, name: str = "dev-1", *serials: str) -> Device:
        return self._runner.run(self.world.born(name, *serials))

    def get(self, url: str) -> func.HttpResponse:
        return self.send("GET", url, b"", {})

    def post(self, url: str, content: object = None, key: str = "k1", **headers: str) -> func.HttpResponse:
        given = {**JSON, "Idempotency-Key": key, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return self.send("POST", url, json.dumps({} if content is None else content).encode(), given)

    def send(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        application: Callable[[], Application] | None = None,
    ) -> func.HttpResponse:
        """As the host would route it; each answer is held against the OpenAPI document."""
        path, params, template = _routed(url)
        name = f"ops_{DOCUMENT['paths'][template][method.lower()]['operationId']}"
        parts = urlsplit(url)
        query = dict(one.split("=", 1) for one in parts.query.split("&") if one)
        request = func.HttpRequest(
            method, f"https://app{path}", headers=headers, params=query, route_params=params, body=body
        )
        serve = handler(ops.blueprint, application or self.application, name)
        response: func.HttpResponse = self._runner.run(serve(request, context()))
        check(response, DOCUMENT["paths"][template][method.lower()])
        return response


def _routed(url: str) -> tuple[str, dict[str, str], str]:
    path = urlsplit(url).path
    for template in sorted(DOCUMENT["paths"], key=lambda one: one.count("{")):
        pairs = list(zip(template.split("/"), path.split("/"), strict=False))
        if template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pairs):
            return path, {a.strip("{}"): b for a, b in pairs if a.startswith("{")}, template
    raise LookupError(url)


def check(response: func.HttpResponse, described: Mapping[str, Any]) -> None:
    """The answer is one of those that the document describes, in the form that it describes."""
    answer = described["responses"][str(response.status_code)]
    (media, content), *_ = answer["content"].items()
    assert response.headers["Content-Type"] == media
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Length"] == str(len(response.get_body()))
    assert not list(faults(DOCUMENT, content["schema"], read(response)))
    assert answer.get("headers", {}).keys() <= dict(response.headers).keys()


def read(response: func.HttpResponse) -> Any:  # noqa: ANN401 - JSON
    return json.loads(response.get_body())


def problem(response: func.HttpResponse) -> tuple[int, str, str]:
    found = read(response)
    assert found["status"] == response.status_code
    assert found["instance"] == f"urn:uuid:{REQUEST_ID}"
    return response.status_code, found["type"].removeprefix("urn:birthcert:problem:"), found["detail"]


@pytest.fixture
def api() -> Iterator[Api]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Api(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def last(records: pytest.LogCaptureFixture) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(records.records[-1].getMessage())
    return record


def test_the_document_that_people_read_is_the_one_that_is_served(api: Api) -> None:
    """Run `python -m functions.openapi > docs/openapi.json` after a change."""
    written = json.loads((REPOSITORY / "docs" / "openapi.json").read_text())
    assert read(api.get("/api/openapi.json")) == written


def test_the_document_describes_every_route_and_no_other(api: Api) -> None:
    app = func.FunctionApp()
    app.register_functions(ops.blueprint(api.application))
    triggers: list[dict[str, Any]] = [cast("Any", one.get_trigger()).get_dict_repr() for one in app.get_functions()]
    assert {one["authLevel"] for one in triggers} == {func.AuthLevel.FUNCTION}
    routes = {(f"/{one['route']}", method.name.lower()) for one in triggers for method in one["methods"]}
    assert routes == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_every_reference_of_the_document_leads_somewhere() -> None:
    used = {part.split('"')[0] for part in json.dumps(DOCUMENT).split("#/components/schemas/")[1:]}
    assert used == DOCUMENT["components"]["schemas"].keys()


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
    assert [one["kind"] for one in view["events"]] == ["issued", "blocked"]


@pytest.mark.parametrize(
    ("name", "status"), [("dev-2", 404), ("dev.", 400), ("x" * 65, 400), ("dév", 400), ("a b", 400)]
)
def test_no_device_no_view(api: Api, name: str, status: int) -> None:
    api.born()
    assert api.get(f"/api/devices/{name}").status_code == status
    assert api.post(f"/api/devices/{name}/hold").status_code == status


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


def test_conflicts(api: Api) -> None:
    api.born()
    assert problem(api.post("/api/devices/dev-1/restore"))[:2] == (409, "Conflict")
    assert api.post(REVOKE, LOST, key="k2").status_code == 200
    other = api.post(REVOKE, {**LOST, "comment": "sold"}, key="k2")
    assert problem(other) == (409, "Conflict", "this Idempotency-Key was used for another request: take a new one")
    assert problem(api.post("/api/devices/dev-1/restore", key="k3"))[0] == 409
    assert problem(api.post("/api/devices/dev-1/renew", key="k4"))[0] == 409


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


@pytest.mark.parametrize(
    ("headers", "body", "status", "says"),
    [
        ({**JSON}, b"{}", 400, "Idempotency-Key"),
        ({**JSON, "Idempotency-Key": "a b"}, b"{}", 400, "Idempotency-Key"),
        ({**JSON, "Idempotency-Key": "k", "X-Caller": "a\x1b[31m"}, b"{}", 400, "caller"),
        ({**JSON, "Idempotency-Key": "k"}, b'{"Comment": ""}', 400, 'unknown fields: "Comment"'),
        ({**JSON, "Idempotency-Key": "k"}, b"", 400, "JSON object"),
        ({**JSON, "Idempotency-Key": "k", "Transfer-Encoding": "chunked"}, b"", 400, "Content-Length"),
        ({**JSON, "Idempotency-Key": "k"}, b" " * 16_385, 413, "16384"),
        ({"Idempotency-Key": "k"}, b"{}", 415, "application/json"),
        ({"Content-Type": "text/plain", "Idempotency-Key": "k"}, b"{}", 415, "application/json"),
        ({**JSON, "Content-Encoding": "gzip", "Idempotency-Key": "k"}, b"{}", 415, "content encoding"),
    ],
)
def test_a_write_that_breaks_its_form_does_nothing(
    api: Api, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    api.born()
    for deed in ("hold", "renew"):
        response = api.send("POST", f"/api/devices/dev-1/{deed}", body, headers)
        found = problem(response)
        assert found[0] == status
        assert says in found[2]
    assert problem(api.send("POST", "/api/poison/saga/replay", body, headers))[0] == status
    assert not api.world.wishes.rows


def test_a_charset_is_no_other_media_type(api: Api) -> None:
    api.born()
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "Idempotency-Key": "k"}
    assert api.send("POST", "/api/devices/dev-1/hold", b"{}", headers).status_code == 200


def test_a_store_that_is_down_says_when_to_come_again(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.born()
    api.world.calls.fail("ledger.load", lambda: Unavailable("no answer", retry_after=7, cause="refused by 10.0.0.1"))
    response = api.get("/api/devices/dev-1")
    assert problem(response) == (503, "Unavailable", "no answer")
    assert response.headers["Retry-After"] == "7"
    assert (last(records)["cause"], last(records)["device_id"]) == ("refused by 10.0.0.1", "dev-1")


def test_wrong_settings_are_a_503_that_names_none(api: Api) -> None:
    def application() -> Application:
        raise Misconfigured("the service is not set up correctly", cause="KEY_VAULT_URL: must be set")

    response = api.send("GET", "/api/poison", b"", {}, application)
    assert problem(response) == (503, "Misconfigured", "the service is not set up correctly")
    assert response.headers["Retry-After"] == "60"


def test_our_own_mistake_is_a_500_and_its_cause_is_logged(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.world.calls.fail("ledger.load", lambda: ZeroDivisionError("inside"))
    assert problem(api.get("/api/devices/dev-1"))[:2] == (500, "InternalError")
    assert "inside" in records.text
    assert last(records)["outcome"] == "InternalError"


def test_nothing_that_a_caller_typed_makes_a_line_of_its_own(api: Api, records: pytest.LogCaptureFixture) -> None:
    api.born()
    api.world.poison.messages['x\n{"event": "forged"}'] = []
    api.post(REVOKE, {**LOST, 'a\n{"event": "forged"}': 1}, key='k"}', X_Caller="“Zoë”")
    api.get('/api/certificates?a\n{"b"=1')
    request = func.HttpRequest(
        "POST",
        "https://app/api/poison/x/replay",
        headers={**JSON, "Idempotency-Key": "k"},
        route_params={"queue": 'x\n{"event": "forged"}'},
        body=b"{}",
    )
    asyncio.run(handler(ops.blueprint, api.application, "ops_replay")(request, context()))
    lines = [record.getMessage() for record in records.records]
    assert len(lines) == 3
    assert all(line.isascii() and "\n" not in line and json.loads(line)["event"] == "ops" for line in lines)


def test_poison_of_every_queue_of_the_app_can_be_replayed() -> None:
    bindings = json.loads((REPOSITORY / "tests" / "functions" / "bindings.json").read_text())
    queues = {one["queueName"] for each in bindings.values() for one in each if one["type"] == "queueTrigger"}
    assert queues <= set(poison.QUEUES)


def test_a_device_id_is_not_confused_with_a_verb(api: Api) -> None:
    api.born("revoke")
    assert read(api.get("/api/devices/revoke"))["device_id"] == DeviceId("revoke")

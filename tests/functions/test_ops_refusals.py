"""What the operators' API does not do: statuses, problems, and nothing of a caller's in the log but data."""

import asyncio
import json
from collections.abc import Iterator

import azure.functions as func
import pytest

from functions import ops
from shared.core.errors import Misconfigured, Unavailable
from shared.flows.application import Application
from tests.fakes.clock import IdleLoop
from tests.functions.calling import context, handler
from tests.functions.ops_api import JSON, Api, last, problem

REVOKE = "/api/devices/dev-1/revoke"
LOST = {"reason": "keyCompromise", "comment": "lost at sea"}


@pytest.fixture
def api() -> Iterator[Api]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Api(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


@pytest.mark.parametrize(
    ("name", "status"), [("dev-2", 404), ("dev.", 400), ("x" * 65, 400), ("dév", 400), ("a b", 400)]
)
def test_no_device_no_view(api: Api, name: str, status: int) -> None:
    api.born()
    assert api.get(f"/api/devices/{name}").status_code == status
    assert api.post(f"/api/devices/{name}/hold").status_code == status


def test_conflicts(api: Api) -> None:
    api.born()
    assert problem(api.post("/api/devices/dev-1/restore"))[:2] == (409, "Conflict")
    assert api.post(REVOKE, LOST, key="k2").status_code == 200
    other = api.post(REVOKE, {**LOST, "comment": "sold"}, key="k2")
    assert problem(other) == (409, "Conflict", "this Idempotency-Key was used for another request: take a new one")
    assert problem(api.post("/api/devices/dev-1/restore", key="k3"))[0] == 409
    assert problem(api.post("/api/devices/dev-1/renew", key="k4"))[0] == 409


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

"""EST as the Functions worker sees it: decoding, encoding, the audit record, and what never gets out."""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import azure.functions as func
import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from functions import est
from shared.core.errors import Misconfigured
from shared.flows.application import Application
from tests.fakes.clock import IdleLoop
from tests.fakes.devices import Device, header
from tests.fakes.world import FACTORY, PASSCODE, PROFILE, Fakes, fakes
from tests.functions.calling import REQUEST_ID, context, handler, http

TYPE = {"Content-Type": "application/pkcs10"}
EST = "/.well-known/est"


def answer(app: Application, request: func.HttpRequest, name: str = "est") -> func.HttpResponse:
    serve = handler(est.blueprint, lambda: app, name)
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        response: func.HttpResponse = runner.run(serve(request, context()))
    return response


def enroll(
    world: Fakes,
    device: Device,
    headers: Mapping[str, str] | None = None,
    **changes: Any,  # noqa: ANN401
) -> func.HttpResponse:
    """simpleenroll with what the device presents; `changes` are of the application."""
    submission = device.submission()
    given = {**TYPE, "X-ARR-ClientCert": submission.presented.certificate, **(headers or {})}
    given = {name: value for name, value in given.items() if value}
    request = http("POST", f"{EST}/simpleenroll", submission.body, given)
    return answer(replace(world.application(), **changes), request)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def last(records: pytest.LogCaptureFixture) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(records.records[-1].getMessage())
    return record


def test_a_device_gets_its_leaf_alone_in_the_most_compatible_form(records: pytest.LogCaptureFixture) -> None:
    world = fakes()
    device = world.device()
    response = enroll(world, device)
    assert response.status_code == 200
    body = response.get_body()
    assert dict(response.headers) == {
        "Content-Type": "application/pkcs7-mime; smime-type=certs-only",
        "Content-Transfer-Encoding": "base64",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
    }
    assert max(map(len, body.splitlines())) == 64
    (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert leaf.public_key() == device.key.public_key()
    record = last(records)
    assert record["event"] == "est"
    assert (record["device_id"], record["label"], record["operation"]) == ("dev-1", PROFILE.label, "simpleenroll")
    assert (record["outcome"], record["principal"], record["status"]) == ("Enrolled", "factory certificate", 200)
    assert record["serial"] == f"{leaf.serial_number:x}"
    assert record["request_id"] == REQUEST_ID
    assert "ms" in record


def test_a_refusal_is_recorded_with_the_device_and_the_cause(records: pytest.LogCaptureFixture) -> None:
    world = fakes()
    response = enroll(world, replace(world.device(), name="dev-2"))
    assert response.status_code == 403
    record = last(records)
    assert (record["outcome"], record["status"]) == ("Forbidden", 403)
    assert record["reason"] in response.get_body().decode()


def test_a_header_is_ignored_where_no_front_end_is_known_to_remove_it() -> None:
    world = fakes()
    assert enroll(world, world.device(), client_certificate_header="").status_code == 401


def test_a_header_without_the_proof_of_the_front_end_is_refused() -> None:
    world = fakes()
    world.secrets.values["front-end"] = "proof-of-the-front-end"
    proofs = {"": 403, "wrong": 403, "pröof": 403, "proof-of-the-front-end": 200}
    for proof, status in proofs.items():
        headers = {"X-Front-End-Secret": proof}
        response = enroll(world, world.device(), headers, front_end_secret_name="front-end")
        assert response.status_code == status, proof
        assert "front-end" not in response.get_body().decode()


def test_without_the_header_nobody_asks_for_the_proof_of_the_front_end() -> None:
    world = fakes()
    device = Device("dev-1").with_password(PASSCODE)
    headers = {"Authorization": device.presents.authorization}
    assert enroll(world, device, headers, front_end_secret_name="front-end").status_code == 200


def test_a_chunked_body_that_the_host_has_dropped_is_explained() -> None:
    request = http("POST", f"{EST}/simpleenroll", b"", {**TYPE, "transfer-encoding": "chunked"})
    response = answer(fakes().application(), request)
    assert response.status_code == 400
    assert b"Content-Length" in response.get_body()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (f"{EST}/cacerts", 200),
        (f"{EST}/cacerts?x=1", 200),
        (f"{EST}/%63acerts", 404),
        (f"{EST}/x/../cacerts", 404),
        (f"{EST}/csrattrs", 404),
    ],
)
def test_the_path_as_the_client_sent_it_must_name_the_same(raw: str, status: int) -> None:
    request = http("GET", f"{EST}/cacerts", headers={"X-WAWS-Unencoded-URL": raw})
    assert answer(fakes().application(), request).status_code == status


def test_a_label_may_stand_before_the_prefix() -> None:
    app = fakes().application()
    for path in (f"/{PROFILE.label}{EST}/cacerts", f"{EST}/{PROFILE.label}{EST}/cacerts"):
        assert answer(app, http("GET", path), "est_prefixed").status_code == 200


@pytest.mark.parametrize(
    ("method", "operation", "status", "allow"),
    [
        ("POST", "cacerts", 405, "GET, HEAD"),
        ("POST", "csrattrs", 405, "GET, HEAD"),
        ("GET", "simpleenroll", 405, "POST"),
        ("PUT", "simplereenroll", 405, "POST"),
        ("POST", "serverkeygen", 501, None),
        ("GET", "fullcmc", 501, None),
        ("GET", "nothing", 404, None),
    ],
)
def test_wrong_methods_and_operations(method: str, operation: str, status: int, allow: str | None) -> None:
    response = answer(fakes().application(), http(method, f"{EST}/{operation}"))
    assert (response.status_code, response.headers.get("Allow")) == (status, allow)


def test_two_content_types_and_compressed_bodies_are_refused() -> None:
    world = fakes()
    assert enroll(world, world.device(), {"Content-Type": "application/pkcs10,text/plain"}).status_code == 400
    assert enroll(world, world.device(), {"Content-Encoding": "gzip"}).status_code == 415
    assert enroll(world, world.device(), {"Content-Type": "text/plain"}).status_code == 415


def test_a_waiting_device_is_told_when_to_come_back() -> None:
    world = fakes()
    world.upstream.behaves.append("pending")
    response = enroll(world, world.device())
    assert response.status_code == 202
    assert 10 <= int(response.headers["Retry-After"]) <= 86_400


def test_wrong_settings_are_a_503_that_names_none(records: pytest.LogCaptureFixture) -> None:
    def application() -> Application:
        raise Misconfigured("the service is not set up correctly", cause="KEY_VAULT_URL: must be set")

    serve = handler(est.blueprint, application, "est")
    response = asyncio.run(serve(http("GET", f"{EST}/cacerts"), context()))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "60"
    assert b"KEY_VAULT_URL" not in response.get_body()
    assert last(records)["cause"] == "KEY_VAULT_URL: must be set"


def test_our_own_mistake_is_a_bare_500_and_its_cause_is_logged(records: pytest.LogCaptureFixture) -> None:
    world = fakes()
    world.calls.fail("ledger.load", lambda: ZeroDivisionError("inside"))
    response = enroll(world, world.device())
    assert response.status_code == 500
    assert response.get_body().decode() == f"internal error (request {REQUEST_ID})\n"
    assert "inside" in records.text
    assert last(records)["outcome"] == "InternalError"


def test_no_log_line_holds_a_password_or_a_certificate(records: pytest.LogCaptureFixture) -> None:
    world = fakes()
    device = Device("dev-1").with_password(PASSCODE)
    enroll(world, device, {"Authorization": device.presents.authorization})
    enroll(world, device, {"Authorization": "Basic bm9ib2R5OndyaXRlIG1l"})
    enroll(world, world.device())
    for secret in ("correct horse", device.presents.authorization, "bm9ib2R5", header(FACTORY.certificate)[:40]):
        assert secret not in records.text
